"""What changes hands among the workers of a group: gathers, scatters, sums, all of one kind.

    held by worker   0  1  2         wanted by worker   0  1  2
    rows             0  0            rows               0  0  0      a gather
                     1     1                            1  1  1

Whatever several workers hold of one element is summed, in worker order. Turned round, what was held
is wanted and what was wanted is held: that is the adjoint, and so the gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """The part of a whole tensor that one worker has: `rows` from `row` on, likewise columns."""

    row: int
    rows: int
    column: int
    columns: int

    @property
    def elements(self) -> int:
        return self.rows * self.columns

    def shared_with(self, other: Part) -> Part:
        """What lies in both; without elements where they do not touch."""
        row, column = max(self.row, other.row), max(self.column, other.column)
        rows = min(self.row + self.rows, other.row + other.rows) - row
        columns = min(self.column + self.columns, other.column + other.columns) - column
        if rows <= 0 or columns <= 0:
            return NOTHING
        return Part(row, rows, column, columns)


NOTHING = Part(0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Exchange:
    """`out[w] = sum over the workers v, in order, of source[v], where they overlap`.

    `held[v]` is what worker v of a group has of the whole tensor, `wanted[w]` what worker w gets;
    each lies in a tensor of its own. The name is the same at all workers. What nobody holds of what
    is wanted is zero, where that may be: of a gradient it means that nothing came of an element.
    """

    name: str
    held: tuple[Part, ...]
    wanted: tuple[Part, ...]
    zeros: bool = False

    def sent(self, worker: int) -> Iterator[tuple[int, Part]]:
        """Which other workers need something of this one, and what."""
        if self.held[worker].elements:
            yield from self._shared(worker, self.held[worker], self.wanted)

    def received(self, worker: int) -> Iterator[tuple[int, Part]]:
        """Which other workers this one needs something of, and what."""
        if self.wanted[worker].elements:
            yield from self._shared(worker, self.wanted[worker], self.held)

    def _shared(
        self, worker: int, own: Part, others: tuple[Part, ...]
    ) -> Iterator[tuple[int, Part]]:
        for other, part in enumerate(others):
            if other != worker and (shared := own.shared_with(part)).elements:
                yield other, shared

    def sends(self, worker: int) -> bool:
        """Whether a worker holds what another one needs."""
        return next(self.sent(worker), None) is not None

    def takes(self, worker: int) -> bool:
        """Whether a worker gets something from another one."""
        return next(self.received(worker), None) is not None

    def receives(self, worker: int) -> bool:
        """Whether a worker gets anything, be it what it holds itself."""
        return self.wanted[worker].elements > 0

    def adjoint(self, name: str) -> Exchange:
        """The exchange of gradients: what was got is given back to whom it came from."""
        return Exchange(name, self.wanted, self.held, zeros=True)


def group_sum(name: str, workers: int, rows: int, columns: int) -> Exchange:
    """Every worker has a whole tensor, and gets the sum of all."""
    whole = (Part(0, rows, 0, columns),) * workers
    return Exchange(name, whole, whole)
