"""A net -> a step of contrastive divergence: the third order of the same operations.

Layers below the RBMs at the top run forward as in a test and learn nothing. Then each pair makes
its gradients from the data it sees, and each is pushed as soon as it is complete:

    pull fc   fc   pull w, b, c   data .. sample .. reconstruction ..   d(w)   push w   d(c) ...
"""

from __future__ import annotations

from dataclasses import replace

from singac.layers.access import writes
from singac.layers.kind import Energy, Gibbs, Pair, inner_name
from singac.layers.operations import Operation
from singac.model.graph import Layer, NetGraph
from singac.plan.items import Item, PullParam, gradient_of
from singac.plan.order import Order, forward, with_pushes
from singac.plan.tensors import of_batch, pair_of, tensor_columns


def contrast_order(graph: NetGraph, batch: int, gibbs: Gibbs) -> Order:
    """Operations of a training step; of `gibbs` the gradients are found here."""
    below = _below(graph)
    items: list[Item] = list(forward(graph, batch, below, training=False))
    pulled = [item.param for item in items if isinstance(item, PullParam)]
    operations: list[Operation] = []
    for visible, hidden in graph.pairs():
        for use in (*hidden.params, *visible.params):
            if use.name not in pulled:
                items.append(PullParam(use.name))
                pulled.append(use.name)
        operations += _contrast(hidden, pair_of(graph, batch, hidden), gibbs, operations)
    pushed = with_pushes(graph, [[operation] for operation in operations])
    carried = dict.fromkeys(_chains(graph), 1) if gibbs.persistent else {}
    kept = of_batch(graph)
    return Order((*items, *pushed), tensor_columns(graph), carried=carried, of_batch=kept)


def _chains(graph: NetGraph) -> list[str]:
    """Where the pairs' chains are kept from batch to batch."""
    return [inner_name(hidden.name, _energy(hidden).chain) for _, hidden in graph.pairs()]


def _energy(hidden: Layer) -> Energy:
    energy = hidden.kind.energy if hidden.kind is not None else None
    assert energy is not None, "a hidden layer says what its connection means"
    return energy


def _below(graph: NetGraph) -> tuple[Layer, ...]:
    """Layers that lead to what a pair at the top sees, sources first."""
    wanted = {source: None for visible, _ in graph.pairs() for source in visible.sources}
    for layer in reversed(graph.layers()):
        if layer.name in wanted:
            wanted |= dict.fromkeys(layer.sources)
    return tuple(layer for layer in graph.layers() if layer.name in wanted)


def _contrast(
    hidden: Layer, pair: Pair, gibbs: Gibbs, before: list[Operation]
) -> tuple[Operation, ...]:
    """What a pair adds to the operations; pairs may share params."""
    operands = (*pair.hidden.params.values(), *pair.visible.params.values())
    gradients = {operand.name: gradient_of(operand.name) for operand in operands}
    written = [name for operation in before for name in writes(operation)]
    begun = tuple(name for name in gradients.values() if name in written)
    return _energy(hidden).contrast(pair, replace(gibbs, gradients=gradients, begun=begun))
