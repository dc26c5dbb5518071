"""A net -> the operations of one step in order, with the params they need and complete.

Forward goes through the layers sources first, backward the other way. A param is pulled just
before the first layer that reads it and pushed as soon as its gradient is complete, so that both
overlap with the computing of other layers:

    pull fc1   fc1   pull fc2   fc2   loss   fc2'   push fc2   fc1'   push fc1
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from singac.layers.access import reads, writes
from singac.layers.expression import Expression, Variable, add, number
from singac.layers.kind import Operand, Pair, Use, Wanted, columns, inner_name, stream_of
from singac.layers.loss import LOSS
from singac.layers.operations import Assign, Operation, Pointwise
from singac.layers.time import base_of, shift_of, shifted, steps_of
from singac.model.graph import Layer, NetGraph
from singac.plan.items import Item as Item
from singac.plan.items import PullParam as PullParam
from singac.plan.items import PushParam as PushParam
from singac.plan.items import gradient_of as gradient_of
from singac.plan.loops import distribute, names_in, of_one_step
from singac.plan.strips import in_place


@dataclass(frozen=True, slots=True)
class Order:
    """The operations of a phase, and the tensors of layers that they name.

    columns    of each tensor
    steps      of each tensor: one outside an unrolled part of the net
    carried    tensors that keep a state from batch to batch, and how many steps of it
    of_batch   tensors with one row for the whole batch; others have a row an example
    whole      tensors that have all rows of a batch; the others have the worker's
    """

    items: tuple[Item, ...]
    columns: Mapping[str, int]
    steps: Mapping[str, int] = field(default_factory=dict)
    carried: Mapping[str, int] = field(default_factory=dict)
    of_batch: frozenset[str] = frozenset()
    whole: Mapping[str, None] = field(default_factory=dict)

    @property
    def extents(self) -> Mapping[str, tuple[bool, int]]:
        """What tells whether two tensors have the same elements."""
        return {name: (name in self.of_batch, size) for name, size in self.columns.items()}


@dataclass(frozen=True, slots=True)
class Flow:
    """What a worker's part of a net must know of the whole: its metrics, and where gradients go.

    `learning` are the layers whose gradient is of use, `given` the layers that write the gradient
    of a source, each with its slot.
    """

    metrics: Mapping[str, Mapping[str, str]]
    learning: Mapping[str, None]
    given: Mapping[tuple[str, int], None]


def flow_of(graph: NetGraph, batch: int) -> Flow:
    """The flow of gradients through a whole net."""
    names = metric_names(graph)
    backward = _Backward(graph, batch, Flow(names, {}, {}))
    backward.operations()
    return Flow(names, backward.learning, backward.given)


def test_order(
    graph: NetGraph,
    batch: int,
    watched: Sequence[str],
    carry: Sequence[str] = (),  # noqa: PT028 (this is no test)
    flow: Flow | None = None,  # noqa: PT028
) -> Order:
    """Operations that measure the net's losses and metrics on a batch, and compute `watched`.

    Of a part of a net the `flow` is that of the whole.
    """
    names = flow.metrics if flow is not None else None
    items = forward(graph, batch, needed(graph, watched), False, names)
    states = _States(graph, carry)
    ahead = distribute(states.around(items), states.steps)
    kept = {n: states.steps[n] for n in watched if n in states.steps}
    columns = {**tensor_columns(graph), **states.columns}
    steps = {**of_one_step(ahead, states.steps), **kept}
    return Order(ahead, columns, steps, states.carried, of_batch(graph), _whole(graph))


def train_order(
    graph: NetGraph, batch: int, carry: Sequence[str] = (), flow: Flow | None = None
) -> Order:
    """Operations of a training step, backward included; the flow is that of the whole net."""
    flow = flow or Flow(metric_names(graph), {}, {})
    states = _States(graph, carry)
    ahead = states.around(forward(graph, batch, needed(graph), True, flow.metrics))
    backward = _Backward(graph, batch, flow)
    pushed = with_pushes(graph, backward.operations())
    steps = {**states.steps, **backward.steps}
    learnt = _ended(pushed, steps)
    items = (*distribute(ahead, steps), *distribute(learnt, steps))
    columns = {**tensor_columns(graph), **states.columns, **backward.columns}
    whole = {**_whole(graph), **backward.whole}
    steps = of_one_step(items, steps)
    return Order(items, columns, steps, states.carried, of_batch(graph), whole)


def _whole(graph: NetGraph) -> dict[str, None]:
    """The tensors of layers that have all rows of a batch."""
    strips = [layer for layer in graph.layers() if layer.strip is not None]
    return dict.fromkeys(n for s in strips for n in (s.name, *_inner(graph, s)))


def tensor_columns(graph: NetGraph) -> dict[str, int]:
    """Those of every layer's result, then of what layers keep beside it."""
    layers = _in_memory(graph)
    results = {layer.name: columns(layer.shape) for layer in layers}
    inner = {
        name: size
        for layer in layers
        for name, size in {**_inner(graph, layer), **_inner_of_batch(graph, layer)}.items()
    }
    return {**results, **inner}


