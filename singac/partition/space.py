"""The param space: all params end to end, each in panels or rows, cut in slices for servers.

Floats of a matrix lie in *panels of 16 columns*, so that one layout serves the three products of a
dense layer:

    canonical [in, out]              packed [ceil(out / 16)][in][16]
    row 0  | 0..15 | 16..19          panel 0: row 0 | row 1 | ...     columns  0..15
    row 1  | 0..15 | 16..19          panel 1: row 0 | row 1 | ...     columns 16..19, then zeros
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from singac.model.types import Initialiser, Saved

LANES = 16  # floats of a vector of generated code; rows of buffers and panels are padded to it


def padded(columns: int) -> int:
    """Columns rounded up to whole vectors."""
    return -(-columns // LANES) * LANES


class Layout(StrEnum):
    """How the elements of a buffer lie: `rows` each padded to whole vectors, or `panels`.

    Of a param of more than two dimensions `rows` are those of the first, [filters][all the rest],
    and panels are cut of the last.
    """

    ROWS = "rows"
    PANELS = "panels"


def matrix(shape: tuple[int, ...], layout: Layout) -> tuple[int, int]:
    """Rows and columns of a canonical shape in a layout."""
    if len(shape) < 2:
        return 1, math.prod(shape)
    if layout is Layout.ROWS:
        return shape[0], math.prod(shape[1:])
    return math.prod(shape[:-1]), shape[-1]


@dataclass(frozen=True, slots=True)
class Param:
    """A param: canonical shape and its place in the param space, `start` and `floats` in floats.

    One that `follows` moves by this share towards what is pushed for it; others are learnt.
    With `blocks`, it lies as one matrix in panels after the other, which begin at these rows.
    """

    name: str
    shape: tuple[int, ...]
    layout: Layout
    start: int
    floats: int
    initialiser: Initialiser | Saved
    lr_scale: float = 1.0
    wd_scale: float = 1.0
    follows: float = 0.0
    blocks: tuple[int, ...] = ()

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows and columns as they lie; a vector is one row."""
        return matrix(self.shape, self.layout)


@dataclass(frozen=True, slots=True)
class Slice:
    """Floats `start` to `stop` of the param space, all of param `param`.

    Their owner in each server group is its server number `server`. `workers` are those of a group
    that have a gradient of them (None: all), in order.
    """

    param: int
    server: int
    start: int
    stop: int
    workers: tuple[int, ...] | None = None

    @property
    def floats(self) -> int:
        return self.stop - self.start

    def is_of(self, worker: int) -> bool:
        """Whether worker number `worker` of a group has a gradient of it."""
        return self.workers is None or worker in self.workers

    def spans(self, worker: int) -> bool:
        """Whether a worker has a gradient of it, or stands between two that have."""
        return self.workers is None or self.workers[0] <= worker <= self.workers[-1]

    def workers_of(self, size: int) -> tuple[int, ...]:
        """Who of a group of `size` workers has a gradient of it."""
        return tuple(range(size)) if self.workers is None else self.workers
