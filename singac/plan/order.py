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
from singac.layers.operations import Operation
from singac.model.graph import Layer, NetGraph
from singac.plan.backward import Backward, Flow
from singac.plan.items import Item, PullParam, PushParam, gradient_of
from singac.plan.loops import distribute, of_one_step
from singac.plan.metrics import metric_names
from singac.plan.states import States, ended
from singac.plan.strips import in_place
from singac.plan.tensors import of_batch, pair_of, tensor_columns, use_of, whole_of


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
    items = forward(graph, batch, graph.needed(watched), False, names)
    states = States(graph, carry)
    ahead = distribute(states.around(items), states.steps)
    kept = {n: states.steps[n] for n in watched if n in states.steps}
    columns = {**tensor_columns(graph), **states.columns}
    steps = {**of_one_step(ahead, states.steps), **kept}
    return Order(ahead, columns, steps, states.carried, of_batch(graph), whole_of(graph))


def train_order(
    graph: NetGraph, batch: int, carry: Sequence[str] = (), flow: Flow | None = None
) -> Order:
    """Operations of a training step, backward included; the flow is that of the whole net."""
    flow = flow or Flow(metric_names(graph), {}, {})
    states = States(graph, carry)
    ahead = states.around(forward(graph, batch, graph.needed(), True, flow.metrics))
    backward = Backward(graph, batch, flow)
    pushed = with_pushes(graph, backward.operations())
    steps = {**states.steps, **backward.steps}
    learnt = ended(pushed, steps)
    items = (*distribute(ahead, steps), *distribute(learnt, steps))
    columns = {**tensor_columns(graph), **states.columns, **backward.columns}
    whole = {**whole_of(graph), **backward.whole}
    steps = of_one_step(items, steps)
    return Order(items, columns, steps, states.carried, of_batch(graph), whole)


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
