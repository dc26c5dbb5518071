"""What a worker's net runs in a phase, in order, and where its tensors lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from singac.layers.exchange import Exchange, group_sum
from singac.layers.expression import Variable
from singac.layers.kind import Gibbs
from singac.layers.operations import Assign, GroupSum, Operation, Pointwise, Redistribute
from singac.model.algorithms import ALGORITHMS
from singac.model.resolve import Model
from singac.partition.connect import WorkerNet
from singac.partition.partition import PartitionedNet
from singac.partition.pieces import lying
from singac.plan.alike import drawn_in_place, likeness
from singac.plan.backward import Flow, flow_of
from singac.plan.contrast import contrast_order
from singac.plan.estimate import Traffic, traffic
from singac.plan.fuse import fuse, live
from singac.plan.items import Item, PullParam, PushParam, gradient_of
from singac.plan.memory import memories, views
from singac.plan.metrics import metrics_of
from singac.plan.order import Order, test_order, train_order
from singac.plan.place import Wish, place
from singac.plan.plan import Buffer, Input, Space, metric_buffer, padded

FLOAT_BYTES = 4
SCRATCH = "scratch:"  # no layer can be called so
Scratch = Callable[[Operation, Mapping[str, Buffer]], int]  # -> bytes on any machine


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase of a worker with so many rows: where its tensors lie and what it runs in order."""

    items: tuple[Item, ...]
    buffers: dict[str, Buffer]
    inputs: tuple[Input, ...]
    carried: tuple[Buffer, ...]
    scratch: int
    arena: int

    @property
    def computed(self) -> list[Operation]:
        """The operations that are not exchanges."""
        return computed(self.items)

    @property
    def learned(self) -> tuple[str, ...]:
        """The params whose gradient is complete at the end, in the order of pushes."""
        return tuple(i.param for i in self.items if isinstance(i, PushParam))


@dataclass(slots=True)
class Phases:
    """The phases of all workers of a group, each made when it is first asked for.

    Results of `watched` layers stay in memory when testing.
    """

    net: PartitionedNet
    model: Model
    scratch: Scratch
    watched: tuple[str, ...] = ()
    _known: dict[tuple[str, int, int], Phase] = field(default_factory=dict)
    _traffic: dict[str, Traffic] = field(default_factory=dict)
    _alike: dict[tuple[object, ...], Phase] = field(default_factory=dict)
    _flows: list[Flow] = field(default_factory=list)
    _learned: dict[str, None] = field(default_factory=dict)

    def of(self, name: str, member: int) -> Phase:
        """The phase `train` or `test` of a worker of a group; workers that do alike share it."""
        net, rows = self.net.nets[member], self.net.rows[member].size
        key = (name, id(net), rows)
        if key not in self._known:
            like = name, rows, likeness(net)
            first = self._alike.get(like)
            made = self._phase(name, net, rows) if first is None else self._elsewhere(first, net)
            self._known[key] = self._alike[like] = made
        return self._known[key]

    def _elsewhere(self, phase: Phase, net: WorkerNet) -> Phase:
        """The phase of a net like another one's, where its own pieces lie."""
        buffers = phase.buffers | {b.name: b for b in self._fixed_buffers(net)}
        items = drawn_in_place(phase.items, net)
        return replace(phase, items=items, buffers=buffers, inputs=_inputs(net, buffers))

    def tests(self) -> bool:
        """Whether there is anything to test or validate on."""
        facts = self.model.dataset.facts
        return bool(facts.test or facts.absent or self.model.train.training.validate.every)

    def learned(self) -> tuple[str, ...]:
        """The params that some worker of a group has a gradient of, in the order of pushes."""
        if not self._learned:
            for member, net in enumerate(self.net.nets):
                if member == 0 or net is not self.net.nets[member - 1]:
                    self._learned |= dict.fromkeys(self.of("train", member).learned)
        return tuple(self._learned)

    def traffic(self, exchange: Exchange) -> Traffic:
        """What an exchange of some phase moves."""
        if exchange.name not in self._traffic:
            self._traffic[exchange.name] = traffic(exchange)
        return self._traffic[exchange.name]

    def _phase(self, name: str, net: WorkerNet, rows: int) -> Phase:
        trains, batch = name == "train", self.model.train.training.batch
        order = self._train_order(net) if trains else self._test_order(net)
        watched = () if trains else self.watched
        fused = fuse(self._exchanges(name, order, rows), order.extents)
        items = live(fused, (*watched, *order.carried))
        fed = [f.layer for f in net.fed]
        tensors = memories(items, order, fed, watched, batch)
        buffers = {b.name: b for b in self._fixed_buffers(net)}
        sizes = {**buffers, **views(items, tensors, rows, dict.fromkeys(tensors, 0))}
        largest = max((self.scratch(o, sizes) for o in computed(items)), default=0)
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
        inputs = _inputs(net, buffers)
        carried = tuple(buffers[n] for n in order.carried)
        return Phase(items, buffers, inputs, carried, offsets[SCRATCH], arena + 2 * first)

    def _carried_bytes(self, order: Order, rows: int) -> int:
        """What lies at the start of the arena: the states of training, then those of testing."""
        floats = (k * padded(order.columns[n]) for n, k in order.carried.items())
        return sum(floats) * rows * FLOAT_BYTES

    def _flow(self, net: WorkerNet) -> Flow | None:
        """What the net of one worker must know of the whole, if it is a part of it."""
        if net.graph is self.net.graph:
            return None
        if not self._flows:
            self._flows.append(flow_of(self.net.graph, self.model.train.training.batch))
        return self._flows[0]

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


def _inputs(net: WorkerNet, buffers: Mapping[str, Buffer]) -> tuple[Input, ...]:
    fed = (f for f in net.fed if f.layer in buffers)
    return tuple(Input(f.field, buffers[f.layer], f.column, f.whole) for f in fed)


def computed(items: Sequence[Item]) -> list[Operation]:
    """Operations that are not exchanges."""
    return [i for i in items if not isinstance(i, PullParam | PushParam | Redistribute)]
