"""Shares of the param space -> slices, each with the server that owns it.

What one worker alone has is owned by a server in that worker's process, so that nothing of it
moves. The rest is cut in order so that all servers own alike, as far as that may be:

    params     | a: all              | b: worker 0 | worker 1 | c: all     |
    server 0   | ......              | ........... |          |            |
    server 1         | ............. |             | ........ |            |
    server 2                                                  | .......... |

Cuts are at whole vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from singac.model.types import Topology
from singac.partition.shares import Share
from singac.partition.space import LANES, Slice


def own(shares: Sequence[Share], topology: Topology) -> tuple[Slice, ...]:
    """The slices in the order of the param space."""
    owned = [0] * topology.servers_per_group
    beside = _beside(topology)
    found: list[Slice] = []
    rest: list[Share] = []
    for share in shares:
        near = beside.get(share.workers, []) if share.workers is not None else []
        if not near:
            rest.append(share)
            continue
        server = min(near, key=lambda s: owned[s])
        owned[server] += share.floats // LANES
        found.append(Slice(share.param, server, share.start, share.stop, share.workers))
    found += _cut(rest, levelled(owned, sum(share.floats // LANES for share in rest)))
    return tuple(sorted(found, key=lambda piece: piece.start))


def _beside(topology: Topology) -> dict[tuple[int, ...], list[int]]:
    """The servers in the process of each worker of a group, in the first group if several."""
    found: dict[tuple[int, ...], list[int]] = {}
    for server in range(topology.servers_per_group):
        for worker in range(topology.workers_per_group):
            if topology.rank_of_worker(worker) == topology.rank_of_server(server):
                found.setdefault((worker,), []).append(server)
    return found


def levelled(owned: Sequence[int], rest: int) -> list[int]:
    """How much of a rest each gets, so that they have alike: nothing who has enough.

    2 0 1 and a rest of 6:   | # # . | . . . | # . . |   1, 3 and 2
    """
    filled = sorted(owned)
    for count in range(len(filled), 0, -1):
        level, over = divmod(rest + sum(filled[:count]), count)
        if filled[count - 1] <= level:
            break
    found = []
    for has in owned:
        more = has <= level and over > 0
        over -= more
        found.append(max(level - has, 0) + more)
    return found


def _cut(shares: Sequence[Share], quotas: Sequence[int]) -> Iterator[Slice]:
    """Shares in order, to one server after the other until it has its vectors."""
    left = [(server, quota * LANES) for server, quota in enumerate(quotas) if quota][::-1]
    for share in shares:
        at = share.start
        while at < share.stop:
            server, room = left.pop()
            taken = min(room, share.stop - at)
            yield Slice(share.param, server, at, at + taken, share.workers)
            at += taken
            if room > taken:
                left.append((server, room - taken))
