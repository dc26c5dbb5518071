"""`on auto`: the cheapest way of cutting what a partition leaves to the compiler.

What is written by hand stays as it is. A layer on auto may go on batch, on feature where its kind
can, on input behind a layer that is cut on feature or on input, or whole to worker 0. All ways of a
layer and all that may stand between two layers are priced once (`cost.py`); the cheapest sum is
found by `solve.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from singac.diagnostics import Report
from singac.layers.exchange import NOTHING
from singac.layers.kind import Dimension
from singac.model.graph import Layer
from singac.model.resolve import Model
from singac.model.rules import AUTO, Cut
from singac.partition.assign import batch_only, place
from singac.partition.chosen import Choice, Chosen
from singac.partition.cost import Costs, Load
from singac.partition.machine import Machine
from singac.partition.parts import Wishes, wishes_of
from singac.partition.placing import Placing, on_batch
from singac.partition.solve import Arrow, Problem, cheapest
from singac.partition.split import Piece

DIGITS = 9  # of what is told: nanoseconds


@dataclass(frozen=True, slots=True)
class Ways:
    """The layers that count, the ways each may go and how it is placed then, and their prices."""

    layers: tuple[Layer, ...]
    cuts: tuple[tuple[Cut, ...], ...]
    placings: tuple[tuple[Placing, ...], ...]
    problem: Problem

    def number(self, layer: int, text: str) -> int | None:
        """The way of a layer that a rule would call so."""
        texts = [cut.text for cut in self.cuts[layer]]
        return texts.index(text) if text in texts else None

    def uniform(self, text: str) -> tuple[int, ...]:
        """Every layer this way where it can go it, else the first way."""
        return tuple(self.number(layer, text) or 0 for layer in range(len(self.layers)))


def choose(
    model: Model, cuts: Mapping[str, Cut], rows: tuple[Piece, ...], machine: Machine, report: Report
) -> tuple[Mapping[str, Cut], Chosen | None]:
    """The rules with a way for each layer on auto, and why; what was chosen is None if none is.

    Reports that memory does not suffice.
    """
    if all(cut.dimension != AUTO for cut in cuts.values()):
        return cuts, None
    ways = priced(model, cuts, rows, machine)
    found = cheapest(ways.problem)
    if found is None:
        _report_room(model, cuts, machine, report)
        found = ways.uniform(Dimension.BATCH)
    decided = {layer.name: ways.cuts[k][found[k]] for k, layer in enumerate(ways.layers)}
    named = {n: replace(c, dimension=Dimension.BATCH) for n, c in cuts.items()}
    return {n: decided.get(n, named[n]) for n in cuts}, _explained(ways, found, machine)


def priced(
    model: Model, cuts: Mapping[str, Cut], rows: tuple[Piece, ...], machine: Machine
) -> Ways:
    """All ways of all layers that anything depends on, with their prices."""
    graph, costs = model.net.graph, Costs(model, machine)
    layers = tuple(layer for layer in graph.needed() if layer.kind is not None)
    offered = tuple(_offered(layer, model, cuts) for layer in layers)
    placings = _placings(model, layers, offered, rows)
    loads = [
        [_load(costs, layer, placing, model) for placing in of_layer]
        for layer, of_layer in zip(layers, placings, strict=True)
    ]
    wants, arrows = _arrows(model, cuts, layers, offered, placings)
    exchanges = tuple(
        tuple(tuple(costs.exchange(layer, held, wanted) for wanted in of_layer) for held in ways)
        for layer, ways, of_layer in zip(layers, placings, wants, strict=True)
    )
    seconds = tuple(tuple(load.seconds for load in of_layer) for of_layer in loads)
    sizes = tuple(tuple(load.bytes for load in of_layer) for of_layer in loads)
    problem = Problem(seconds, sizes, exchanges, arrows, machine.room)
    return Ways(layers, offered, placings, problem)


def _load(costs: Costs, layer: Layer, placing: Placing, model: Model) -> Load:
    """Unrolled layers and such have one way to go, and are not priced."""
    return Load(0.0, 0) if batch_only(layer, model) else costs.layer(layer, placing)


# -- which ways there are --------------------------------------------------------------------------


def _offered(layer: Layer, model: Model, cuts: Mapping[str, Cut]) -> tuple[Cut, ...]:
    """The ways that a layer may go; on batch first, where there is a choice."""
    rule = cuts.get(layer.name)
    if rule is None or batch_only(layer, model):
        return (Cut(Dimension.BATCH, None, layer.span),)
    if rule.dimension != AUTO:
        return (rule,)
    assert layer.kind is not None, "a field is cut by who reads it"
    whole = [Cut(Dimension.BATCH, None, rule.span), Cut(None, 0, rule.span)]
    shared, fixed = _sharing(layer, model, cuts)
    if fixed is not None:
        return (replace(fixed, span=rule.span),)
    if shared:
        return tuple(whole)
    pieces = [Dimension.FEATURE] * (layer.kind.feature is not None)
    pieces += [Dimension.INPUT] * layer.kind.sums_input
    return (whole[0], *(Cut(p, None, rule.span) for p in pieces), whole[1])


def _sharing(layer: Layer, model: Model, cuts: Mapping[str, Cut]) -> tuple[bool, Cut | None]:
    """Whether others use its params too, and how a rule cuts one of them: then it is cut alike."""
    own = [use.name for use in layer.params]
    others = [
        other
        for other in model.net.graph.layers()
        if other.name != layer.name and any(use.name in own for use in other.params)
    ]
    rules = [cuts[other.name] for other in others if other.name in cuts]
    fixed = (r for r in rules if r.dimension in (Dimension.FEATURE, Dimension.INPUT))
    return bool(others), next(fixed, None)


def _placings(
    model: Model,
    layers: Sequence[Layer],
    offered: Sequence[Sequence[Cut]],
    rows: tuple[Piece, ...],
) -> tuple[tuple[Placing, ...], ...]:
    """How each layer is placed on each way, as behind sources on feature where these can be."""
    graph = model.net.graph
    before = {f.name: on_batch(f, rows) for f in graph.layers() if f.kind is None}
    found = []
    for layer, cuts in zip(layers, offered, strict=True):
        placed = tuple(place(model, layer, cut, before, rows) for cut in cuts)
        on_feature = (p for p in placed if p.dimension is Dimension.FEATURE)
        before[layer.name] = next(on_feature, placed[0])
        found.append(placed)
    return tuple(found)


def _arrows(
    model: Model,
    cuts: Mapping[str, Cut],
    layers: Sequence[Layer],
    offered: Sequence[Sequence[Cut]],
    placings: Sequence[Sequence[Placing]],
) -> tuple[list[tuple[Wishes, ...]], tuple[Arrow, ...]]:
    """What is asked for of each layer, each once, and the arrows that ask for it."""
    number = {layer.name: k for k, layer in enumerate(layers)}
    wants: list[dict[Wishes, int]] = [{} for _ in layers]
    arrows = []
    for reader, layer in enumerate(layers):
        for slot, name in enumerate(layer.sources):
            if (source := number.get(name)) is None:
                continue
            of_ways = [wishes_of(model.net.graph, layer, p, slot) for p in placings[reader]]
            known = wants[source]
            asks = tuple(
                known.setdefault(w, len(known)) if any(part != NOTHING for part in w) else -1
                for w in of_ways
            )
            chosen = layer.name in cuts and cuts[layer.name].dimension == AUTO
            barred = _barred(offered[source], offered[reader]) if chosen else ()
            arrows.append(Arrow(source, reader, asks, barred))
    return [tuple(of_layer) for of_layer in wants], tuple(arrows)


def _barred(sources: Sequence[Cut], readers: Sequence[Cut]) -> tuple[tuple[int, int], ...]:
    """On input only behind what lies in columns, or will: elsewhere it spares no exchange."""
    in_columns = (Dimension.FEATURE, Dimension.INPUT)
    return tuple(
        (v, w)
        for v, source in enumerate(sources)
        for w, reader in enumerate(readers)
        if reader.dimension == Dimension.INPUT and source.dimension not in in_columns
    )


def _report_room(model: Model, cuts: Mapping[str, Cut], machine: Machine, report: Report) -> None:
    span = next(cut.span for cut in cuts.values() if cut.dimension == AUTO)
    workers = model.cluster.topology.workers_per_group
    message = f"`{model.net.graph.name}` does not fit in {machine.room:,} bytes a worker"
    label = f"however it is cut for {workers} workers"
    help = "use more workers or a smaller batch, or say with --calibration that there is more room"
    report.error("SG0306", message, span, label, help=help)


# -- why -------------------------------------------------------------------------------------------


def _explained(ways: Ways, found: tuple[int, ...], machine: Machine) -> Chosen:
    on_batch = ways.problem.total(ways.uniform(Dimension.BATCH))
    layers = [k for k, cuts in enumerate(ways.cuts) if len(cuts) > 1]
    choices = tuple(_choice(ways, found, k) for k in layers)
    seconds = ways.problem.total(found)
    return Chosen(machine, round(seconds, DIGITS), round(on_batch, DIGITS), choices)


def _choice(ways: Ways, found: tuple[int, ...], layer: int) -> Choice:
    problem, way = ways.problem, found[layer]
    read = {
        (a.source, a.asks[way]): None
        for a in problem.arrows
        if a.reader == layer and a.asks[way] >= 0
    }
    exchanged = sum(problem.exchanges[source][found[source]][k] for source, k in read)
    seconds = problem.seconds[layer][way] + exchanged
    least = problem.total(found)
    others = [
        (problem.total(other), text)
        for number, text in enumerate(cut.text for cut in ways.cuts[layer])
        if number != way
        for other in _otherwise(ways, found, layer, number)
        if problem.is_offered(other)
    ]
    total, runner_up = min(others, default=(least, ""), key=lambda other: other[0])
    name, cut = ways.layers[layer].name, ways.cuts[layer][way].text
    return Choice(name, cut, round(seconds, DIGITS), runner_up, round(total - least, DIGITS))


def _otherwise(ways: Ways, found: tuple[int, ...], layer: int, way: int) -> list[tuple[int, ...]]:
    """The choice with one layer on another way; what hangs on it stays, or goes any one way too."""
    hanging = _hanging(ways, layer)
    texts = dict.fromkeys(cut.text for k in hanging for cut in ways.cuts[k])
    changes = [{}, *({k: ways.number(k, text) for k in hanging} for text in texts)]
    moved = []
    for change in changes:
        other = list(found)
        for k, number in change.items():
            other[k] = found[k] if number is None else number
        other[layer] = way
        moved.append(tuple(other))
    return moved


def _hanging(ways: Ways, layer: int) -> list[int]:
    """Layers behind a layer that have no params, and no source but it or another such."""
    found = [layer]
    for k in range(layer + 1, len(ways.layers)):
        sources = [a.source for a in ways.problem.arrows if a.reader == k]
        if sources and all(s in found for s in sources) and not ways.layers[k].params:
            found.append(k)
    return found[1:]
