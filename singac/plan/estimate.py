"""What a plan costs: floating-point operations, bytes moved and memory of each process."""

from __future__ import annotations

from singac.layers.exchange import Exchange
from singac.layers.expression import size
from singac.plan.plan import Slice, Update

FLOAT_BYTES = 4


def update_flops(update: Update, piece: Slice, workers: int) -> int:
    """Operations of an update: the sum over workers and the updater, for each element."""
    norm = workers + 1 if update.clip_norm else 0
    return piece.floats * (workers - 1 + norm + sum(size(e) for _, e in update.assigns))


def exchanged_bytes(exchange: Exchange, worker: int) -> tuple[int, int]:
    """What a worker sends to and receives from the others of its group in an exchange."""
    held, wanted, workers = exchange.held, exchange.wanted, len(exchange.held)
    if held.count(held[worker]) == wanted.count(wanted[worker]) == workers:  # all do alike
        moved = held[worker].shared_with(wanted[worker]).elements * (workers - 1) * FLOAT_BYTES
        return moved, moved
    sent = sum(part.elements for _, part in exchange.sent(worker))
    received = sum(part.elements for _, part in exchange.received(worker))
    return sent * FLOAT_BYTES, received * FLOAT_BYTES