def _in_memory(graph: NetGraph) -> list[Layer]:
    """All but delays, which are rows of the layer they are of."""
    return [layer for layer in graph.layers() if layer.delay is None]


class _States:
    """What the first step takes for the steps before it: zeros, or what a batch before left.

    `steps` are those of every tensor of the forward pass of an unrolled layer.
    """

    def __init__(self, graph: NetGraph, carry: Sequence[str]) -> None:
        self.carry = carry
        self.steps: dict[str, int] = {}
        self.owners: dict[str, str] = {}
        self.sizes = tensor_columns(graph)
        for layer in _in_memory(graph):
            names = (layer.name, *_inner(graph, layer))
            self.steps |= dict.fromkeys(names, layer.steps)
            self.owners |= dict.fromkeys(names, layer.name)
        self.columns: dict[str, int] = {}
        self.carried: dict[str, int] = {}

    def around(self, items: Sequence[Item]) -> list[Item]:
        """The items, with states set before them and left behind them."""
        longest: dict[str, int] = {}
        for name in names_in(items):
            if shift_of(name) < 0:
                longest[base_of(name)] = max(longest.get(base_of(name), 0), -shift_of(name))
        before: list[Item] = []
        behind: list[Item] = []
        for name, delay in longest.items():
            first, kept = steps_of(name, -delay, 0), f"carried({name})"
            if self.owners[name] not in self.carry:
                before.append(Pointwise(first, (Assign(first, number(0)),)))
                continue
            steps = self.steps[name]
            last = steps_of(name, steps - delay, steps)
            before.append(Pointwise(first, (Assign(first, Variable(kept)),)))
            behind.append(Pointwise(kept, (Assign(kept, Variable(last)),)))
            self.columns[kept], self.carried[kept] = self.sizes[name], delay
        return [*before, *items, *behind]


def _ended(items: Sequence[Item], steps: Mapping[str, int]) -> list[Item]:
    """The items of backward, before them: behind the last step nothing hands a gradient back."""
    furthest: dict[str, int] = {}
    for name in names_in(items):
        if shift_of(name) > 0:
            furthest[base_of(name)] = max(furthest.get(base_of(name), 0), shift_of(name))
    zeros: list[Item] = []
    for name, delay in furthest.items():
        behind = steps_of(name, steps[name], steps[name] + delay)
        zeros.append(Pointwise(behind, (Assign(behind, number(0)),)))
    return [*zeros, *items]


def _inner(graph: NetGraph, layer: Layer) -> dict[str, int]:
    if layer.kind is None:
        return {}
    sizes = layer.kind.inner(layer.settings, _operands(graph, layer))
    return {inner_name(layer.name, role): size for role, size in sizes.items()}


def _inner_of_batch(graph: NetGraph, layer: Layer) -> dict[str, int]:
    if layer.kind is None:
        return {}
    sizes = layer.kind.inner_of_batch(layer.settings, _operands(graph, layer))
    return {inner_name(layer.name, role): size for role, size in sizes.items()}


def of_batch(graph: NetGraph) -> frozenset[str]:
    """Names of tensors that have one row for the whole batch."""
    return frozenset(n for layer in graph.layers() for n in _inner_of_batch(graph, layer))


def _operands(graph: NetGraph, layer: Layer) -> tuple[Operand, ...]:
    return tuple(Operand(s.name, s.shape, steps=s.steps) for s in graph.sources(layer.name))


def metrics_of(graph: NetGraph) -> tuple[str, ...]:
    """Names of all metrics of a net: the loss, plain names, then those with a layer's name."""
    named = metric_names(graph)
    found = dict.fromkeys(name for names in named.values() for name in names.values())
    return tuple(sorted(found, key=lambda name: (name != LOSS, "." in name)))


