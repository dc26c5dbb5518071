"""The net of a plan as a graph in the language of graphviz, coloured by how it is cut."""

from __future__ import annotations

from collections.abc import Iterator

from singac.plan.plan import PlacedLayer, Plan
from singac.report.screen import pieces_text
from singac.report.survey import Stratum

# fmt: off
COLOURS = {
    "batch":   "#cfe3f7",
    "feature": "#fbdcb4",
    "":        "#e8e8e8",
}
# fmt: on
ELSEWHERE = "#d5ecd0"  # whole at one worker, or cut as no other


def colour(layer: PlacedLayer) -> str:
    """By the dimension a layer is cut on; fields of the data are grey."""
    return COLOURS[""] if layer.kind == "field" else COLOURS.get(layer.cut, ELSEWHERE)


def as_dot(plan: Plan) -> str:
    """A digraph: a node a layer, an edge a connection, sources above."""
    return "\n".join(_lines(plan)) + "\n"


def _lines(plan: Plan) -> Iterator[str]:
    yield f"digraph {_quoted(plan.net)} {{"
    yield f"  label={_quoted(_title(plan))}; labelloc=t; rankdir=TB;"
    yield '  node [shape=box, style="rounded,filled", fontname="sans-serif", fontsize=11];'
    yield '  edge [fontname="sans-serif", fontsize=9];'
    for layer in plan.layers:
        label = "\n".join(_label(layer))
        fill = colour(layer)
        yield f"  {_quoted(layer.name)} [label={_quoted(label)}, fillcolor={_quoted(fill)}];"
    for layer in plan.layers:
        for source in layer.sources:
            yield f"  {_quoted(source)} -> {_quoted(layer.name)};"
    yield "}"


def _title(plan: Plan) -> str:
    return f"{plan.net}, partition {plan.partition}, {len(plan.processes)} processes"


def _label(layer: PlacedLayer) -> Iterator[str]:
    shape = "x".join(map(str, layer.shape))
    yield f"{layer.name}: {layer.kind}" if layer.kind != "field" else layer.name
    yield shape or "a number"
    if layer.kind != "field":
        cut = f"on {layer.cut}, " if layer.cut else ""
        yield cut + pieces_text(Stratum((layer.name,), layer.cut, layer.pieces))


def _quoted(text: str) -> str:
    """A string of the dot language: nothing but the quote and the backslash needs escaping."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
