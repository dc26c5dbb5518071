"""Nearly equal pieces of anything that is counted."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Piece:
    """Elements `start` to `stop` of something cut."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start


def split(size: int, pieces: int, grain: int = 1) -> tuple[Piece, ...]:
    """`size` elements in `pieces` that differ by at most one grain; every cut is at a whole grain.

    10 in 4:   | 0 1 2 | 3 4 5 | 6 7 | 8 9 |
    """
    grains = -(-size // grain)
    each, over = divmod(grains, pieces)
    cuts = [min((k * each + min(k, over)) * grain, size) for k in range(pieces + 1)]
    return tuple(Piece(a, b) for a, b in pairwise(cuts))
