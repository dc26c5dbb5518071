"""Successive batches: every row goes along a lane of examples that follow one another.

    7 examples in 3 rows, each once      | 0 1 2 | 3 4 | 5 6 |      batch 0 is 0 3 5, the last is 2
    the same without end, for training   | 0 1 | 2 3 | 4 5 | 6      batches 0 2 4, 1 3 5, 0 2 4 ...

In training all lanes are as long as the shortest, and what is left at the end is not read. Worker
groups have lanes of their own: group g of G takes the batches whose number is g modulo G.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Lanes:
    """`batch` lanes for each group over so many examples, gone along `once` or again and again."""

    total: int
    batch: int
    groups: int
    once: bool

    @property
    def _length(self) -> int:
        """Examples of every lane; the first few have one more where each is read once."""
        return self.total // (self.batch * self.groups)

    def at(self, number: int) -> int:
        """How far along its lanes batch `number` is."""
        turn = number // self.groups
        return turn if self.once else turn % self._length

    def examples(self, number: int, first_row: int, rows: int) -> NDArray[np.intp]:
        """Those of some rows of a batch; fewer than rows where lanes have ended."""
        at, first = self.at(number), number % self.groups * self.batch + first_row
        lane = np.arange(first, first + rows)
        longer = self.total % self.batch if self.once else 0
        starts = lane * self._length + np.minimum(lane, longer)
        lengths = self._length + (lane < longer)
        found: NDArray[np.intp] = starts[at < lengths] + at
        return found
