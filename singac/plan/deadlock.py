"""The exchanges of a plan played through, without the computing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from singac.plan.faults import Deadlock
from singac.plan.plan import (
    Clip,
    Norm,
    Plan,
    Process,
    Pull,
    Push,
    Receive,
    Send,
    Serve,
    Slice,
    Step,
)

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
            raise Deadlock(f"process {stuck.thread.rank} waits for ever at {stuck.step}")


@dataclass(frozen=True, slots=True)
class _Thread:
    """What a process does beside other things: for worker `member` of a group, or for a group."""

    rank: int
    group: int
    member: int
    steps: tuple[Step, ...]


def _threads(plan: Plan, process: Process, phase: str) -> Iterator[_Thread]:
    topology, worker = plan.topology, process.worker or 0
    program = process.train if phase == "train" else process.test
    if program is not None:
        group = topology.group_of_worker(worker)
        yield _Thread(process.rank, group, topology.member(worker), program.steps)
    if phase == "train" and process.serve is not None and process.server is not None:
        for group in topology.groups_of(topology.group_of_server(process.server)):
            yield _Thread(process.rank, group, 0, process.serve.steps)


class _Shares:
    """Slices of a param that the same workers have, which a push completes all at once."""

    def __init__(self, slices: Sequence[Slice]) -> None:
        numbers: dict[tuple[int, tuple[int, ...] | None], int] = {}
        self.of_slice = [numbers.setdefault((s.param, s.workers), len(numbers)) for s in slices]
        self.slices = Counter(self.of_slice)
        self._of_all: dict[int, list[int]] = {}
        self._of_some: dict[tuple[int, int], list[int]] = {}
        for (param, workers), share in numbers.items():
            if workers is None:
                self._of_all.setdefault(param, []).append(share)
            for worker in workers or ():
                self._of_some.setdefault((param, worker), []).append(share)

    def of(self, param: int, worker: int) -> list[int]:
        """Those of a param that a worker of a group has."""
        return [*self._of_all.get(param, ()), *self._of_some.get((param, worker), ())]


class _Board:
    """What all processes have done so far, counted for each worker group since the first step."""

    def __init__(self, plan: Plan, phase: str) -> None:
        self.shares = _Shares(plan.slices)
        threads = [one for p in plan.processes for one in _threads(plan, p, phase)]
        self.weighed: Counter[int] = Counter()
        self.pushers: Counter[tuple[int, int]] = Counter()
        self.senders: Counter[tuple[int, int]] = Counter()
        self.takers: Counter[tuple[int, int]] = Counter()
        for thread in threads:
            self._count(thread)
        self.norms: Counter[int] = Counter()
        self.pushed: Counter[tuple[int, int]] = Counter()
        self.updated: Counter[tuple[int, int]] = Counter()
        self.sent: Counter[tuple[int, int]] = Counter()
        self.taken: Counter[tuple[int, int]] = Counter()
        self.runners = [_Runner(self, thread) for thread in threads]

    def _count(self, thread: _Thread) -> None:
        """How many there are of who pushes, weighs, sends and takes."""
        for step in thread.steps:
            match step:
                case Norm():
                    self.weighed[thread.group] += 1
                case Push(param):
                    for share in self.shares.of(param, thread.member):
                        self.pushers[thread.group, share] += 1
                case Send(exchange):
                    self.senders[thread.group, exchange] += 1
                case Receive(exchange):
                    self.takers[thread.group, exchange] += 1
                case _:
                    pass


class _Runner:
    """One thread going through its exchanges as far as the others let it."""

    def __init__(self, board: _Board, thread: _Thread) -> None:
        self.board, self.thread, self.group = board, thread, thread.group
        own = [s for s in thread.steps if isinstance(s, EXCHANGES)]
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
                return param not in self.learned or self._is_updated(param, time)
            case Push(param):
                for share in board.shares.of(param, self.thread.member):
                    board.pushed[group, share] += 1
            case Serve(index) | Norm(index) as step:
                place = group, board.shares.of_slice[index]
                if board.pushed[place] < board.pushers[place] * (time + 1):
                    return False
                if isinstance(step, Norm):
                    board.norms[group] += 1
                else:
                    board.updated[place] += 1
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

    def _is_updated(self, param: int, time: int) -> bool:
        """Whether the slices of a param that the worker has were updated so often."""
        shares = self.board.shares
        return all(
            self.board.updated[self.group, share] >= shares.slices[share] * time
            for share in shares.of(param, self.thread.member)
        )
