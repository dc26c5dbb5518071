"""Which workers of a group have a gradient of which floats of the param space.

    a.weight, cut on feature       | worker 0 | worker 1 | worker 2 |     a share for each
    b.weight, cut on batch         | all                            |     one share

Where pieces end inside a vector, as those of a bias of ten filters do, all of them have it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from singac.partition.connect import WorkerNet
from singac.partition.pieces import PieceOfParam, lying
from singac.partition.space import LANES, Param, padded

Holders = Mapping[PieceOfParam, list[int]]


@dataclass(frozen=True, slots=True)
class Share:
    """Floats of a param that the same workers of a group have (None: all of them)."""

    param: int
    start: int
    stop: int
    workers: tuple[int, ...] | None

    @property
    def floats(self) -> int:
        return self.stop - self.start


def shares_of(params: Sequence[Param], nets: Sequence[WorkerNet]) -> tuple[Share, ...]:
    """All params in their order, each from end to end."""
    found: list[Share] = []
    for index, param in enumerate(params):
        holders: dict[PieceOfParam, list[int]] = {}
        for worker, net in enumerate(nets):
            if param.name in net.pieces:
                holders.setdefault(net.pieces[param.name], []).append(worker)
        alike = len(holders) == 1 and len(next(iter(holders.values()))) == len(nets)
        if alike or not holders:  # nobody has what no loss depends on
            found.append(Share(index, param.start, param.start + param.floats, None))
        else:
            found += _shares(index, param, holders)
    return tuple(found)


def _shares(index: int, param: Param, holders: Holders) -> list[Share]:
    """The param cut wherever a piece begins or ends."""
    comes: dict[int, list[int]] = {}
    goes: dict[int, list[int]] = {}
    for piece, workers in holders.items():
        part = lying(param, piece)
        comes.setdefault(part.start // LANES * LANES, []).extend(workers)
        goes.setdefault(padded(part.stop), []).extend(workers)
    found, there = [], dict[int, None]()
    for start, stop in pairwise(sorted(dict.fromkeys([*comes, *goes]))):
        for worker in goes.get(start, ()):
            del there[worker]
        there |= dict.fromkeys(comes.get(start, ()))
        found.append(Share(index, start, stop, tuple(sorted(there))))
    ends = found[0].start, found[-1].stop
    assert ends == (param.start, param.start + param.floats), "pieces make up the whole param"
    assert all(share.workers for share in found), "and leave nothing out"
    return found
