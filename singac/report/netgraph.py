"""The net of a plan drawn: layers as boxes coloured by how they are cut, sources above.

A deep net goes on in the next column, as text does in a newspaper.

    | a |    | e |        a layer's rank is one more than that of its last source
    | b |    | f |        an arrow that passes other ranks goes round them on the right
    | c |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from singac.plan.plan import PlacedLayer, Plan
from singac.report.markup import element
from singac.report.screen import pieces_text
from singac.report.survey import Stratum

RANKS = 14  # at most, to a column
WIDTH, HEIGHT, GAP, ASIDE = 190, 42, 22, 46
MARGIN = 8
GLYPH, MOST_LINES = 24, 10


@dataclass(frozen=True, slots=True)
class Box:
    """Where a layer is drawn: its left upper corner, and the column of the page."""

    x: float
    y: float
    column: int


def cut_class(layer: PlacedLayer) -> str:
    """What a layer is coloured by."""
    if layer.kind == "field":
        return "field"
    return layer.cut if layer.cut in ("batch", "feature", "input") else "whole"


def draw(plan: Plan) -> Element:
    """The graph as SVG, sized to what is in it."""
    boxes = place(plan.layers)
    width = max((b.x for b in boxes.values()), default=0) + WIDTH + ASIDE
    height = max((b.y for b in boxes.values()), default=0) + HEIGHT + MARGIN
    arrows = [a for layer in plan.layers for a in _arrows(layer, boxes)]
    nodes = [_node(layer, boxes[layer.name]) for layer in plan.layers]
    return element(
        "svg",
        element("defs", _head("head", "arrow-head"), _head("hot", "arrow-head changes")),
        element("g", *arrows),
        element("g", *nodes),
        viewBox=f"0 0 {width:.6g} {height:.6g}",
        width=width,
        height=height,
        role="group",
        aria_label=f"The net {plan.net}: {len(plan.layers)} layers",
        class_="net",
    )


def _head(name: str, classes: str) -> Element:
    path = element("path", d="M0 0L8 4L0 8z", class_=classes)
    return element(
        "marker", path, id=name, viewBox="0 0 8 8", refX=7, refY=4, markerWidth=7,
        markerHeight=7, orient="auto-start-reverse",
    )  # fmt: skip


# -- layout ----------------------------------------------------------------------------------------


def place(layers: tuple[PlacedLayer, ...]) -> Mapping[str, Box]:
    """A box for each layer; no two touch."""
    rows: dict[int, list[str]] = {}
    fields = [layer.name for layer in layers if layer.kind == "field"]
    for name, rank in sorted(_ranks(layers).items(), key=lambda item: item[0] in fields):
        rows.setdefault(rank, []).append(name)
    count = len(rows)
    each = -(-count // max(1, -(-count // RANKS)))
    boxes: dict[str, Box] = {}
    left = float(MARGIN)
    for column, first in enumerate(range(0, count, each)):
        own = sorted(rows)[first : first + each]
        for line, rank in enumerate(own):
            for slot, name in enumerate(rows[rank]):
                x, y = left + slot * (WIDTH + GAP), MARGIN + line * (HEIGHT + GAP)
                boxes[name] = Box(x, y, column)
        left += max(len(rows[r]) for r in own) * (WIDTH + GAP) + ASIDE
    return boxes


def _ranks(layers: tuple[PlacedLayer, ...]) -> dict[str, int]:
    """Fields stand just above the first layer that they feed."""
    ranks: dict[str, int] = {}
    for layer in layers:
        above = [ranks[s] for s in layer.sources if s in ranks]
        ranks[layer.name] = max(above, default=-1) + 1
    for layer in layers:
        fed = [ranks[x.name] for x in layers if layer.name in x.sources]
        if not layer.sources and fed:
            ranks[layer.name] = min(fed) - 1
    return ranks


# -- drawing ---------------------------------------------------------------------------------------


def _node(layer: PlacedLayer, box: Box) -> Element:
    kind = layer.kind
    shape = "x".join(map(str, layer.shape)) or "a number"
    cut = f"on {layer.cut}: " if layer.kind != "field" and layer.cut else ""
    pieces = pieces_text(Stratum((layer.name,), layer.cut, layer.pieces))
    detail = f"{layer.name}: {kind}, {shape}; {cut}{pieces}; {layer.place}"
    if layer.params:
        detail += f"; params {', '.join(layer.params)}"
    return element(
        "g",
        element("title", detail),
        element("rect", width=WIDTH, height=HEIGHT, rx=6),
        element("text", _clipped(layer.name, 20), x=10, y=17, class_="name"),
        element("text", _clipped(f"{kind} {shape}", 24), x=10, y=33, class_="note"),
        *_glyph(layer),
        transform=f"translate({box.x:.6g} {box.y:.6g})",
        class_=f"item layer {cut_class(layer)}",
        tabindex="-1",
        role="img",
        aria_label=detail,
        data_detail=detail,
        data_words=f"{layer.name} {layer.kind} {' '.join(layer.params)}",
        data_about=" ".join((layer.name, *layer.params)),
    )


def _clipped(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _glyph(layer: PlacedLayer) -> Iterator[Element]:
    """A batch of examples as a square, rows down and columns across, with the cuts in it."""
    if layer.kind == "field" or not layer.pieces:
        return
    x, y = WIDTH - GLYPH - 9, (HEIGHT - GLYPH) / 2
    yield element("rect", x=x, y=y, width=GLYPH, height=GLYPH, class_="glyph")
    if layer.cut == "input":
        yield element("text", "Σ", x=x + GLYPH / 2, y=y + GLYPH * 0.72, class_="sum")
    rows = max(h.row + h.rows for h in layer.pieces)
    columns = max(h.column + h.columns for h in layer.pieces)
    across = dict.fromkeys(h.row / max(rows, 1) for h in layer.pieces if h.row and h.rows)
    down = dict.fromkeys(h.column / max(columns, 1) for h in layer.pieces if h.column)
    for part in list(across)[:: -(-len(across) // MOST_LINES) or 1]:
        at = y + part * GLYPH
        yield element("path", d=f"M{x} {at:.4g}h{GLYPH}", class_="cut")
    for part in list(down)[:: -(-len(down) // MOST_LINES) or 1]:
        yield element("path", d=f"M{x + part * GLYPH:.6g} {y}v{GLYPH}", class_="cut")


def _arrows(layer: PlacedLayer, boxes: Mapping[str, Box]) -> Iterator[Element]:
    """From a source that lies elsewhere in part, what flows changes hands."""
    for source in layer.sources:
        if source not in boxes:
            continue
        changes = source in layer.handed
        word = ", changes hands" if changes else ""
        yield element(
            "path",
            element("title", f"{source} to {layer.name}{word}"),
            d=_route(boxes[source], boxes[layer.name]),
            class_="arrow changes" if changes else "arrow",
            marker_end="url(#hot)" if changes else "url(#head)",
        )


def _route(start: Box, end: Box) -> str:
    if start.column != end.column:
        return _to_next_column(start, end)
    x0, y0 = start.x + WIDTH / 2, start.y + HEIGHT
    x1, y1 = end.x + WIDTH / 2, end.y
    if y1 - y0 <= GAP:
        half = (y0 + y1) / 2
        return f"M{x0:.6g} {y0:.6g}C{x0:.6g} {half:.6g} {x1:.6g} {half:.6g} {x1:.6g} {y1:.6g}"
    x0, y0, x1, y1 = start.x + WIDTH, start.y + HEIGHT / 2, end.x + WIDTH, end.y + HEIGHT / 2
    far = max(x0, x1) + ASIDE * 0.75
    return f"M{x0:.6g} {y0:.6g}C{far:.6g} {y0:.6g} {far:.6g} {y1:.6g} {x1:.6g} {y1:.6g}"


def _to_next_column(start: Box, end: Box) -> str:
    x0, y0 = start.x + WIDTH, start.y + HEIGHT / 2
    x1, y1 = end.x, end.y + HEIGHT / 2
    middle = x1 - (ASIDE + GAP) / 2
    return f"M{x0:.6g} {y0:.6g}C{middle:.6g} {y0:.6g} {middle:.6g} {y1:.6g} {x1:.6g} {y1:.6g}"
