"""What the metrics of a net are called."""

from __future__ import annotations

from singac.layers.loss import LOSS
from singac.model.graph import NetGraph


def metrics_of(graph: NetGraph) -> tuple[str, ...]:
    """Names of all metrics of a net: the loss, plain names, then those with a layer's name."""
    named = metric_names(graph)
    found = dict.fromkeys(name for names in named.values() for name in names.values())
    return tuple(sorted(found, key=lambda name: (name != LOSS, "." in name)))


def metric_names(graph: NetGraph) -> dict[str, dict[str, str]]:
    """For each layer, the net's name of each of its metrics.

    All losses add to one. Of several layers with one kind of metric the first that is no loss has
    its plain name, the others put theirs before it: `accuracy`, `top.accuracy`.
    """
    layers = [layer for layer in graph.layers() if layer.kind is not None]
    named: dict[str, dict[str, str]] = {layer.name: {} for layer in layers}
    taken: dict[str, None] = {}
    for layer in sorted(layers, key=lambda layer: layer.kind is not None and layer.kind.is_loss):
        for metric in layer.kind.metrics if layer.kind else ():
            free = metric == LOSS or metric not in taken
            named[layer.name][metric] = metric if free else f"{layer.name}.{metric}"
            taken[metric] = None
    return named
