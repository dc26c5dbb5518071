"""A training step played through at a machine's rates: what each process does when, and who waits.

    process 0   pull  run ........  push  run ...  push  | wait | serve
    process 1   pull  run .............  push  run ...  push | serve
                                          \\____ arrows: from a push to the serves of its slices

Params are there when the step begins: it is one step of many alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from singac.partition.machine import Machine
from singac.plan.estimate import Traffic, traffic
from singac.plan.plan import (
    Clip,
    Feed,
    Norm,
    Plan,
    Process,
    Pull,
    Push,
    Receive,
    Run,
    Send,
    Serve,
    Step,
)
from singac.report.costs import FLOAT_BYTES, stretch_cost
from singac.report.survey import hosts, member_of


class Doing(StrEnum):
    """What a process does, apart from each other as in a trace."""

    COMPUTE = "compute"
    EXCHANGE = "exchange"
    SERVE = "serve"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Bar:
    """Process `rank` does step number `position` of its program from `start` to `stop`, in s."""

    rank: int
    position: int
    doing: Doing
    start: float
    stop: float


@dataclass(frozen=True, slots=True)
class Arrow:
    """Bytes on their way: of `what`, from one process to another."""

    sender: int
    left: float
    receiver: int
    arrived: float
    what: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that happens in a step."""

    bars: tuple[Bar, ...]
    arrows: tuple[Arrow, ...]

    @property
    def seconds(self) -> float:
        return max((b.stop for b in self.bars), default=0.0)


def schedule(plan: Plan, machine: Machine) -> Schedule:
    """The step of a verified plan: every process comes through."""
    player = _Player(plan, machine)
    while any(lane.at < len(lane.steps) for lane in player.lanes):
        moved = [player.advance(lane) for lane in player.lanes]
        assert any(moved), "a verified plan waits for nobody for ever"
    return Schedule(tuple(player.bars), tuple(player.arrows))


@dataclass(slots=True)
class _Lane:
    """A process on its way: the next step, and the time."""

    process: Process
    steps: tuple[Step, ...]
    at: int = 0
    now: float = 0.0


@dataclass(slots=True)
class _Player:
    plan: Plan
    machine: Machine
    lanes: list[_Lane] = field(init=False)
    bars: list[Bar] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    # When what was handed out is there, by param or exchange and by the rank that handed it out.
    pushed: dict[int, dict[int, float]] = field(default_factory=dict)
    sent: dict[int, dict[int, float]] = field(default_factory=dict)
    weighed: dict[int, float] = field(default_factory=dict)
    pushers: dict[int, list[Process]] = field(init=False)
    weighers: int = field(init=False)
    runs: list[float] = field(init=False)
    traffic: list[Traffic] = field(init=False)
    places: Mapping[int, int] = field(init=False)

    def __post_init__(self) -> None:
        plan = self.plan
        self.lanes = [_Lane(p, p.train.steps) for p in plan.processes]
        self.runs = [stretch_cost(s).seconds(self.machine) for s in plan.stretches]
        self.traffic = [traffic(exchange) for exchange in plan.exchanges]
        self.places = hosts(plan)
        self.pushers = {}
        for lane in self.lanes:
            for step in lane.steps:
                if isinstance(step, Push):
                    self.pushers.setdefault(step.param, []).append(lane.process)
        self.weighers = sum(isinstance(s, Norm) for lane in self.lanes for s in lane.steps)

    def advance(self, lane: _Lane) -> bool:
        """Takes all steps that can be taken now; tells whether there was one."""
        start = lane.at
        while lane.at < len(lane.steps) and self._take(lane, lane.steps[lane.at]):
            lane.at += 1
        return lane.at > start

    def _take(self, lane: _Lane, step: Step) -> bool:
        rank = lane.process.rank
        match step:
            case Feed():
                self._spend(lane, Doing.COMPUTE, self.machine.latency)
            case Run(stretch):
                self._spend(lane, Doing.COMPUTE, self.runs[stretch])
            case Pull(param):
                self._spend(
                    lane, Doing.EXCHANGE, self._moving(self._of_others(param, lane.process))
                )
            case Push(param):
                self._spend(
                    lane, Doing.EXCHANGE, self._moving(self._of_others(param, lane.process))
                )
                self.pushed.setdefault(param, {})[rank] = lane.now
            case Send(number):
                size = self.traffic[number].sent[member_of(self.plan, lane.process)]
                self._spend(lane, Doing.EXCHANGE, self._moving(size))
                self.sent.setdefault(number, {})[rank] = lane.now
            case Receive(number):
                return self._receive(lane, number)
            case Serve(index) | Norm(index):
                return self._serve(lane, index, weighs=isinstance(step, Norm))
            case Clip():
                if len(self.weighed) < self.weighers:
                    return False
                self._wait(lane, max(self.weighed.values(), default=0.0))
        return True

    def _receive(self, lane: _Lane, number: int) -> bool:
        exchange, member = self.plan.exchanges[number], member_of(self.plan, lane.process)
        first = lane.process.rank - member
        given = self.sent.get(number, {})
        parts = [(first + other, part) for other, part in exchange.received(member)]
        if any(rank not in given for rank, _ in parts):
            return False
        self._wait(lane, max((given[rank] for rank, _ in parts), default=0.0))
        for rank, part in parts:
            size = part.elements * FLOAT_BYTES
            self._arrow(rank, given[rank], lane, exchange.name, size)
        self._spend(lane, Doing.EXCHANGE, self.machine.latency)
        return True

    def _serve(self, lane: _Lane, index: int, weighs: bool) -> bool:
        piece = self.plan.slices[index]
        pushers = self.pushers.get(piece.param, [])
        wanted = [p.rank for p in pushers if piece.is_of(member_of(self.plan, p))]
        times = self.pushed.get(piece.param, {})
        given = {rank: times[rank] for rank in wanted if rank in times}
        if len(given) < len(wanted):
            return False
        self._wait(lane, max(given.values(), default=0.0))
        size = piece.floats * FLOAT_BYTES
        for rank, time in given.items():
            if rank != lane.process.rank:
                self._arrow(rank, time, lane, self.plan.params[piece.param].name, size)
        touched = size * (len(given) + 2)
        self._spend(lane, Doing.SERVE, touched / self.machine.memory)
        if weighs:
            self.weighed[index] = lane.now
        return True

    def _of_others(self, param: int, process: Process) -> int:
        """Bytes of what a worker has of a param and servers elsewhere own."""
        member = member_of(self.plan, process)
        own = (s for s in self.plan.slices if s.param == param and s.is_of(member))
        return sum(s.floats for s in own if self.places[s.server] != process.rank) * FLOAT_BYTES

    def _moving(self, size: int) -> float:
        return self.machine.latency + size / self.machine.exchange if size else 0.0

    def _wait(self, lane: _Lane, until: float) -> None:
        if until > lane.now:
            self._spend(lane, Doing.WAIT, until - lane.now)

    def _spend(self, lane: _Lane, doing: Doing, seconds: float) -> None:
        stop = lane.now + seconds
        self.bars.append(Bar(lane.process.rank, lane.at, doing, lane.now, stop))
        lane.now = stop

    def _arrow(self, sender: int, left: float, lane: _Lane, what: str, size: int) -> None:
        self.arrows.append(Arrow(sender, left, lane.process.rank, lane.now, what, size))
