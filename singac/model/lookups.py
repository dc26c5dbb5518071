"""Layers of whole numbers against the data that feeds them.

Facts tell the largest number of some fields. What is no word of another field gives NaN when run.
"""

from __future__ import annotations

from singac.diagnostics import Exit, Place, Report
from singac.model.graph import Layer
from singac.model.net import Net
from singac.sources.kind import Facts, FieldFacts, LabelFacts


def words_fit(net: Net, facts: Facts, report: Report) -> bool:
    """Whether every layer that takes whole numbers is fed by a field that can hold them."""
    before = len(report.found)
    for layer in net.graph.layers():
        if layer.kind is not None and layer.kind.words is not None:
            source = net.graph.origin(layer.sources[0])
            _check(layer, source, layer.kind.words(layer.settings), facts, report)
    return len(report.found) == before


def _check(layer: Layer, source: Layer, words: int, facts: Facts, report: Report) -> None:
    known = next((f for f in facts.fields if f.name == source.name), None)
    last = facts.fields[1:][-1:]  # where labels are, unless it is the only field
    if known is None:
        _is_layer(layer, source, facts, report)
    elif (known.scale, known.mean, known.std) != (1.0, 0.0, 1.0):
        _is_scaled(layer, known, report)
    elif facts.label is not None and source.name in (facts.label.fields or [f.name for f in last]):
        _in_range(layer, words, facts.label, report)
    elif facts.label is None and known in last:
        message = f"`{known.name}` holds real numbers, and `{layer.name}` needs whole ones"
        report.error("SG0172", message, layer.span, help="class numbers, such as 0, 1, 2")


def _is_layer(layer: Layer, source: Layer, facts: Facts, report: Report) -> None:
    message = f"`{source.name}` is a layer, and `{layer.name}` takes a field of whole numbers"
    related = (Place(source.span, "real numbers leave this layer"),)
    help = f"the fields of this data: {', '.join(f.name for f in facts.fields)}"
    report.error("SG0172", message, layer.span, related=related, help=help)


def _is_scaled(layer: Layer, known: FieldFacts, report: Report) -> None:
    message = f"`{known.name}` is scaled on reading, and `{layer.name}` takes whole numbers"
    help = "leave out scale, mean and std of this data"
    report.error("SG0172", message, layer.span, help=help)


def _in_range(layer: Layer, words: int, known: LabelFacts, report: Report) -> None:
    if known.largest < words:
        return
    message = f"the number {known.largest} at {known.place} of {known.file} is out of range"
    label = f"`{layer.name}` has {words} words, 0 to {words - 1}"
    help = f"give it {known.largest + 1} words, or mend the data"
    report.error("SG0173", message, layer.span, label, help=help, exit=Exit.DAMAGED)
