"""The exchanges of a plan played through, without the computing."""

from __future__ import annotations

from collections import Counter

from singac.plan.faults import Deadlock
from singac.plan.plan import Clip, Norm, Plan, Process, Pull, Push, Receive, Send, Serve, Step

EXCHANGES = Pull | Push | Serve | Norm | Clip | Send | Receive


def no_deadlock(plan: Plan, phase: str) -> None:
    """Plays two steps of a phase: every process must come through. Raises Deadlock."""
    board = _Board(plan, phase)
    runners = [_Runner(board, process) for process in plan.processes]
    while not all(r.done for r in runners):
        moved = sum(r.advance() for r in runners)
        if not moved:
            stuck = next(k for k, r in enumerate(runners) if not r.done)
            raise Deadlock(f"process {stuck} waits for ever at {runners[stuck].step}")


class _Board:
    """What all processes have done so far, counted since the first step."""

    def __init__(self, plan: Plan, phase: str) -> None:
        self.plan, self.phase = plan, phase
        self.slices: dict[int, list[int]] = {}
        for index, piece in enumerate(plan.slices):
            self.slices.setdefault(piece.param, []).append(index)
        steps = [s for p in plan.processes for s in self.steps(p)]
        self.weighed = sum(isinstance(s, Norm) for s in steps)
        self.pushers = Counter(s.param for s in steps if isinstance(s, Push))
        self.pushed: Counter[int] = Counter()
        self.versions: Counter[int] = Counter()
        self.norms = 0
        self.senders = Counter(k for p in plan.processes for k in self._ends(p, Send))
        self.takers = Counter(k for p in plan.processes for k in self._ends(p, Receive))
        self.sent: Counter[tuple[int, int]] = Counter()
        self.taken: Counter[tuple[int, int]] = Counter()

    def steps(self, process: Process) -> tuple[Step, ...]:
        program = process.train if self.phase == "train" else process.test
        return program.steps if program is not None else ()

    def group(self, process: Process) -> int:
        return (process.worker or 0) // self.plan.topology.workers_per_group

    def _ends(self, process: Process, kind: type[Send] | type[Receive]) -> list[tuple[int, int]]:
        """The exchanges a process is in, each with the number of its group."""
        own = [s.exchange for s in self.steps(process) if isinstance(s, kind)]
        return [(self.group(process), exchange) for exchange in own]


class _Runner:
    """One process going through its exchanges as far as the others let it."""

    def __init__(self, board: _Board, process: Process) -> None:
        self.board, self.group = board, board.group(process)
        own = [s for s in board.steps(process) if isinstance(s, EXCHANGES)]
        # A param whose gradient nobody pushes keeps its first version.
        self.learned = dict.fromkeys(s.param for s in own if isinstance(s, Push))
        self.steps, self.turn, self.at = own * 2, len(own), 0

    @property
    def done(self) -> bool:
        return self.at == len(self.steps)

    @property
    def step(self) -> Step:
        return self.steps[self.at]

    def advance(self) -> bool:
        """Takes every step that can be taken now; tells whether there was one."""
        start = self.at
        while not self.done and self._take():
            self.at += 1
        return self.at > start

    def _take(self) -> bool:
        board, time = self.board, self.at // self.turn
        match self.step:
            case Pull(param):
                own = board.slices.get(param, ())
                return param not in self.learned or all(board.versions[k] >= time for k in own)
            case Push(param):
                board.pushed[param] += 1
            case Serve(index) | Norm(index) as step:
                param = board.plan.slices[index].param
                if board.pushed[param] < board.pushers[param] * (time + 1):
                    return False
                if isinstance(step, Norm):
                    board.norms += 1
                else:
                    board.versions[index] += 1
            case Clip():
                return board.norms >= board.weighed * (time + 1)
            case Send(exchange):
                place = self.group, exchange
                if board.taken[place] < board.takers[place] * time:
                    return False
                board.sent[place] += 1
            case Receive(exchange):
                place = self.group, exchange
                if board.sent[place] < board.senders[place] * (time + 1):
                    return False
                board.taken[place] += 1
        return True
