"""A model -> the same net cut: each layer in sub-layers, each worker's rows, each param in slices.

    batch of 10 on 4 workers              params end to end, cut for 3 servers
    | rows 0-2 | 3-5 | 6-7 | 8-9 |        | fc1.weight | fc1.bias | fc2.weight    | fc2.bias |
      fc1@0     fc1@1 fc1@2 fc1@3         | server 0        | server 1       | server 2      |

Cutting at vectors of 16 floats and nowhere else keeps the servers within one vector of each other.
"""

from __future__ import annotations

from dataclasses import dataclass

from singac.diagnostics import Diagnostic, Failed, Place, Report
from singac.layers.kind import Dimension
from singac.model import resolve
from singac.model.graph import Layer, NetGraph, NetParam
from singac.model.resolve import Choices, Model
from singac.partition.space import LANES, Layout, Param, Slice, matrix, padded
from singac.partition.split import Piece, split
from singac.syntax import tree

BATCH = "batch"


@dataclass(frozen=True, slots=True)
class SubLayer:
    """`fc1@2`: the piece of a layer that one worker of the group computes, here rows of a batch."""

    layer: Layer
    worker: int
    dimension: Dimension
    piece: Piece

    @property
    def name(self) -> str:
        return f"{self.layer.name}@{self.worker}"


@dataclass(frozen=True, slots=True)
class PartitionedNet:
    """A net cut for the workers of one group, its params cut for the servers of one group."""

    name: str
    graph: NetGraph
    sublayers: tuple[SubLayer, ...]
    rows: tuple[Piece, ...]
    params: tuple[Param, ...]
    slices: tuple[Slice, ...]

    def of_worker(self, worker: int) -> tuple[SubLayer, ...]:
        """The sub-layers of one worker, sources first."""
        return tuple(s for s in self.sublayers if s.worker == worker)


def check(program: tree.Program, choices: Choices, cache: str | None = None) -> list[Diagnostic]:
    """Every diagnostic of a program, whether of what it says or of how it is to be cut."""
    found = resolve.check(program, choices, cache)
    if any(d.severity == "error" for d in found):
        return found
    try:
        for model in resolve.resolve(program, choices, cache):
            partition(model)
    except Failed as failed:
        found += [d for d in failed.diagnostics if not _asks_for_a_choice(d, choices)]
    return found


def _asks_for_a_choice(diagnostic: Diagnostic, choices: Choices) -> bool:
    """Whether a run would have to choose: a program may have several clusters, or no train."""
    asked = {
        "SG0176": choices.train,
        "SG0177": choices.partition,
        "SG0402": choices.cluster,
        "SG0403": choices.np,
    }
    return diagnostic.code in asked and asked[diagnostic.code] is None


def partition(model: Model) -> PartitionedNet:
    """The net of a model cut as its partition and topology say. Raises `Failed`."""
    report = Report()
    _check_dimensions(model, report)
    _check_batch(model, report)
    report.stop_if_any()
    topology = model.cluster.topology
    rows = split(model.train.training.batch, topology.workers_per_group)
    sublayers = tuple(
        SubLayer(layer, worker, Dimension.BATCH, piece)
        for layer in model.net.graph.layers()
        for worker, piece in enumerate(rows)
    )
    params = place_params(tuple(model.net.graph.params.values()))
    slices = cut_params(params, topology.servers_per_group)
    name = BATCH if model.rules is None else model.rules.name
    return PartitionedNet(name, model.net.graph, sublayers, rows, params, slices)


def _check_dimensions(model: Model, report: Report) -> None:
    """A group of one worker is cut nowhere, whatever the rules say."""
    if model.rules is None or model.cluster.topology.workers_per_group == 1:
        return
    for cut in model.rules.cuts.values():
        if cut.dimension != Dimension.BATCH:
            written = f"on {cut.dimension}" if cut.dimension else f"at {cut.worker}"
            message = f"`{written}` is parsed but cannot be compiled yet"
            report.error("SG0190", message, cut.span, help="put these layers on batch")


def _check_batch(model: Model, report: Report) -> None:
    batch, workers = model.train.training.batch, model.cluster.topology.workers_per_group
    if batch >= workers:
        return
    span = model.train.spans.get("batch")
    related: tuple[Place, ...] = ()
    if model.cluster.workers_at is not None:
        related = (Place(model.cluster.workers_at, f"and a group has {workers} workers"),)
    message = f"a batch of {batch} cannot be cut for {workers} workers"
    help = f"use a batch of at least {workers}, or at most {batch} workers"
    label = f"{batch} examples a step"
    report.error("SG0302", message, span, label, related=related, help=help)


def place_params(params: tuple[NetParam, ...]) -> tuple[Param, ...]:
    """Params end to end in the param space, matrices in panels of 16 columns or in rows."""
    placed: list[Param] = []
    start = 0
    for param in params:
        layout = Layout.PANELS if param.in_panels and len(param.shape) > 1 else Layout.ROWS
        rows, columns = matrix(param.shape, layout)
        floats = rows * padded(columns)
        placed.append(
            Param(
                param.name,
                param.shape,
                layout,
                start,
                floats,
                param.initialiser,
                param.lr_scale,
                param.wd_scale,
                param.follows,
            )
        )
        start += floats
    return tuple(placed)


def cut_params(params: tuple[Param, ...], servers: int) -> tuple[Slice, ...]:
    """The param space in one range a server; a slice is what a range has of one param."""
    total = sum(p.floats for p in params)
    ranges = split(total, servers, LANES)
    found = []
    for index, param in enumerate(params):
        for server, piece in enumerate(ranges):
            start = max(param.start, piece.start)
            stop = min(param.start + param.floats, piece.stop)
            if start < stop:
                found.append(Slice(index, server, start, stop))
    return tuple(found)
