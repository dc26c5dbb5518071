"""A model -> the same net cut: each layer in sub-layers, each worker's rows, each param in slices.

    batch of 10 on 4 workers              params end to end, cut for 3 servers
    | rows 0-2 | 3-5 | 6-7 | 8-9 |        | fc1.weight | fc1.bias | fc2.weight    | fc2.bias |
      fc1@0     fc1@1 fc1@2 fc1@3         | server 0        | server 1       | server 2      |

Cutting at vectors of 16 floats and nowhere else keeps the servers within one vector of each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from singac.diagnostics import Diagnostic, Failed, Place, Report
from singac.layers.exchange import NOTHING, Part
from singac.layers.kind import Dimension, Range
from singac.model import resolve
from singac.model.choices import Choices
from singac.model.graph import Layer, NetGraph, NetParam
from singac.model.resolve import Model
from singac.model.rules import BATCH
from singac.partition.assign import assign, checked
from singac.partition.auto import choose
from singac.partition.chosen import Chosen
from singac.partition.connect import Connector, Fed, Linked, WorkerNet, worker_nets
from singac.partition.machine import BUILT_IN, Machine
from singac.partition.owners import own
from singac.partition.pieces import WHOLE, blocks_of, clash
from singac.partition.placing import Placing
from singac.partition.shares import shares_of
from singac.partition.space import Layout, Param, Slice, matrix, padded
from singac.partition.split import Piece, split
from singac.syntax import tree


@dataclass(frozen=True, slots=True)
class SubLayer:
    """`fc1@2`: the part of a layer that one worker of the group computes; `cut` as in a rule.

    On input it is a partial sum over the columns `inputs` of the source.
    """

    layer: Layer
    worker: int
    cut: str
    part: Part
    inputs: Range = (0, 0)

    @property
    def name(self) -> str:
        return f"{self.layer.name}@{self.worker}"


@dataclass(frozen=True, slots=True)
class PartitionedNet:
    """A net cut for the workers of one group, its params cut for the servers of one group.

    `graph` is the whole net, `nets` those of the workers, one object where workers do alike;
    `links` are the connections between them, `chosen` what was left to the compiler.
    """

    name: str
    graph: NetGraph
    sublayers: tuple[SubLayer, ...]
    rows: tuple[Piece, ...]
    params: tuple[Param, ...]
    slices: tuple[Slice, ...]
    nets: tuple[WorkerNet, ...]
    links: tuple[Linked, ...] = ()
    chosen: Chosen | None = None

    def of_worker(self, worker: int) -> tuple[SubLayer, ...]:
        """The sub-layers of one worker, sources first."""
        return tuple(s for s in self.sublayers if s.worker == worker)


def check(
    program: tree.Program, choices: Choices, cache: str | None = None, machine: Machine = BUILT_IN
) -> list[Diagnostic]:
    """Every diagnostic of a program, whether of what it says or of how it is to be cut."""
    found = resolve.check(program, choices, cache)
    if any(d.severity == "error" for d in found):
        return found
    try:
        for model in resolve.resolve(program, choices, cache):
            partition(model, machine)
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


def partition(model: Model, machine: Machine = BUILT_IN) -> PartitionedNet:
    """The net of a model cut as its partition and topology say. Raises `Failed`.

    What the partition leaves to the compiler it chooses by what a machine can do.
    """
    report = Report()
    _check_batch(model, report)
    report.stop_if_any()
    topology, graph = model.cluster.topology, model.net.graph
    rows = split(model.train.training.batch, topology.workers_per_group)
    ruled = checked(model, report)
    report.stop_if_any()
    cuts, chosen = choose(model, ruled, rows, machine, report)
    report.stop_if_any()
    placed = assign(model, cuts, rows)
    nets, links = _connected(model, placed, report)
    params = place_params(tuple(graph.params.values()), _blocks(graph, nets))
    slices = own(shares_of(params, nets), topology)
    name = BATCH if model.rules is None else model.rules.name
    sublayers = _sublayers(graph, placed)
    return PartitionedNet(name, graph, sublayers, rows, params, slices, nets, links, chosen)


def _connected(
    model: Model, placed: Mapping[str, Placing], report: Report
) -> tuple[tuple[WorkerNet, ...], tuple[Linked, ...]]:
    """The nets of the workers and their connections; all the whole net where all is on batch."""
    graph = model.net.graph
    if all(placing.dimension is Dimension.BATCH for placing in placed.values()):
        fields = [layer for layer in graph.layers() if layer.is_field]
        fed = tuple(Fed(f.name, f.name, 0, False) for f in fields)
        alone = WorkerNet(graph, fed, dict.fromkeys(graph.params, WHOLE))
        return (alone,) * model.cluster.topology.workers_per_group, ()
    connector = Connector(graph, placed)
    nets = connector.connect()
    pieces = [{n: tuple(p) for n, p in net.pieces.items()} for net in nets]
    for param in graph.params.values():
        if clash(param, pieces):
            _report_clash(model, param, report)
    report.stop_if_any()
    return worker_nets(graph, nets), tuple(connector.links.values())


def _report_clash(model: Model, param: NetParam, report: Report) -> None:
    """Two layers that share a param and are cut so that they need different parts of it."""
    users = [u for u in model.net.graph.layers() if param.name in (p.name for p in u.params)]
    names = " and ".join(f"`{u.name}`" for u in users)
    cuts = model.rules.cuts if model.rules is not None else {}
    spans = [cuts[u.name].span for u in users if u.name in cuts]
    message = f"{names} share `{param.name}` and are cut so that they need different parts of it"
    help = f"put {names} on batch"
    at = spans[0] if spans else param.span
    report.error("SG0305", message, at, related=(Place(param.span, "the param"),), help=help)


def _blocks(graph: NetGraph, nets: tuple[WorkerNet, ...]) -> Mapping[str, tuple[int, ...]]:
    """The blocks of rows in which params lie that are cut along rows."""
    pieces = {n: [net.pieces[n] for net in nets if n in net.pieces] for n in graph.params}
    return {name: blocks_of(graph.params[name], found) for name, found in pieces.items()}


def _sublayers(graph: NetGraph, placed: Mapping[str, Placing]) -> tuple[SubLayer, ...]:
    return tuple(
        SubLayer(layer, worker, placing.text, part, *placing.inputs[worker : worker + 1])
        for layer in graph.layers()
        for placing in (placed[layer.name],)
        for worker, part in enumerate(placing.parts)
        if part != NOTHING
    )


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


def place_params(
    params: tuple[NetParam, ...], blocks: Mapping[str, tuple[int, ...]] | None = None
) -> tuple[Param, ...]:
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
                (blocks or {}).get(param.name, ()),
            )
        )
        start += floats
    return tuple(placed)
