"""Whether the labels that a net is given are class numbers, each below the number of its scores."""

from __future__ import annotations

from singac.diagnostics import Exit, Place, Report
from singac.layers.kind import columns
from singac.model.datasets import Dataset
from singac.model.graph import Layer
from singac.model.net import Net


def labels_fit(net: Net, dataset: Dataset, report: Report) -> bool:
    """Whether every label is a class number below the number of scores."""
    before = len(report.found)
    for layer in net.graph.layers():
        slot = None if layer.kind is None else layer.kind.label_slot
        if slot is not None:
            _label_fits(net, layer, net.graph.origin(layer.sources[slot]), dataset, report)
    return len(report.found) == before


def _label_fits(net: Net, layer: Layer, label: Layer, dataset: Dataset, report: Report) -> None:
    largest = dataset.facts.label
    classes = columns(net.graph.layer(layer.sources[0]).shape)
    field = dataset.facts.fields[-1].name
    if label.name != field:
        related = () if label.kind is None else (Place(label.span, f"`{label.name}` is a layer"),)
        message = f"`{label.name}` holds no class numbers, and `{layer.name}` needs them"
        help = f"the class numbers of this data are its field `{field}`"
        report.error("SG0172", message, layer.span, related=related, help=help)
    elif largest is None:
        message = f"`{label.name}` holds real numbers, and `{layer.name}` needs class numbers"
        data = dataset.request.span
        related = (Place(data, f"`{label.name}` is read here"),) if data else ()
        help = f"for real numbers: [{layer.sources[0]}, {label.name}] -> euclidean_loss"
        report.error("SG0172", message, layer.span, related=related, help=help)
    elif largest.largest >= classes:
        _label_out_of_range(net, layer.name, dataset, report)


def _label_out_of_range(net: Net, layer: str, dataset: Dataset, report: Report) -> None:
    largest = dataset.facts.label
    assert largest is not None, "only called with labels"
    loss = net.graph.layer(layer)
    scores = net.graph.layer(loss.sources[0])
    classes = columns(scores.shape)
    message = f"label {largest.largest} at {largest.place} of {largest.file} is out of range"
    related = (Place(scores.span, f"`{scores.name}` has {classes} classes, 0 to {classes - 1}"),)
    help = f"give `{scores.name}` {largest.largest + 1} units, or mend the data"
    report.error("SG0173", message, loss.span, related=related, help=help, exit=Exit.DAMAGED)
