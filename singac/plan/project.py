"""A partitioned net -> one program a process.

worker beside a server                       lone process
feed                                         feed
pull fc1 | run | pull fc2 | run | ...        run (the whole step)
... run | push fc2 | run | push fc1          push fc1, fc2
serve the slices of its server               serve every slice

Where servers have threads of their own, what they serve is a program of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from singac.layers.access import flat, reads, writes
from singac.layers.operations import Operation, Redistribute
from singac.model.resolve import Model
from singac.partition.partition import PartitionedNet
from singac.partition.split import Piece
from singac.plan.costs import costs_of, param_bytes
from singac.plan.items import PullParam, PushParam
from singac.plan.layers import placed_layers, places_of
from singac.plan.metrics import metrics_of
from singac.plan.phase import Phase, Phases, Scratch
from singac.plan.plan import (
    FORMAT_VERSION,
    Clip,
    Data,
    Exchange,
    Feed,
    Field,
    Memory,
    Norm,
    Plan,
    Process,
    Program,
    Pull,
    Push,
    Receive,
    Run,
    Seat,
    Send,
    Serve,
    Step,
    Stretch,
    metric_buffer,
)

SERVE = "serve"  # the program of a server that has a thread of its own


def project(net: PartitionedNet, model: Model, digest: str, scratch: Scratch) -> Plan:
    """The plan of a run; `scratch` tells the working memory of an operation."""
    projector = _Projector(net, model, Phases(net, model, scratch))
    seats = model.cluster.topology.seats()
    return _plan(projector, digest, tuple(projector.process(seat) for seat in seats))


def project_test(
    net: PartitionedNet, model: Model, digest: str, scratch: Scratch, watched: Sequence[str]
) -> Plan:
    """A plan of one process that only tests; results of `watched` layers stay in its memory."""
    projector = _Projector(net, model, Phases(net, model, scratch, tuple(watched)))
    return _plan(projector, digest, (projector.tester(),))


def _plan(projector: _Projector, digest: str, processes: tuple[Process, ...]) -> Plan:
    net, model = projector.net, projector.model
    return Plan(
        FORMAT_VERSION,
        digest,
        net.graph.name,
        net.name,
        model.cluster.topology,
        model.train.training,
        _data(model),
        metrics_of(net.graph),
        net.params,
        net.slices,
        model.train.update,
        tuple(projector.stretches),
        processes,
        layers=placed_layers(net),
        exchanges=tuple(projector.exchanges),
        places=places_of(model),
        chosen=net.chosen,
    )


def _data(model: Model) -> Data:
    facts = model.dataset.facts
    fields = tuple(Field(f.name, f.shape, f.scale, f.mean, f.std) for f in facts.fields)
    return Data(
        model.dataset.name,
        fields,
        facts.train,
        facts.test,
        facts.shuffle,
        facts.validate,
        facts.vocabulary,
    )


@dataclass(slots=True)
class _Projector:
    net: PartitionedNet
    model: Model
    phases: Phases
    stretches: dict[Stretch, int] = field(default_factory=dict)
    exchanges: list[Exchange] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    # The stretch before an item of a phase: workers that do alike have one phase.
    runs: dict[tuple[int, int], int] = field(default_factory=dict)

    def process(self, seat: Seat) -> Process:
        topology, worker, server = self.model.cluster.topology, seat.worker, seat.server
        piece = Piece(0, 0)
        if worker is not None:
            piece = self.net.rows[self._member(worker)]
        train = self._program("train", worker, server)
        test = None
        if self.phases.tests() and worker is not None and topology.group_of_worker(worker) == 0:
            test = self._program("test", worker, None)
        serve = None
        if topology.servers_in_threads and server is not None:
            serve = Program(SERVE, tuple(self._serving(server)), (), ())
        costs = costs_of(seat, self.net, self.model, self.phases)
        return Process(
            seat.rank,
            worker,
            server,
            piece.start,
            piece.size,
            train,
            test,
            costs.memory,
            costs.flops,
            costs.sent,
            costs.received,
            serve,
            seat.thread,
            costs.narrower_sent,
            costs.narrower_received,
        )

    def tester(self) -> Process:
        """A process that has all rows of a batch and trains nothing."""
        phase, rows = self.phases.of("test", 0), self.net.rows[0].size
        steps = (Feed(), *self._steps("test", phase, rows, lone=True))
        buffers = tuple(phase.buffers.values())
        test = Program("test", steps, buffers, phase.inputs, phase.carried)
        memory = Memory(phase.arena, param_bytes(self.net), 0, 0)
        nothing = Program("train", (), (), ())
        return Process(0, 0, None, 0, rows, nothing, test, memory, 0, 0, 0)

    # -- programs ----------------------------------------------------------------------------------

    def _program(self, name: str, worker: int | None, server: int | None) -> Program:
        topology = self.model.cluster.topology
        turns = name == "train" and server is not None and not topology.servers_in_threads
        served = self._serving(server) if turns and server is not None else []
        if worker is None:
            return Program(name, tuple(served), (), ())
        lone, member = topology.is_lone, self._member(worker)
        phase, rows = self.phases.of(name, member), self.net.rows[member].size
        steps = self._steps(name, phase, rows, lone, member)
        buffers = tuple(phase.buffers.values())
        return Program(name, (Feed(), *steps, *served), buffers, phase.inputs, phase.carried)

    def _serving(self, server: int) -> list[Step]:
        """What a server does with the gradients of a step."""
        own = server % self.model.cluster.topology.servers_per_group
        return self._clipped(own, self.phases.learned())

    def _member(self, worker: int) -> int:
        """A worker's number in its group."""
        return worker % self.model.cluster.topology.workers_per_group

    def _clipped(self, server: int, learned: Sequence[str]) -> list[Step]:
        """The serving of a server, and before it what clipping by the whole norm needs."""
        served = self._served(server, learned)
        if not served or not self.model.train.update.clip_norm:
            return [*served]
        return [*(Norm(s.slice) for s in served), Clip(), *served]

    def _served(self, server: int, learned: Sequence[str]) -> list[Serve]:
        """The slices of a server in the order in which their gradients are pushed."""
        own: dict[str, list[Serve]] = {}
        for k, piece in enumerate(self.net.slices):
            if piece.server == server:
                own.setdefault(self.net.params[piece.param].name, []).append(Serve(k))
        return [serve for name in learned for serve in own.get(name, ())]

    def _steps(self, name: str, phase: Phase, rows: int, lone: bool, member: int = 0) -> list[Step]:
        """Items as steps; operations between two exchanges are one stretch."""
        index = {p.name: k for k, p in enumerate(self.net.params)}
        steps: list[Step] = []
        waiting: list[Operation] = []
        pushes: list[Step] = []

        def flush(position: int) -> None:
            if waiting:
                key = id(phase), position
                if key not in self.runs:
                    self.runs[key] = self._stretch(name, tuple(waiting), phase, rows)
                steps.append(Run(self.runs[key]))
                waiting.clear()

        for position, item in enumerate((*phase.items, None)):
            match item:
                case PullParam(param):
                    if not lone:
                        flush(position)
                        steps.append(Pull(index[param]))
                case PushParam(param) if lone:
                    pushes.append(Push(index[param]))
                case PushParam(param):
                    flush(position)
                    steps.append(Push(index[param]))
                case Redistribute():
                    flush(position)
                    steps += self._exchange(item, phase, member)
                case None:
                    flush(position)
                case _:
                    waiting.append(item)
        return steps + pushes

    def _exchange(self, item: Redistribute, phase: Phase, member: int) -> list[Step]:
        """A send if another worker needs something, and a receive if this one does."""
        number = self.numbers.setdefault(item.exchange.name, len(self.exchanges))
        if number == len(self.exchanges):
            self.exchanges.append(item.exchange)
        buffers = [phase.buffers.get(n) if n is not None else None for n in (item.source, item.out)]
        source, out = (b and replace(b, first=0, last=0) for b in buffers)
        steps: list[Step] = []
        if source is not None and item.exchange.sends(member):
            steps.append(Send(number, number, source))
        if out is not None and item.exchange.receives(member):
            steps.append(Receive(number, number, out, source))
        return steps

    def _stretch(
        self, phase_name: str, operations: tuple[Operation, ...], phase: Phase, rows: int
    ) -> int:
        inner = flat(operations)
        names = dict.fromkeys(n for o in inner for n in (*reads(o), *writes(o), *_metrics(o)))
        buffers = tuple(
            replace(phase.buffers[n], first=0, last=0) for n in names if n in phase.buffers
        )
        scratch = max((self.phases.scratch(o, phase.buffers) for o in operations), default=0)
        label = f"{phase_name}: {_span_of(inner)}"
        batch = self.model.train.training.batch
        stretch = Stretch(label, rows, operations, buffers, phase.scratch, scratch, batch)
        return self.stretches.setdefault(stretch, len(self.stretches))


# -- helpers ---------------------------------------------------------------------------------------


def _metrics(operation: Operation) -> tuple[str, ...]:
    metric = getattr(operation, "metric", None)
    return (metric_buffer(metric),) if metric else ()


def _span_of(operations: Sequence[Operation]) -> str:
    """First and last tensor written: what a reader knows a stretch by."""
    names = [n for o in operations for n in (*writes(o), *_metrics(o))]
    first, last = names[0], names[-1]
    return first if first == last else f"{first} .. {last}"
