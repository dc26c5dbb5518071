"""Sources of layers in an unrolled part of a net, and what leads in and out of it.

unroll 3 {
    char        -> x: onehot(9)        char[t]      a row of the field for each step
    [x, h[t-1]] -> h: gru(5)           h[t-1]       what the step before made
    [h, image]  -> ...                 image[all t] the same for all steps
}
h -> ...                               h[last]      what the last step made
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from singac.diagnostics import Place, Report, Span
from singac.layers.bridge import EVERY_STEP, LAST_STEP, ONE_A_STEP
from singac.layers.kind import LayerKind, Sizes
from singac.layers.time import shifted
from singac.model.expand import Expanded, Placed, SourceRef, Unrolled, unknown_source
from singac.model.graph import Delay
from singac.settings import shape_text


@dataclass(frozen=True, slots=True)
class Bridge:
    """A layer nobody wrote: what an arrow goes through, or what a step reads of an earlier one."""

    kind: LayerKind | None
    sources: tuple[str, ...]
    steps: int
    span: Span
    delay: Delay | None = None


@dataclass(slots=True)
class Sources:
    """Names of the sources of every layer, and the bridges among them."""

    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    bridges: dict[str, Bridge] = field(default_factory=dict)


def sources_of(
    expanded: Expanded, fields: Mapping[str, Sizes], texts: tuple[str, ...], report: Report
) -> Sources:
    """The sources of every layer; fields of the data have none. `texts` are fields of a text."""
    return _Finder(expanded, fields, texts, report).find()


class _Finder:
    def __init__(
        self,
        expanded: Expanded,
        fields: Mapping[str, Sizes],
        texts: tuple[str, ...],
        report: Report,
    ) -> None:
        self.expanded, self.fields, self.texts, self.report = expanded, fields, texts, report
        self.placed = {p.name: p for p in expanded.layers}
        self.found = Sources()

    def find(self) -> Sources:
        layers: dict[str, tuple[str, ...]] = {}
        for placed in self.expanded.layers:
            names = [self._source(ref, placed) for ref in placed.sources]
            layers[placed.name] = tuple(n for n in names if n is not None)
        bridges = {name: bridge.sources for name, bridge in self.found.bridges.items()}
        used = (n for names in (*layers.values(), *bridges.values()) for n in names)
        fields = {n: () for n in used if n not in layers and n not in bridges}
        self.found.names = {**fields, **bridges, **layers}
        return self.found

    def _source(self, ref: SourceRef, placed: Placed) -> str | None:
        if ref.name not in self.expanded.outputs:
            unknown_source(ref, placed, self.expanded, self.report)
            return None
        name = self.expanded.outputs[ref.name]
        own, other = placed.unrolled, self._unrolled(name)
        if ref.delay:
            return self._delayed(name, ref, own, other)
        if other is not None and own != other:
            name = self._bridge(f"{name}[last]", Bridge(LAST_STEP, (name,), 1, ref.span))
        if own is not None and own != other:
            return self._into(name, ref, own)
        return name

    def _unrolled(self, name: str) -> Unrolled | None:
        return self.placed[name].unrolled if name in self.placed else None

    def _bridge(self, name: str, bridge: Bridge) -> str:
        self.found.bridges.setdefault(name, bridge)
        return name

    def _into(self, name: str, ref: SourceRef, own: Unrolled) -> str:
        """A field with a row for each step gives one to each, anything else the same to all."""
        which = "" if own.number == 1 else f" of unroll {own.number}"
        shape = self.fields.get(name, ())
        if shape and shape[0] == own.steps:
            return self._bridge(
                f"{name}[t{which}]", Bridge(ONE_A_STEP, (name,), own.steps, ref.span)
            )
        if name in self.texts:
            message = f"`{name}` has {shape_text(shape)} steps an example and not {own.steps}"
            related = (Place(own.span, f"{own.steps} steps here"),)
            help = "give the data and the unroll one length: let length = 50"
            self.report.error("SG0186", message, ref.span, related=related, help=help)
        every = Bridge(EVERY_STEP, (name,), own.steps, ref.span)
        return self._bridge(f"{name}[all t{which}]", every)

    def _delayed(
        self, name: str, ref: SourceRef, own: Unrolled | None, other: Unrolled | None
    ) -> str | None:
        """What a layer of the same unroll made some steps before."""
        if own is None:
            message = "only the steps of an unroll have earlier ones"
            help = "unroll 50 { ... } around these layers"
        elif name not in self.placed:
            message = f"`{name}` is a field of the data and has no earlier step"
            help = "delay a layer that is fed by it"
        elif own != other:
            message = f"`{name}` is not in this unroll and has no earlier step here"
            help = "from outside it feeds every step alike: leave out the delay"
        else:
            bridge = Bridge(None, (), own.steps, ref.span, Delay(name, ref.delay))
            return self._bridge(shifted(name, -ref.delay), bridge)
        self.report.error("SG0187", message, ref.span, help=help)
        return None
