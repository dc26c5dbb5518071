"""A `net` block and the facts of its data -> the net graph, shapes inferred."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from singac.diagnostics import Place, Report, Span, did_you_mean
from singac.layers import equation
from singac.layers.cut import ONE_TO_ONE
from singac.layers.kind import (
    LayerKind,
    Misfit,
    Operand,
    Settings,
    Sizes,
    Use,
    Wanted,
    columns,
    same_shape,
)
from singac.layers.operations import Operation
from singac.layers.table import KINDS
from singac.model.arguments import match_settings
from singac.model.delays import shape_ahead
from singac.model.equations import PointwiseLayer, settings_of, with_settings
from singac.model.expand import Expanded, Placed, expand
from singac.model.graph import Layer, NetGraph, NetParam, ParamUse, arrows, find_cycle, in_order
from singac.model.pairs import check_alone, check_ends, check_weight, joined
from singac.model.params import ParamTable, RoleArguments, split_arguments, unaliased
from singac.model.unroll import Bridge, Sources, sources_of
from singac.model.values import Scope
from singac.settings import shape_text
from singac.syntax import tree

MOST_COLUMNS = 2**31


@dataclass(frozen=True, slots=True)
class Net:
    """A resolved net.

    `members` maps the name of a block to the names of its layers, `outputs` every name that may be
    a source to the layer whose result it means.
    """

    graph: NetGraph
    members: Mapping[str, tuple[str, ...]]
    outputs: Mapping[str, str]
    block: tree.Net


def kinds_of(definitions: Mapping[str, PointwiseLayer]) -> dict[str, LayerKind]:
    """The table of kinds with the pointwise layers of the prelude and the program."""
    return {**KINDS, **{name: _pointwise(d) for name, d in definitions.items()}}


def _pointwise(definition: PointwiseLayer) -> LayerKind:
    """The kind an equation makes; its settings are numbers, the formals of the definition."""
    said = "; ".join(" ".join(e.span.text.split()) for e in definition.definition.equations)
    return LayerKind(
        name=definition.name,
        summary=said,
        equations=said,
        settings=settings_of(definition.formals, positional=True),
        sources=1,
        shape=same_shape,
        forward=partial(_forward, definition),
        backward=partial(_backward, definition),
        feature=ONE_TO_ONE,
    )


def _forward(definition: PointwiseLayer, use: Use, training: bool) -> tuple[Operation, ...]:
    return equation.forward(use, with_settings(definition.y, numbers(use.settings)))


def _backward(definition: PointwiseLayer, use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    return equation.backward(use, wanted, with_settings(definition.y, numbers(use.settings)))


def numbers(settings: Settings) -> dict[str, float]:
    """Settings that are all numbers, as an equation takes them."""
    return {n: float(v) for n, v in settings.items() if isinstance(v, int | float)}


def resolve_net(
    block: tree.Net,
    fields: Mapping[str, Sizes],
    blocks: Mapping[str, tree.Block],
    kinds: Mapping[str, LayerKind],
    scope: Scope,
    report: Report,
    texts: tuple[str, ...] = (),
) -> Net | None:
    """The net, or None after reporting what is wrong with it. `texts` are fields of a text."""
    before = len(report.found)
    expanded = expand(block, tuple(fields), blocks, scope, report)
    sources = sources_of(expanded, fields, texts, report)
    if len(report.found) > before:
        _check_kinds(expanded, kinds, tuple(blocks), report)
        return None
    cycle = find_cycle(sources.names)
    if cycle:
        _cycle(cycle, expanded, report)
        return None
    if not expanded.layers:
        help = "features -> dense(10)"
        message = f"the net `{block.name.text}` has no layers"
        report.error("SG0142", message, block.name.span, help=help)
        return None
    builder = _Builder(expanded, sources, kinds, tuple(blocks), report)
    layers, params = builder.build(fields, block.name.span)
    if len(report.found) > before:
        return None
    graph = NetGraph(block.name.text, layers, params)
    return Net(graph, expanded.members, expanded.outputs, block)


def _check_kinds(
    expanded: Expanded, kinds: Mapping[str, LayerKind], blocks: tuple[str, ...], report: Report
) -> None:
    for placed in expanded.layers:
        _kind(placed, kinds, blocks, expanded, report)


def _kind(
    placed: Placed,
    kinds: Mapping[str, LayerKind],
    blocks: tuple[str, ...],
    expanded: Expanded,
    report: Report,
) -> LayerKind | None:
    word = placed.step.kind
    if word.text in kinds:
        return kinds[word.text]
    existing = placed.prefix + word.text
    if existing in expanded.outputs and existing != placed.name:
        message = f"`{word.text}` is there already, and an arrow leads to a new layer"
        help = (
            f"start from it: {word.text} -> ...; or share its params: weight = {word.text}.weight"
        )
    else:
        message = f"there is no layer kind `{word.text}`"
        help = did_you_mean(word.text, [*kinds, *blocks]) or ""
    report.error("SG0143", message, word.span, help=help)
    return None


def _cycle(cycle: tuple[str, ...], expanded: Expanded, report: Report) -> None:
    spans = {p.name: p.step.span for p in expanded.layers}
    around = " -> ".join([*cycle, cycle[0]])
    related = tuple(Place(spans[n], f"`{n}` is on the cycle") for n in cycle[1:6] if n in spans)
    help = "a layer may feed only layers that do not lead back to it, unless by way of a delay"
    report.error(
        "SG0144",
        f"the layers feed each other: {around}",
        spans[cycle[0]],
        related=related,
        help=help,
    )


class _Builder:
    """Layers one after the other, sources first, each with settings, params and shape."""

    def __init__(
        self,
        expanded: Expanded,
        sources: Sources,
        kinds: Mapping[str, LayerKind],
        blocks: tuple[str, ...],
        report: Report,
    ) -> None:
        self.expanded, self.report = expanded, report
        self.sources, self.bridges = sources.names, sources.bridges
        self.kinds, self.blocks = kinds, blocks
        self.done: dict[str, Layer] = {}
        self.said: dict[str, tuple[Placed, RoleArguments]] = {}
        self.params = ParamTable(expanded.params, report)

    def build(
        self, fields: Mapping[str, Sizes], span: Span
    ) -> tuple[tuple[Layer, ...], tuple[NetParam, ...]]:
        placed = {p.name: p for p in self.expanded.layers}
        for name in in_order(arrows(self.sources)):
            if name in placed:
                self._layer(placed[name])
            elif name in self.bridges:
                self._bridge(name, self.bridges[name])
            else:
                self.done[name] = Layer(name, None, {}, (), fields[name], (), span)
        for name, bridge in self.bridges.items():
            self._check_delay(name, bridge)
        declared = [n for n in self.sources if n in self.done]
        layers = tuple(self.done[n] for n in declared)
        self.params.check_names(self.done)
        # A param may lack its shape because the layer that uses it is wrong.
        complete = len(layers) == len(self.sources)
        if complete:
            check_alone(self.done, self.report)
        return layers, self.params.finish() if complete else ()

    def _bridge(self, name: str, bridge: Bridge) -> None:
        """What nobody wrote; a delay has the shape that its layer will have."""
        if bridge.delay is not None:
            shape = self._shape_ahead(bridge.delay.of)
        elif bridge.kind is not None and bridge.sources[0] in self.done:
            shape = bridge.kind.shape({}, self._operands(bridge.sources))
        else:
            return
        steps, span = bridge.steps, bridge.span
        self.done[name] = Layer(
            name, bridge.kind, {}, bridge.sources, shape, (), span, steps, bridge.delay
        )

    def _shape_ahead(self, name: str) -> Sizes:
        known = {n: layer.shape for n, layer in self.done.items()}
        steps = {p.name: p for p in self.expanded.layers}
        return shape_ahead(name, known, steps, self.sources, self.bridges, self.kinds)

    def _check_delay(self, name: str, bridge: Bridge) -> None:
        """The shape a delay was taken for is what its layer has."""
        if bridge.delay is None or bridge.delay.of not in self.done:
            return
        layer, assumed = self.done[bridge.delay.of], self.done[name].shape
        if not layer.shape:
            self._ended(bridge.span, layer)
        elif layer.shape != assumed:
            message = f"`{layer.name}` has another shape than its own earlier steps"
            label = f"{shape_text(assumed)} here, and then {shape_text(layer.shape)}"
            related = (Place(layer.span, f"`{layer.name}`"),)
            help = "what a step makes must be as large as what it takes of the one before"
            self.report.error("SG0188", message, bridge.span, label, related=related, help=help)

    def _operands(self, names: tuple[str, ...]) -> tuple[Operand, ...]:
        return tuple(Operand(n, self.done[n].shape, steps=self.done[n].steps) for n in names)

    def _layer(self, placed: Placed) -> None:
        kind = _kind(placed, self.kinds, self.blocks, self.expanded, self.report)
        names = self.sources[placed.name]
        if kind is None:
            return
        given = unaliased(placed.step.arguments, kind.aliases)
        arguments, roles = split_arguments(given, kind.roles, self.report)
        span = placed.step.span
        matched = match_settings(
            arguments, kind.settings, placed.scope, span, self.report, kind.roles
        )
        if matched is None or any(n not in self.done for n in names):
            return
        operands = self._operands(names)
        if not check_ends(placed, kind, tuple(self.done[n] for n in names), self.report):
            return
        shape = self._shape(placed, kind, matched.values, operands)
        if shape is not None:
            uses = self._params(placed, kind, matched.values, operands, roles)
            steps = placed.unrolled.steps if placed.unrolled is not None else 1
            layer = Layer(placed.name, kind, matched.values, names, shape, uses, span, steps)
            self.done[placed.name], self.said[placed.name] = layer, (placed, roles)
            if placed.undirected:
                self._join(self.done[names[0]], layer)

    def _join(self, visible: Layer, hidden: Layer) -> None:
        self.done |= {layer.name: layer for layer in joined(visible, hidden)}
        placed, roles = self.said[visible.name]
        check_weight(placed, roles, visible, hidden, self.params, self.report)

    def _params(
        self,
        placed: Placed,
        kind: LayerKind,
        settings: Settings,
        operands: tuple[Operand, ...],
        roles: RoleArguments,
    ) -> tuple[ParamUse, ...]:
        return self.params.uses(placed, kind.params(settings, operands), roles)

    def _shape(
        self,
        placed: Placed,
        kind: LayerKind,
        settings: Settings,
        operands: tuple[Operand, ...],
    ) -> Sizes | None:
        if len(operands) < kind.sources or (len(operands) > kind.sources and not kind.or_more):
            message = f"`{kind.name}` takes {_sources_of(kind)}, not {len(operands)}"
            label = f"fed by {' and '.join(f'`{o.name}`' for o in operands)}"
            help = "join sources in brackets: [fc2, label] -> ..." if kind.sources > 1 else None
            if kind.own_state is not None:
                word = placed.step.kind.text
                help = f"its own earlier result is a source: [x, h[t-1]] -> h: {word}(...)"
            self.report.error("SG0146", message, placed.step.span, label, help=help)
            return None
        for operand in operands:
            if not operand.shape:
                self._ended(placed.step.span, self.done[operand.name])
                return None
        if not self._state_is_own(placed, kind, operands):
            return None
        try:
            shape = kind.shape(settings, operands)
        except Misfit as misfit:
            self._misfit(placed, operands, misfit)
            return None
        if columns(shape) > MOST_COLUMNS:
            message = f"an example of `{placed.name}` would be {columns(shape):,} numbers"
            help = f"at most {MOST_COLUMNS:,} are possible"
            self.report.error("SG0155", message, placed.step.span, help=help)
            return None
        return shape

    def _state_is_own(self, placed: Placed, kind: LayerKind, operands: tuple[Operand, ...]) -> bool:
        if not kind.needs_own_state or kind.own_state is None:
            return True
        state = self.done[operands[kind.own_state].name]
        if state.delay is not None and state.delay.of == placed.name:
            return True
        word = placed.step.kind.text
        message = f"the state of `{placed.name}` is `{state.name}`, no earlier result of its own"
        help = f"[x, h[t-1]] -> h: {word}(...), where h is the name of this layer"
        self.report.error("SG0189", message, placed.step.span, help=help)
        return False

    def _ended(self, span: Span, layer: Layer) -> None:
        related = (Place(layer.span, "this gives one number for the batch"),)
        message = f"`{layer.name}` ends the net and feeds nothing"
        help = "feed the layers before it instead"
        self.report.error("SG0147", message, span, related=related, help=help)

    def _misfit(self, placed: Placed, operands: tuple[Operand, ...], misfit: Misfit) -> None:
        """Both layers are shown with their shapes."""
        related = tuple(
            Place(layer.span, f"`{o.name}` has shape {shape_text(o.shape)}")
            for o in operands
            if (layer := self.done[o.name]).kind is not None
        )
        label = ", ".join(f"`{o.name}` is {shape_text(o.shape)}" for o in operands)
        self.report.error(
            "SG0148",
            misfit.message,
            placed.step.span,
            label,
            related=related,
            help=misfit.help,
        )


def _sources_of(kind: LayerKind) -> str:
    count = "one source" if kind.sources == 1 else f"{kind.sources} sources"
    return f"at least {count}" if kind.or_more else count
