"""Undirected connections: `vis <-> hid: rbm_hidden(units)` joins two layers to a pair.

To the graph the arrow leads from the visible to the hidden layer. A pair has one weight; the
hidden layer's arguments say which, and the visible layer's may say the same, transposed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from singac.diagnostics import Place, Report
from singac.layers.kind import End, LayerKind, ParamSpec, columns
from singac.model.expand import Placed
from singac.model.graph import Layer
from singac.model.params import ParamTable, RoleArguments

WEIGHT = "weight"


def check_ends(placed: Placed, kind: LayerKind, sources: tuple[Layer, ...], report: Report) -> bool:
    """Whether a layer is joined as its kind is meant to be; reports otherwise."""
    hidden, name = kind.end is End.HIDDEN, placed.name
    if hidden and not placed.undirected:
        message = f"an arrow leads to `{name}`, which is one end of an undirected connection"
        report.error("SG0135", message, placed.step.span, help=f"vis <-> {name}: {kind.name}(...)")
        return False
    if not placed.undirected:
        return True
    first = sources[0]
    if not hidden:
        message = f"`<->` leads to a hidden layer, and `{kind.name}` is none"
        help = "vis: rbm_visible(units) <-> hid: rbm_hidden(units); elsewhere write ->"
        report.error("SG0135", message, placed.step.span, help=help)
    elif first.kind is None or first.kind.end is not End.VISIBLE:
        related = () if first.kind is None else (Place(first.span, f"`{first.name}` is none"),)
        message = f"`<->` starts at a visible layer, and `{first.name}` is none"
        help = f"{first.name} -> vis: rbm_visible({columns(first.shape)}) <-> {name}"
        report.error("SG0135", message, placed.step.span, related=related, help=help)
    elif first.partner is not None:
        message = f"`{first.name}` is joined to `{first.partner}` already"
        help = "one rbm_hidden with the units of both does the same"
        report.error("SG0135", message, placed.step.span, help=help)
    else:
        return True
    return False


def joined(visible: Layer, hidden: Layer) -> tuple[Layer, Layer]:
    """Both layers, each knowing the other."""
    return replace(visible, partner=hidden.name), replace(hidden, partner=visible.name)


def check_alone(layers: Mapping[str, Layer], report: Report) -> None:
    """Reports visible layers that no hidden one is joined to."""
    for layer in layers.values():
        if layer.kind is not None and layer.kind.end is End.VISIBLE and layer.partner is None:
            message = f"no hidden layer is joined to `{layer.name}`"
            help = f"{layer.name} <-> hid: rbm_hidden(units)"
            report.error("SG0135", message, layer.span, help=help)


def check_weight(
    placed: Placed,
    roles: RoleArguments,
    visible: Layer,
    hidden: Layer,
    params: ParamTable,
    report: Report,
) -> None:
    """What the visible layer's arguments say of the weight: it is the hidden one's, transposed."""
    drawn, tied = roles.drawn.get(WEIGHT), roles.tied.get(WEIGHT)
    own = next(use for use in hidden.params if use.role == WEIGHT)
    scales = tuple(s for s in roles.scales if s.path.names[0].text == WEIGHT)
    turned = own.name if own.transposed else f"{own.name}'"
    if drawn is not None or scales:
        span = drawn.span if drawn is not None else scales[0].span
        message = f"the weight of a pair is that of its hidden layer, `{hidden.name}`"
        help = "say there how it is drawn and how fast it learns"
        related = (Place(hidden.span, "this layer"),)
        report.error("SG0136", message, span, related=related, help=help)
    if tied is None:
        return
    spec = ParamSpec(WEIGHT, (columns(hidden.shape), columns(visible.shape)), ("constant", {}))
    only = RoleArguments({}, {WEIGHT: tied}, ())
    before = len(report.found)
    for use in params.uses(placed, (spec,), only):
        fits = use.name == own.name and use.transposed != own.transposed
        if not fits and len(report.found) == before:
            message = f"`{visible.name}` and `{hidden.name}` have one weight, once transposed"
            related = (Place(hidden.span, f"`{own.name}` here"),)
            help = f"weight = {turned}, or leave it out"
            report.error("SG0136", message, tied.span, related=related, help=help)
