"""A partitioned net -> one program a process.

worker beside a server                       lone process
feed                                         feed
pull fc1 | run | pull fc2 | run | ...        run (the whole step)
... run | push fc2 | run | push fc1          push fc1, fc2
serve the slices of its server               serve every slice

Where servers have threads of their own, what they serve is a program of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from singac.layers.exchange import Exchange, group_sum
from singac.layers.expression import Variable
from singac.layers.kind import Gibbs
from singac.layers.operations import (
    Assign,
    GroupSum,
    Operation,
    Pointwise,
    Redistribute,
    flat,
    reads,
    writes,
)
from singac.model.algorithms import ALGORITHMS
from singac.model.resolve import Model
from singac.partition.connect import WorkerNet
from singac.partition.partition import PartitionedNet
from singac.partition.pieces import lying
from singac.partition.split import Piece
from singac.plan import estimate
from singac.plan.contrast import contrast_order
from singac.plan.fuse import fuse
from singac.plan.items import Item, PullParam, PushParam, gradient_of
from singac.plan.layers import placed_layers, places_of
from singac.plan.memory import memories, views
from singac.plan.order import Flow, Order, flow_of, metrics_of, test_order, train_order
from singac.plan.place import Wish, place
from singac.plan.plan import (
    FORMAT_VERSION,
    Buffer,
    Clip,
    Data,
    Feed,
    Field,
    Input,
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
    Slice,
    Space,
    Step,
    Stretch,
    metric_buffer,
    padded,
)

FLOAT_BYTES = 4
SERVE = "serve"  # the program of a server that has a thread of its own
SCRATCH = "scratch:"  # no layer can be called so
Scratch = Callable[[Operation, Mapping[str, Buffer]], int]  # -> bytes on any machine


def project(net: PartitionedNet, model: Model, digest: str, scratch: Scratch) -> Plan:
    """The plan of a run; `scratch` tells the working memory of an operation."""
    projector = _Projector(net, model, scratch)
    seats = model.cluster.topology.seats()
    return _plan(projector, digest, tuple(projector.process(seat) for seat in seats))


def project_test(
    net: PartitionedNet, model: Model, digest: str, scratch: Scratch, watched: Sequence[str]
) -> Plan:
    """A plan of one process that only tests; results of `watched` layers stay in its memory."""
    projector = _Projector(net, model, scratch, tuple(watched))
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
    )


def _data(model: Model) -> Data:
    facts = model.dataset.facts
    fields = tuple(Field(f.name, f.shape, f.scale, f.mean, f.std) for f in facts.fields)
    return Data(model.dataset.name, fields, facts.train, facts.test, facts.shuffle, facts.validate)


@dataclass(frozen=True, slots=True)
class _Phase:
    """A phase of a worker with so many rows: where its tensors lie and what it runs in order."""

    items: tuple[Item, ...]
    buffers: dict[str, Buffer]
    inputs: tuple[Input, ...]
    carried: tuple[Buffer, ...]
    scratch: int
    arena: int


@dataclass(slots=True)
class _Projector:
    net: PartitionedNet
    model: Model
    scratch: Scratch
    watched: tuple[str, ...] = ()
    stretches: dict[Stretch, int] = field(default_factory=dict)
    exchanges: list[Exchange] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    phases: dict[tuple[str, int, int], _Phase] = field(default_factory=dict)
    flows: list[Flow] = field(default_factory=list)

    def process(self, seat: Seat) -> Process:
        topology, worker, server = self.model.cluster.topology, seat.worker, seat.server
        piece = Piece(0, 0)
        if worker is not None:
            piece = self.net.rows[worker % topology.workers_per_group]
        train = self._program("train", worker, server, piece.size)
        test = None
        if self._tests() and worker is not None and topology.group_of_worker(worker) == 0:
            test = self._program("test", worker, None, piece.size)
        serve = None
        if topology.servers_in_threads and server is not None:
            serve = Program(SERVE, tuple(self._serving(server)), (), ())
        process = Process(
            seat.rank,
            worker,
            server,
            piece.start,
            piece.size,
            train,
            test,
            self._memory(worker, server, piece.size),
            0,
            0,
            0,
            serve,
            seat.thread,
        )
        return self._with_costs(process)

    def tester(self) -> Process:
        """A process that has all rows of a batch and trains nothing."""
        rows = self.net.rows[0].size
        phase = self._order("test", 0, rows)
        steps = (Feed(), *self._steps("test", phase, rows, lone=True))
        buffers = tuple(phase.buffers.values())
        test = Program("test", steps, buffers, phase.inputs, phase.carried)
        params = sum(p.floats for p in self.net.params) * FLOAT_BYTES
        memory = Memory(phase.arena, params, 0, 0)
        nothing = Program("train", (), (), ())
        return Process(0, 0, None, 0, rows, nothing, test, memory, 0, 0, 0)

    def _tests(self) -> bool:
        """Whether there is anything to test or validate on."""
        facts = self.model.dataset.facts
        return bool(facts.test or facts.absent or self.model.train.training.validate.every)

    # -- programs ----------------------------------------------------------------------------------

    def _program(self, name: str, worker: int | None, server: int | None, rows: int) -> Program:
        topology = self.model.cluster.topology
        turns = name == "train" and server is not None and not topology.servers_in_threads
        served = self._serving(server) if turns and server is not None else []
        if worker is None:
            return Program(name, tuple(served), (), ())
        lone, member = len(topology.seats()) == 1, self._member(worker)
        phase = self._order(name, member, rows)
        steps = self._steps(name, phase, rows, lone, member)
        if name == "train":
            others = self._others(phase)
            steps = [*map(Pull, others), *steps, *map(Push, others)]
        buffers = tuple(phase.buffers.values())
        return Program(name, (Feed(), *steps, *served), buffers, phase.inputs, phase.carried)

    def _serving(self, server: int) -> list[Step]:
        """What a server does with the gradients of a step."""
        own = server % self.model.cluster.topology.servers_per_group
        return self._clipped(own, self._learned())

    def _member(self, worker: int) -> int:
        """A worker's number in its group."""
        return worker % self.model.cluster.topology.workers_per_group

    def _learned(self) -> tuple[str, ...]:
        """The params that some worker of a group has a gradient of, in the order of pushes."""
        found: dict[str, None] = {}
        for member, net in enumerate(self.net.nets):
            if member == 0 or net is not self.net.nets[member - 1]:
                phase = self._order("train", member, self.net.rows[member].size)
                found |= dict.fromkeys(_learned(phase.items))
        return tuple(found)

    def _others(self, phase: _Phase) -> list[int]:
        """Params of which only other workers have a part: the servers wait for all workers."""
        index = {p.name: k for k, p in enumerate(self.net.params)}
        own = _learned(phase.items)
        return [index[name] for name in self._learned() if name not in own]

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

    def _steps(
        self, name: str, phase: _Phase, rows: int, lone: bool, member: int = 0
    ) -> list[Step]:
        """Items as steps; operations between two exchanges are one stretch."""
        index = {p.name: k for k, p in enumerate(self.net.params)}
        steps: list[Step] = []
        waiting: list[Operation] = []
        pushes: list[Step] = []

        def flush() -> None:
            if waiting:
                steps.append(Run(self._stretch(name, tuple(waiting), phase, rows)))
                waiting.clear()

        for item in phase.items:
            match item:
                case PullParam(param):
                    if not lone:
                        flush()
                        steps.append(Pull(index[param]))
                case PushParam(param) if lone:
                    pushes.append(Push(index[param]))
                case PushParam(param):
                    flush()
                    steps.append(Push(index[param]))
                case Redistribute():
                    flush()
                    steps += self._exchange(item, phase, member)
                case _:
                    waiting.append(item)
        flush()
        return steps + pushes

    def _exchange(self, item: Redistribute, phase: _Phase, member: int) -> list[Step]:
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
        self, phase_name: str, operations: tuple[Operation, ...], phase: _Phase, rows: int
    ) -> int:
        inner = flat(operations)
        names = dict.fromkeys(n for o in inner for n in (*reads(o), *writes(o), *_metrics(o)))
        buffers = tuple(
            replace(phase.buffers[n], first=0, last=0) for n in names if n in phase.buffers
        )
        scratch = max((self.scratch(o, phase.buffers) for o in operations), default=0)
        label = f"{phase_name}: {_span_of(inner)}"
        batch = self.model.train.training.batch
        stretch = Stretch(label, rows, operations, buffers, phase.scratch, scratch, batch)
        return self.stretches.setdefault(stretch, len(self.stretches))

    # -- buffers -----------------------------------------------------------------------------------

    def _order(self, name: str, member: int, rows: int) -> _Phase:
        key = (name, id(self.net.nets[member]), rows)
        if key not in self.phases:
            self.phases[key] = self._phase(name, self.net.nets[member], rows)
        return self.phases[key]

    def _phase(self, name: str, net: WorkerNet, rows: int) -> _Phase:
        trains, batch = name == "train", self.model.train.training.batch
        order = self._train_order(net) if trains else self._test_order(net)
        items = fuse(self._exchanges(name, order, rows), order.extents)
        fed = [f.layer for f in net.fed]
        tensors = memories(items, order, fed, () if trains else self.watched, batch)
        buffers = {b.name: b for b in self._fixed_buffers(net)}
        sizes = {**buffers, **views(items, tensors, rows, dict.fromkeys(tensors, 0))}
        largest = max((self.scratch(o, sizes) for o in _only(items)), default=0)
        wishes = [t.wish(rows) for t in tensors.values() if t.name not in order.carried]
        wishes.append(Wish(SCRATCH, largest, 0, len(items)))
        offsets, arena = place(wishes)
        orders = (order,) if trains else (order, self._train_order(net))
        first = max(self._carried_bytes(o, rows) for o in orders)
        offsets = {n: at + 2 * first for n, at in offsets.items()}
        at = 0 if trains else first
        for kept in order.carried:
            offsets[kept] = at
            at += tensors[kept].bytes(rows)
        buffers |= views(items, tensors, rows, offsets)
        inputs = tuple(
            Input(f.field, buffers[f.layer], f.column, f.whole)
            for f in net.fed
            if f.layer in buffers
        )
        carried = tuple(buffers[n] for n in order.carried)
        return _Phase(items, buffers, inputs, carried, offsets[SCRATCH], arena + 2 * first)

    def _carried_bytes(self, order: Order, rows: int) -> int:
        """What lies at the start of the arena: the states of training, then those of testing."""
        floats = (k * padded(order.columns[n]) for n, k in order.carried.items())
        return sum(floats) * rows * FLOAT_BYTES

    def _flow(self, net: WorkerNet) -> Flow | None:
        """What the net of one worker must know of the whole, if it is a part of it."""
        if net.graph is self.net.graph:
            return None
        if not self.flows:
            self.flows.append(flow_of(self.net.graph, self.model.train.training.batch))
        return self.flows[0]

    def _train_order(self, net: WorkerNet) -> Order:
        training = self.model.train.training
        algorithm = ALGORITHMS[training.algorithm]
        if algorithm.contrasts:
            gibbs = Gibbs(training.gibbs, persistent=algorithm.persistent)
            return contrast_order(net.graph, training.batch, gibbs)
        return train_order(net.graph, training.batch, training.carry, self._flow(net))

    def _test_order(self, net: WorkerNet) -> Order:
        training, watched = self.model.train.training, self.watched
        return test_order(net.graph, training.batch, watched, training.carry, self._flow(net))

    def _exchanges(self, phase_name: str, order: Order, rows: int) -> list[Item]:
        """Exchanges under the name of their phase, sums over the group among them; of a worker
        alone those are copies.
        """
        workers = self.model.cluster.topology.workers_per_group
        items: list[Item] = []
        for item in order.items:
            if isinstance(item, Redistribute):
                exchange = replace(item.exchange, name=f"{phase_name}: {item.exchange.name}")
                items.append(replace(item, exchange=exchange))
            elif not isinstance(item, GroupSum):
                items.append(item)
            elif workers == 1:
                assign = Assign(item.out, Variable(item.source))
                items.append(Pointwise(item.source, (assign,)))
            else:
                name, columns = f"{phase_name}: {item.out}", order.columns[item.source]
                count = 1 if item.source in order.of_batch else rows
                exchange = group_sum(name, workers, count, columns)
                items.append(Redistribute(exchange, item.out, item.source))
        return items

    def _fixed_buffers(self, net: WorkerNet) -> list[Buffer]:
        """Metrics, and a worker's parts of params and gradients: all have a fixed place."""
        found = []
        for param in self.net.params:
            if param.name not in net.pieces:
                continue
            part = lying(param, net.pieces[param.name])
            at, sizes = part.start * FLOAT_BYTES, (part.rows, part.columns, part.layout)
            spaces = ((param.name, Space.PARAMS), (gradient_of(param.name), Space.GRADIENTS))
            found += [Buffer(n, space, at, *sizes) for n, space in spaces]
        for k, metric in enumerate(metrics_of(self.net.graph)):
            found.append(Buffer(metric_buffer(metric), Space.METRICS, 8 * k, 1, 1))
        return found

    # -- costs -------------------------------------------------------------------------------------

    def _memory(self, worker: int | None, server: int | None, rows: int) -> Memory:
        params = sum(p.floats for p in self.net.params) * FLOAT_BYTES
        owned = sum(s.stop - s.start for s in self._owned(server))
        states = owned * len(self.model.train.update.states) * FLOAT_BYTES
        if worker is None:
            return Memory(0, params, 0, states)
        phases = ("train", "test") if self._tests() else ("train",)
        orders = [self._order(name, self._member(worker), rows) for name in phases]
        arena = max(order.arena for order in orders)
        apart = server is not None and self.model.cluster.topology.servers_in_threads
        mail = sum(self._mail_bytes(order, self._member(worker)) for order in orders)
        return Memory(arena, params * (1 + apart), params, states, mail)

    def _mail_bytes(self, phase: _Phase, member: int) -> int:
        """What a worker puts before the others of its group in a phase."""
        moved = [i for i in phase.items if isinstance(i, Redistribute)]
        parts = [m.exchange.held[member] for m in moved if m.exchange.sends(member)]
        return sum(p.rows * padded(p.columns) for p in parts) * FLOAT_BYTES

    def _owned(self, server: int | None) -> list[Slice]:
        if server is None:
            return []
        own = server % self.model.cluster.topology.servers_per_group
        return [s for s in self.net.slices if s.server == own]

    def _with_costs(self, process: Process) -> Process:
        """Costs of a step of every worker group that the process works in or serves."""
        topology, owned = self.model.cluster.topology, self._owned(process.server)
        flops = sent = received = 0
        if process.server is not None:
            groups = topology.groups_of(topology.group_of_server(process.server))
            size = topology.workers_per_group
            update = estimate.update_flops(self.model.train.update, owned, size)
            flops += update * len(groups)
            workers = [g * size + w for g in groups for w in range(size)]
            others = sum(topology.rank_of_worker(w) != process.rank for w in workers)
            served = sum(s.stop - s.start for s in owned) * FLOAT_BYTES * others
            sent, received = sent + served, received + served
        if process.worker is not None:
            phase = self._order("train", self._member(process.worker), process.rows)
            flops += sum(
                estimate.flops(o, phase.buffers, _rows_of(o, phase.buffers, process.rows))
                for o in _only(phase.items)
            )
            hosts = self._hosts(topology.group_of_worker(process.worker))
            moved = estimate.moved_floats(self.net.slices, hosts, process.rank) * FLOAT_BYTES
            out, back = self._exchanged(process.train, process.worker)
            sent, received = sent + moved + out, received + moved + back
        return replace(process, flops=flops, bytes_sent=sent, bytes_received=received)

    def _exchanged(self, program: Program, worker: int) -> tuple[int, int]:
        """Bytes sent and received among the workers of a group in a program."""
        sent = received = 0
        for step in program.steps:
            if isinstance(step, Send | Receive):
                exchange = self.exchanges[step.exchange]
                out, back = estimate.exchanged_bytes(exchange, self._member(worker))
                sent += out if isinstance(step, Send) else 0
                received += back if isinstance(step, Receive) else 0
        return sent, received

    def _hosts(self, worker_group: int) -> dict[int, int]:
        """The ranks of the servers that a worker group talks to, by number in their group."""
        topology = self.model.cluster.topology
        first = topology.served_by(worker_group) * topology.servers_per_group
        servers = range(topology.servers_per_group)
        return {k: topology.rank_of_server(first + k) for k in servers}


# -- helpers ---------------------------------------------------------------------------------------


def _only(items: Sequence[Item]) -> list[Operation]:
    return [i for i in items if not isinstance(i, PullParam | PushParam | Redistribute)]


def _learned(items: Sequence[Item]) -> tuple[str, ...]:
    return tuple(i.param for i in items if isinstance(i, PushParam))


def _rows_of(operation: Operation, buffers: Mapping[str, Buffer], rows: int) -> int:
    """Rows, of one step, of the tensors of layers that an operation works on."""
    found = [buffers[n] for n in (*writes(operation), *reads(operation)) if n in buffers]
    return next((b.rows // b.steps for b in found if b.space is Space.ARENA), rows)


def _metrics(operation: Operation) -> tuple[str, ...]:
    metric = getattr(operation, "metric", None)
    return (metric_buffer(metric),) if metric else ()


def _span_of(operations: Sequence[Operation]) -> str:
    """First and last tensor written: what a reader knows a stretch by."""
    names = [n for o in operations for n in (*writes(o), *_metrics(o))]
    first, last = names[0], names[-1]
    return first if first == last else f"{first} .. {last}"
