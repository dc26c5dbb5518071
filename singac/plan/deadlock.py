"""The exchanges of a plan played through, without the computing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from singac.plan.faults import Deadlock
from singac.plan.plan import Clip, Norm, Plan, Process, Pull, Push, Receive, Send, Serve, Step

EXCHANGES = Pull | Push | Serve | Norm | Clip | Send | Receive


def no_deadlock(plan: Plan, phase: str) -> None:
    """Plays two steps of a phase: every process must come through. Raises Deadlock.

    A server with a thread of its own goes through its program for each of its worker groups.
    """
    board = _Board(plan, phase)
    runners = board.runners
    while not all(r.done for r in runners):
        moved = sum(r.advance() for r in runners)
        if not moved:
            stuck = next(r for r in runners if not r.done)
            raise Deadlock(f"process {stuck.rank} waits for ever at {stuck.step}")


class _Board:
    """What all processes have done so far, counted for each worker group since the first step."""

    def __init__(self, plan: Plan, phase: str) -> None:
        self.plan = plan
        self.slices: dict[int, list[int]] = {}
        for index, piece in enumerate(plan.slices):
            self.slices.setdefault(piece.param, []).append(index)
        threads = [one for p in plan.processes for one in _threads(plan, p, phase)]
        self.weighed = Counter(g for _, g, steps in threads for s in steps if isinstance(s, Norm))
        self.pushers = Counter(
            (g, s.param) for _, g, steps in threads for s in steps if isinstance(s, Push)
        )
        self.senders = Counter(
            (g, s.exchange) for _, g, steps in threads for s in steps if isinstance(s, Send)
        )
        self.takers = Counter(
            (g, s.exchange) for _, g, steps in threads for s in steps if isinstance(s, Receive)
        )
        self.norms: Counter[int] = Counter()
        self.pushed: Counter[tuple[int, int]] = Counter()
        self.versions: Counter[tuple[int, int]] = Counter()
        self.sent: Counter[tuple[int, int]] = Counter()
        self.taken: Counter[tuple[int, int]] = Counter()
        self.runners = [_Runner(self, *thread) for thread in threads]


def _threads(
    plan: Plan, process: Process, phase: str
) -> Iterator[tuple[int, int, tuple[Step, ...]]]:
    """What a process does side by side: rank, worker group, steps."""
    topology = plan.topology
    program = process.train if phase == "train" else process.test
    if program is not None:
        yield process.rank, topology.group_of_worker(process.worker or 0), program.steps
    if phase == "train" and process.serve is not None and process.server is not None:
        for group in topology.groups_of(topology.group_of_server(process.server)):
            yield process.rank, group, process.serve.steps


class _Runner:
    """One thread going through its exchanges as far as the others let it."""

    def __init__(self, board: _Board, rank: int, group: int, steps: tuple[Step, ...]) -> None:
        self.board, self.rank, self.group = board, rank, group
        own = [s for s in steps if isinstance(s, EXCHANGES)]
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
        board, group, time = self.board, self.group, self.at // self.turn
        match self.step:
            case Pull(param):
                own = [(group, k) for k in board.slices.get(param, ())]
                return param not in self.learned or all(board.versions[k] >= time for k in own)
            case Push(param):
                board.pushed[group, param] += 1
            case Serve(index) | Norm(index) as step:
                place = group, board.plan.slices[index].param
                if board.pushed[place] < board.pushers[place] * (time + 1):
                    return False
                if isinstance(step, Norm):
                    board.norms[group] += 1
                else:
                    board.versions[group, index] += 1
            case Clip():
                return board.norms[group] >= board.weighed[group] * (time + 1)
            case Send(exchange):
                place = group, exchange
                if board.taken[place] < board.takers[place] * time:
                    return False
                board.sent[place] += 1
            case Receive(exchange):
                place = group, exchange
                if board.sent[place] < board.senders[place] * (time + 1):
                    return False
                board.taken[place] += 1
        return True
