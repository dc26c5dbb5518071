"""What a plan costs: floating-point operations, bytes moved and memory of each process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from singac.layers.exchange import Exchange
from singac.layers.expression import size
from singac.plan.plan import Slice, Update

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FLOAT_BYTES = 4


def update_flops(update: Update, piece: Slice, workers: int) -> int:
    """Operations of an update: the sum over workers and the updater, for each element."""
    norm = workers + 1 if update.clip_norm else 0
    return piece.floats * (workers - 1 + norm + sum(size(e) for _, e in update.assigns))


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes that each worker of a group sends to and receives from the others in an exchange."""

    sent: tuple[int, ...]
    received: tuple[int, ...]


def traffic(exchange: Exchange) -> Traffic:
    """What an exchange moves: whatever one worker holds and another one wants."""
    import numpy as np

    held, wanted = (
        np.array([(p.row, p.row + p.rows, p.column, p.column + p.columns) for p in parts])
        for parts in (exchange.held, exchange.wanted)
    )

    def common(start: int) -> NDArray[np.int_]:
        """Rows (columns) that lie in both, [who holds][who wants]."""
        first = np.maximum(held[:, None, start], wanted[None, :, start])
        last = np.minimum(held[:, None, start + 1], wanted[None, :, start + 1])
        shared: NDArray[np.int_] = np.maximum(last - first, 0)
        return shared

    moved = common(0) * common(2) * FLOAT_BYTES
    np.fill_diagonal(moved, 0)
    return Traffic(tuple(moved.sum(axis=1).tolist()), tuple(moved.sum(axis=0).tolist()))
