"""The shape of a layer before its sources are known: a delay is read before its layer is made.

Most layers that end a recurrence have the shape their settings tell. Others (`add`, `tanh`) have
that of a source: it is tried, without the sources that lead back to the layer itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from singac.diagnostics import Report
from singac.layers.kind import LayerKind, Misfit, Operand, Sizes
from singac.model.arguments import match_settings
from singac.model.expand import Placed
from singac.model.params import split_arguments, unaliased
from singac.model.unroll import Bridge

UNKNOWN: Sizes = (1,)


def shape_ahead(
    name: str,
    known: Mapping[str, Sizes],
    placed: Mapping[str, Placed],
    sources: Mapping[str, tuple[str, ...]],
    bridges: Mapping[str, Bridge],
    kinds: Mapping[str, LayerKind],
) -> Sizes:
    """The shape the layer will have; a guess where nothing tells, to be checked when it is made."""
    return _Ahead(known, placed, sources, bridges, kinds).shape(name, ()) or UNKNOWN


class _Ahead:
    def __init__(
        self,
        known: Mapping[str, Sizes],
        placed: Mapping[str, Placed],
        sources: Mapping[str, tuple[str, ...]],
        bridges: Mapping[str, Bridge],
        kinds: Mapping[str, LayerKind],
    ) -> None:
        self.known, self.placed, self.sources = known, placed, sources
        self.bridges, self.kinds = bridges, kinds

    def shape(self, name: str, asked: tuple[str, ...]) -> Sizes | None:
        """None where it leads back to one of the layers `asked` for."""
        if name in self.known:
            return self.known[name]
        if name in asked:
            return None
        bridge = self.bridges.get(name)
        if bridge is not None and bridge.delay is not None:
            return self.shape(bridge.delay.of, (*asked, name))
        if name not in self.placed:
            return None
        return self._made(self.placed[name], (*asked, name))

    def _made(self, placed: Placed, asked: tuple[str, ...]) -> Sizes | None:
        kind = self.kinds.get(placed.step.kind.text)
        if kind is None:
            return None
        unheard = Report()  # the layer's mistakes are reported when it is made
        given = unaliased(placed.step.arguments, kind.aliases)
        arguments, _ = split_arguments(given, kind.roles, unheard)
        span = placed.step.span
        matched = match_settings(arguments, kind.settings, placed.scope, span, unheard, kind.roles)
        if matched is None:
            return None
        if kind.own_shape is not None:
            return kind.own_shape(matched.values)
        shapes = [self.shape(n, asked) for n in self.sources[placed.name]]
        other = next((s for s in shapes if s is not None), None)
        if other is None:
            return None
        operands = tuple(Operand("", s or other) for s in shapes)
        try:
            return kind.shape(matched.values, operands)
        except Misfit:
            return None