def metric_names(graph: NetGraph) -> dict[str, dict[str, str]]:
    """For each layer, the net's name of each of its metrics.

    All losses add to one. Of several layers with one kind of metric the first that is no loss has
    its plain name, the others put theirs before it: `accuracy`, `top.accuracy`.
    """
    layers = [layer for layer in graph.layers() if layer.kind is not None]
    named: dict[str, dict[str, str]] = {layer.name: {} for layer in layers}
    taken: dict[str, None] = {}
    for layer in sorted(layers, key=lambda layer: layer.kind is not None and layer.kind.is_loss):
        for metric in layer.kind.metrics if layer.kind else ():
            free = metric == LOSS or metric not in taken
            named[layer.name][metric] = metric if free else f"{layer.name}.{metric}"
            taken[metric] = None
    return named


def use_of(graph: NetGraph, batch: int, layer: Layer, metrics: Mapping[str, str]) -> Use:
    """A layer as its kind sees it."""
    sources = _operands(graph, layer)
    params = {
        u.role: Operand(u.name, graph.params[u.name].shape, u.transposed) for u in layer.params
    }
    stream = stream_of(layer.name)
    name, shape, settings, steps = layer.name, layer.shape, layer.settings, layer.steps
    return Use(name, shape, settings, sources, params, stream, batch * steps, metrics, steps)


def needed(graph: NetGraph, watched: Sequence[str] = ()) -> tuple[Layer, ...]:
    """Layers that a loss, a metric, another worker or a watched layer depends on, sources first."""
    return graph.needed(watched)


def forward(
    graph: NetGraph,
    batch: int,
    layers: Sequence[Layer],
    training: bool,
    names: Mapping[str, Mapping[str, str]] | None = None,
) -> Sequence[Item]:
    """Operations of the layers in order; `names` are those of the whole net's metrics."""
    items: list[Item] = []
    pulled: dict[str, None] = {}
    metrics = metric_names(graph) if names is None else names
    tops = [hidden.name for _, hidden in graph.pairs()]
    for layer in layers:
        if layer.kind is None:
            continue
        for param in layer.params:
            if param.name not in pulled:
                items.append(PullParam(param.name))
                pulled[param.name] = None
        use = use_of(graph, batch, layer, metrics.get(layer.name, {}))
        items += in_place(layer, layer.kind.forward(use, training))
        if not training and layer.name in tops:
            energy, pair = layer.kind.energy, pair_of(graph, batch, layer)
            assert energy is not None, "a hidden layer says what its connection means"
            items += energy.reconstruct(pair)
    return items


def pair_of(graph: NetGraph, batch: int, hidden: Layer) -> Pair:
    """A hidden layer and the visible one it is joined to, as their kinds see them."""
    (visible,) = graph.sources(hidden.name)
    names = metric_names(graph)
    return Pair(*(use_of(graph, batch, end, names[end.name]) for end in (visible, hidden)))


