"""`layer` and `updater` definitions of the prelude and of a program, by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

from singac.diagnostics import Report, Source
from singac.layers.table import KINDS
from singac.model import equations
from singac.model.equations import PointwiseLayer, Updater
from singac.model.program import Blocks, gather
from singac.syntax.parse import parse

Definitions = tuple[dict[str, PointwiseLayer], dict[str, Updater]]


def prelude() -> Source:
    """The text of the built-in pointwise layers and updaters."""
    text = resources.files("grammar").joinpath("prelude.singa").read_text(encoding="utf-8")
    return Source("prelude.singa", text)


@cache
def built_in() -> tuple[Mapping[str, PointwiseLayer], Mapping[str, Updater]]:
    """The pointwise layers and the updaters of the prelude; read once, it never changes."""
    report = Report()
    layers: dict[str, PointwiseLayer] = {}
    updaters: dict[str, Updater] = {}
    _define(gather(parse(prelude()), (), report), layers, updaters, report)
    assert not report.found, f"the prelude is wrong: {report.found}"
    return MappingProxyType(layers), MappingProxyType(updaters)


def definitions(blocks: Blocks, report: Report) -> Definitions:
    """The prelude's layers and updaters, then the program's own, which may replace them."""
    known_layers, known_updaters = built_in()
    layers, updaters = dict(known_layers), dict(known_updaters)
    _define(blocks, layers, updaters, report)
    for name, block in blocks.blocks.items():
        if name in KINDS or name in layers:
            message = f"`{name}` is a kind of layer and cannot be a block"
            report.error("SG0134", message, block.name.span, help="choose another name")
    return layers, updaters


def _define(
    blocks: Blocks,
    layers: dict[str, PointwiseLayer],
    updaters: dict[str, Updater],
    report: Report,
) -> None:
    for name, layer in blocks.layers.items():
        if name in KINDS:
            message = f"`{name}` is a built-in layer that is no equation"
            report.error("SG0129", message, layer.name.span, help="choose another name")
        found = equations.layer(layer, blocks.scope, report)
        layers[name] = found or equations.broken_layer(layer)
    for name, updater in blocks.updaters.items():
        made = equations.updater(updater, blocks.scope, report)
        updaters[name] = made or equations.broken_updater(updater)
