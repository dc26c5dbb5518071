"""What a way of cutting a net is expected to cost: seconds of a training step, bytes of memory.

Three things take time, and are added up as if none hid behind another:

    computing    of the worker that has most, each operation by whichever of arithmetic and memory
                 takes longer: the roofline of Williams, Waterman and Patterson (2009)
    exchanges    a latency for each partner, bytes over a rate (Hockney, 1994), and the copies that
                 a worker makes of what it hands over and of what it gets
    params       gradients to the servers and params back, and the update; what one worker alone
                 has lies with the server beside it, and nothing moves
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from singac.layers.exchange import NOTHING, Part
from singac.layers.operations import GroupSum
from singac.model.graph import Layer, NetGraph
from singac.model.resolve import Model
from singac.partition.machine import Machine
from singac.partition.parts import Wishes
from singac.partition.pieces import PieceOfParam, cut_param
from singac.partition.placing import Placing
from singac.partition.workload import FLOAT_BYTES, Workload, workload


@dataclass(frozen=True, slots=True)
class Load:
    """What a layer takes of the worker that has most of it: seconds of a step, bytes kept."""

    seconds: float
    bytes: int


class Costs:
    """Expected costs of the layers of a model and of what stands between them, on a machine."""

    def __init__(self, model: Model, machine: Machine) -> None:
        self._graph, self._topology = model.net.graph, model.cluster.topology
        self._machine, self._batch = machine, model.train.training.batch
        self._states = len(model.train.update.states)
        self._learning, self._leading = learning(self._graph), leading(self._graph)

    def layer(self, layer: Layer, placing: Placing) -> Load:
        """For computing a layer forward and back, and for its params."""
        worker = max(range(len(placing.parts)), key=lambda w: (_size(placing, w), -w))
        leads = layer.name in self._leading
        work = workload(self._graph, layer, placing, worker, self._batch, self._learning, leads)
        machine = self._machine
        seconds = sum(max(f / machine.arithmetic, b / machine.memory) for f, b in work.counts())
        if placing.holders > 1 and not placing.has_all_rows:
            seconds += self._group_sums(work)
        params = [self._param(n, p, placing) for n, p in work.pieces.items() if leads]
        return Load(seconds + sum(params), work.kept)

    def exchange(self, source: Layer, held: Placing, wanted: Wishes) -> float:
        """Seconds for handing what is held of a layer to whom it is wanted by, and back again."""
        if source.is_field or (held.parts == wanted and not held.is_partial):
            return 0.0
        ends = (0, len(wanted) - 1, held.first, next(w for w, p in enumerate(wanted) if p.rows))
        once = max(self._one_exchange(worker, held.parts, wanted) for worker in ends)
        goes_back = source.name in self._learning and source.name in self._leading
        return once * (2 if goes_back else 1)

    def _one_exchange(self, worker: int, held: Wishes, wanted: Wishes) -> float:
        partners, sent = _handed(worker, held[worker], wanted)
        givers, received = _handed(worker, wanted[worker], held)
        copied = held[worker].elements * (sent > 0) + wanted[worker].elements
        return (
            max(partners, givers) * self._machine.latency
            + max(sent, received) * FLOAT_BYTES / self._machine.exchange
            + copied * FLOAT_BYTES / self._machine.memory
        )

    def _group_sums(self, work: Workload) -> float:
        """For what a layer sums over all workers while it computes, every worker to every other."""
        others = self._topology.workers_per_group - 1
        sums = [work.extents[o.source] for o in work.operations if isinstance(o, GroupSum)]
        moved = sum(e.rows * e.columns for e in sums) * FLOAT_BYTES * others
        return len(sums) * others * self._machine.latency + moved / self._machine.exchange

    def _param(self, name: str, piece: PieceOfParam, placing: Placing) -> float:
        """For one param: what its worker and the server beside it send, and the server's update.

        Of a piece there are as many as workers hold one; what is not in pieces all of them share.
        """
        topology, servers = self._topology, self._topology.servers_per_group
        floats = math.prod(cut_param(self._graph.params[name], piece).shape)
        in_pieces = piece.axis is not None or placing.is_partial
        pieces = placing.holders if piece.axis is not None else 1
        sharers = 1 if in_pieces else placing.holders
        total = floats * pieces
        at_home = sharers == 1 and not topology.separate
        served = floats if at_home else total / servers
        pushed = floats * (1 - (0 if topology.separate else 1 / servers))
        asked = total / servers * (sharers - (not topology.separate)) if sharers > 1 else served
        moved = max(pushed, asked) if topology.separate else pushed + asked
        machine, passes = self._machine, sharers + 2 + 2 * self._states
        update = served * passes * FLOAT_BYTES / machine.memory
        if at_home:
            return update
        messages = 2 * max(sharers - 1, 1)
        return update + messages * machine.latency + moved * FLOAT_BYTES / machine.exchange


def learning(graph: NetGraph) -> dict[str, None]:
    """Layers whose gradient is of use: they, or a layer before them, have params."""
    found: dict[str, None] = {}
    for layer in graph.layers():
        if layer.params or any(s in found for s in layer.sources):
            found[layer.name] = None
    return found


def leading(graph: NetGraph) -> dict[str, None]:
    """Layers that lead to a loss, losses included."""
    found: dict[str, None] = {}
    for layer in reversed(graph.layers()):
        is_loss = layer.kind is not None and layer.kind.is_loss
        if is_loss or any(c.name in found for c, _ in graph.consumers(layer.name)):
            found[layer.name] = None
    return found


def _size(placing: Placing, worker: int) -> int:
    """How much of a layer a worker has; of partial sums, how much of its source."""
    if not placing.is_partial:
        return placing.parts[worker].elements
    start, stop = placing.inputs[worker]
    return stop - start


def _handed(worker: int, own: Part, others: Wishes) -> tuple[int, int]:
    """How many other workers' parts overlap with one's own, and how many elements in all."""
    counts: dict[Part, int] = {}
    for part in others:
        counts[part] = counts.get(part, 0) + 1
    counts[others[worker]] -= 1
    partners = elements = 0
    for part, count in counts.items():
        if part != NOTHING and count and (shared := own.shared_with(part).elements):
            partners, elements = partners + count, elements + count * shared
    return partners, elements