class _Backward:
    """Reverse-mode differentiation over the layers that a loss depends on."""

    def __init__(self, graph: NetGraph, batch: int, flow: Flow) -> None:
        self.graph, self.batch, self.flow = graph, batch, flow
        self.layers = needed(graph)
        self.learning = self._learning()
        self.parts: dict[str, list[str]] = {}
        self.columns: dict[str, int] = {}
        self.begun: dict[str, None] = {}
        self.steps: dict[str, int] = {}
        self.whole: dict[str, None] = {}
        self.given: dict[tuple[str, int], None] = {}
        self.delayed = [d for d in self.layers if d.delay is not None and d.name in self.learning]

    def _learning(self) -> dict[str, None]:
        """Layers whose gradient is of use: they, or a layer before them, have params."""
        found: dict[str, None] = {}
        size = -1
        while size < len(found):
            size = len(found)
            for layer in self.layers:
                sources = layer.sources if layer.delay is None else (layer.delay.of,)
                known = layer.name in self.flow.learning or self._learns(layer)
                if known or layer.params or any(s in found for s in sources):
                    found[layer.name] = None
        return found

    def _learns(self, layer: Layer) -> bool:
        """Whether a gradient comes back through a connection, be it from this worker or not."""
        return any(served in self.flow.given for served in layer.link or ())

    def operations(self) -> list[list[Operation]]:
        """The operations of each layer, last layer first.

        What a step hands back to earlier ones is complete when all layers are through; the loop
        over steps puts it in its place.
        """
        while True:
            self.parts, self.begun, self.given = {}, {}, {}
            layers = [self._layer(layer) for layer in reversed(self.layers)]
            handing = [d for d in self.delayed if d.name in self.parts]
            if handing == self.delayed:
                return [*layers, *(self._handed_back(d) for d in self.delayed)]
            self.delayed = handing  # the others feed nothing that learns

    def _handed_back(self, delayed: Layer) -> list[Operation]:
        """The gradient of what was read of an earlier step, all its parts together."""
        parts, own = self.parts[delayed.name], gradient_of(delayed.name)
        self._size(own, delayed)
        return [] if parts == [own] else [_summed(own, parts)]

    def _size(self, name: str, layer: Layer) -> None:
        self.columns[name], self.steps[name] = columns(layer.shape), layer.steps
        if layer.strip is not None:
            self.whole[name] = None

    def _parts_of(self, layer: Layer) -> list[str]:
        """Parts of the gradient of a layer's result, what later steps hand back among them."""
        later = [
            shifted(gradient_of(d.name), d.delay.by)
            for d in self.delayed
            if d.delay is not None and d.delay.of == layer.name
        ]
        return [*self.parts.get(layer.name, []), *later]

    def _layer(self, layer: Layer) -> list[Operation]:
        parts = self._parts_of(layer)
        ends = layer.kind is not None and layer.kind.is_loss
        if layer.kind is None or not (ends or parts or self._learns(layer)):
            return []
        operations: list[Operation] = []
        own = parts[0] if parts and not ends else None
        if len(parts) > 1:
            own = gradient_of(layer.name)
            self._size(own, layer)
            operations.append(_summed(own, parts))
        sources = tuple(self._part(layer, slot) for slot in range(len(layer.sources)))
        params = {u.role: gradient_of(u.name) for u in layer.params}
        begun = tuple(n for n in params.values() if n in self.begun)
        wanted = Wanted(own, sources, params, begun)
        metrics = self.flow.metrics.get(layer.name, {})
        use = use_of(self.graph, self.batch, layer, metrics)
        made = in_place(layer, layer.kind.backward(use, wanted))
        written = [n for operation in made for n in writes(operation)]
        self.begun |= dict.fromkeys(n for n in params.values() if n in written)
        for slot, (source, name) in enumerate(zip(layer.sources, sources, strict=True)):
            if name is not None and name in written:
                self.given[layer.name, slot] = None
                self.parts.setdefault(source, []).append(name)
        return [*operations, *made]

    def _part(self, layer: Layer, slot: int) -> str | None:
        """Name of what a layer adds to the gradient of a source; None where it is of no use."""
        source = layer.sources[slot]
        if source not in self.learning:
            return None
        several = len(self.graph.consumers(source)) > 1
        name = f"d({source})/{layer.name}.{slot}" if several else gradient_of(source)
        self._size(name, self.graph.layer(source))
        return name


def _summed(out: str, parts: list[str]) -> Pointwise:
    """The gradient of a layer that feeds several: a split's backward, the sum."""
    first, *others = (Variable(part) for part in parts)
    total: Expression = first
    for part in others:
        total = add(total, part)
    return Pointwise(parts[0], (Assign(out, total),))


def with_pushes(graph: NetGraph, layers: list[list[Operation]]) -> list[Item]:
    """Each push after the last layer that writes the gradient or reads the param in backward."""
    param_of = {gradient_of(name): name for name in graph.params}
    last: dict[str, int] = {}
    learned: dict[str, None] = {}
    for position, operations in enumerate(layers):
        written = [n for operation in operations for n in writes(operation)]
        read = [n for operation in operations for n in reads(operation)]
        completed = [param_of[n] for n in written if n in param_of]
        learned |= dict.fromkeys(completed)
        last |= dict.fromkeys([*completed, *(n for n in read if n in graph.params)], position)
    items: list[Item] = []
    for position, operations in enumerate(layers):
        items += operations
        used = dict.fromkeys(n for o in operations for n in (*reads(o), *writes(o)))
        names = dict.fromkeys(param_of.get(n, n) for n in used)
        items += [PushParam(n) for n in names if n in learned and last[n] == position]
    return items
