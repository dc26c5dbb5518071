"""What a process of several groups touches of its node's window, which is as `places.py` of the
runtime's transport carves it; all its threads together.
"""

from __future__ import annotations

from collections.abc import Iterator

from singac.model.resolve import Model
from singac.model.types import Topology
from singac.partition.partition import PartitionedNet
from singac.partition.space import Slice
from singac.plan.plan import Memory

FLOAT_BYTES = 4

Region = tuple[str, int, Slice]  # a space by name and number, and a slice of it


def touched(rank: int, net: PartitionedNet, model: Model) -> Memory:
    """Bytes of the window, those of other processes apart; the first process fills all it can."""
    topology, states = model.cluster.topology, len(model.train.update.states)
    own = dict.fromkeys(_own(rank, net, topology))
    first = _all(net, topology) if rank == 0 else iter(())
    others = dict.fromkeys((*_read(rank, net, topology), *first))
    # fmt: off
    weights = {"params": 1, "seen": 1, "gradients": 1, "states": states, "progress": 1, "centre": 1}
    # fmt: on

    def size(regions: dict[Region, None], *spaces: str) -> int:
        of = (r for r in regions if r[0] in (spaces or weights))
        return FLOAT_BYTES * sum(piece.floats * weights[space] for space, _, piece in of)

    return Memory(
        arena=0,
        params=size(own, "params", "seen", "progress", "centre") + _agreeing(rank, net, model),
        gradients=size(own, "gradients"),
        states=size(own, "states"),
        others=size({r: None for r in others if r not in own}),
    )


def _workers(rank: int, topology: Topology) -> Iterator[int]:
    return (w for w in range(topology.workers) if topology.rank_of_worker(w) == rank)


def _servers(rank: int, topology: Topology) -> Iterator[int]:
    return (s for s in range(topology.servers) if topology.rank_of_server(s) == rank)


def _seen(group: int, topology: Topology) -> tuple[str, int]:
    """The space of the params that a worker group computes with: a replica, or its servers' own."""
    if topology.in_memory(group):
        return "params", topology.served_by(group)
    return "seen", group


def _owned(server: int, net: PartitionedNet, topology: Topology) -> list[Slice]:
    return [s for s in net.slices if s.server == server % topology.servers_per_group]


def _own(rank: int, net: PartitionedNet, topology: Topology) -> Iterator[Region]:
    """What its workers have a gradient of, and what its servers own."""
    for worker in _workers(rank, topology):
        seen = _seen(topology.group_of_worker(worker), topology)
        for piece in (s for s in net.slices if s.is_of(topology.member(worker))):
            yield (*seen, piece)
            yield "gradients", worker, piece
    for server in _servers(rank, topology):
        group = topology.group_of_server(server)
        spaces = ["params", "states"]
        spaces += ["progress", "centre"] if topology.server_groups > 1 else []
        for piece in _owned(server, net, topology):
            yield from ((space, group, piece) for space in spaces)


def _read(rank: int, net: PartitionedNet, topology: Topology) -> Iterator[Region]:
    """Gradients that its servers sum, replicas they bring up to date, progress of other groups."""
    size = topology.workers_per_group
    for server in _servers(rank, topology):
        group = topology.group_of_server(server)
        for piece in _owned(server, net, topology):
            for served in topology.groups_of(group):
                yield (*_seen(served, topology), piece)
                for member in piece.workers_of(size):
                    yield "gradients", served * size + member, piece
            holds_centre = group == 0 and topology.server_groups > 1
            for other in range(topology.server_groups if holds_centre else 0):
                yield "progress", other, piece
                yield "centre", other, piece


def _all(net: PartitionedNet, topology: Topology) -> Iterator[Region]:
    """What the first process fills: params, states and replicas of all groups, zero gradients."""
    for piece in net.slices:
        for group in range(topology.server_groups):
            yield from (("params", group, piece), ("states", group, piece))
        for group in range(topology.worker_groups):
            yield (*_seen(group, topology), piece)
        for worker in range(topology.workers):
            if piece.is_of(topology.member(worker)):
                yield "gradients", worker, piece


def _agreeing(rank: int, net: PartitionedNet, model: Model) -> int:
    """Copies that servers of several groups keep of their slices: what they have last heard and
    given, and those of group 0 the centre, with two more where it has a momentum.
    """
    topology = model.cluster.topology
    if topology.server_groups == 1:
        return 0
    centre = 3 if topology.reconcile.kind == "outer" else 1
    return FLOAT_BYTES * sum(
        piece.floats * (2 + centre * (topology.group_of_server(server) == 0))
        for server in _servers(rank, topology)
        for piece in _owned(server, net, topology)
    )
