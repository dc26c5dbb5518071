"""The rules of a partition -> for every layer, which part of it each worker of a group has."""

from __future__ import annotations

from collections.abc import Mapping

from singac.diagnostics import Place, Report
from singac.layers.kind import Dimension
from singac.model.algorithms import ALGORITHMS
from singac.model.graph import Layer
from singac.model.resolve import Model
from singac.model.rules import AUTO, Cut
from singac.partition.placing import Placing, at_worker, on_batch, on_feature, on_input
from singac.partition.split import Piece


def checked(model: Model, report: Report) -> Mapping[str, Cut]:
    """What the rules say of each layer that can be cut so; reports what cannot.

    Of one worker all is on batch, whatever the rules say.
    """
    if model.rules is None or model.cluster.topology.workers_per_group == 1:
        return {}
    cuts = model.rules.cuts.items()
    graph = model.net.graph
    return {n: cut for n, cut in cuts if _can_be(graph.layer(n), cut, model, report)}


def assign(model: Model, cuts: Mapping[str, Cut], rows: tuple[Piece, ...]) -> Mapping[str, Placing]:
    """The placing of every layer, those without a rule on batch; the compiler has chosen."""
    found: dict[str, Placing] = {}
    for layer in model.net.graph.layers():
        cut = cuts.get(layer.name)
        found[layer.name] = (
            on_batch(layer, rows) if cut is None else place(model, layer, cut, found, rows)
        )
    return found


def place(
    model: Model,
    layer: Layer,
    cut: Cut,
    placed: Mapping[str, Placing],
    rows: tuple[Piece, ...],
) -> Placing:
    """The placing of a layer that can be cut so; its sources are placed."""
    graph = model.net.graph
    match cut.dimension:
        case None:
            assert cut.worker is not None, "the rule names a worker"
            return at_worker(layer, cut.worker, rows)
        case Dimension.FEATURE:
            return on_feature(graph, layer, placed, rows)
        case Dimension.INPUT:
            return on_input(graph, layer, placed, rows)
        case _:
            return on_batch(layer, rows)


def batch_only(layer: Layer, model: Model) -> bool:
    """Whether a layer is cut on batch whatever its kind: a run exchanges nothing within a step."""
    graph = model.net.graph
    neighbours = (*graph.sources(layer.name), *(c for c, _ in graph.consumers(layer.name)))
    unrolled = any(one.steps > 1 for one in (layer, *neighbours))
    return unrolled or ALGORITHMS[model.train.training.algorithm].contrasts


def _can_be(layer: Layer, cut: Cut, model: Model, report: Report) -> bool:
    """Whether a layer can be cut as a rule says; reports why not."""
    assert layer.kind is not None, "rules name no field"
    if cut.dimension in (Dimension.BATCH, AUTO):
        return True
    if batch_only(layer, model):
        why = "unrolled layers, and nets trained by contrastive divergence, are cut on batch"
        message = f"`{layer.name}` is cut on batch only: {why}"
        report.error("SG0304", message, cut.span, help=f"put `{layer.name}` on batch")
        return False
    if cut.worker is not None:
        return _is_worker(cut, model, report)
    why = ""
    if cut.dimension == Dimension.FEATURE and layer.kind.feature is None:
        why = layer.kind.uncut
    elif cut.dimension == Dimension.INPUT and not layer.kind.sums_input:
        why = "its result is no sum over the values of its source"
    if why:
        message = f"`{layer.name}` cannot be cut on {cut.dimension}: {why}"
        help = f"put `{layer.name}` on batch, or at one worker: `{layer.name} at 0`"
        report.error("SG0304", message, cut.span, f"a `{layer.kind.name}`", help=help)
    return not why


def _is_worker(cut: Cut, model: Model, report: Report) -> bool:
    """Whether a group has the worker that a rule names."""
    workers = model.cluster.topology.workers_per_group
    assert cut.worker is not None, "the rule names a worker"
    if cut.worker >= workers:
        at = model.cluster.workers_at
        related = (Place(at, f"and a group has {workers} workers"),) if at else ()
        message = f"there is no worker {cut.worker} in a group of {workers}"
        help = f"workers are counted from 0: use one of 0 to {workers - 1}"
        report.error("SG0303", message, cut.span, related=related, help=help)
    return cut.worker < workers
