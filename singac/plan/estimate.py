"""What a plan costs: floating-point operations, bytes moved and memory of each process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from singac.layers.exchange import Exchange
from singac.layers.expression import size
from singac.layers.operations import (
    Best,
    ChannelSum,
    ColumnSum,
    Concat,
    Convolution,
    Crop,
    CropGradient,
    GroupSum,
    Hits,
    Lookup,
    LookupGradient,
    Loop,
    Lrn,
    LrnGradient,
    Measure,
    Normalise,
    NormaliseGradient,
    OneHot,
    Operation,
    Pointwise,
    Pool,
    PoolGradient,
    Product,
    Redistribute,
    Role,
    Softmax,
    SoftmaxGradient,
    SoftmaxLoss,
    Spread,
    Steps,
    reads,
    writes,
)
from singac.plan.plan import Buffer, Slice, Update

FLOAT_BYTES = 4


def flops(operation: Operation, buffers: Mapping[str, Buffer], rows: int) -> int:
    """Floating-point operations on `rows` examples, a multiply-add as two, a function as one.

    Of an unrolled layer they are those of all its steps.
    """
    if isinstance(operation, Loop):
        one = {n: replace(b, rows=b.rows // b.steps, steps=1) for n, b in buffers.items()}
        return operation.steps * sum(flops(o, one, rows) for o in operation.operations)
    touched = (*reads(operation), *writes(operation))
    rows *= max((buffers[n].steps for n in touched if n in buffers), default=1)
    match operation:
        case Product(role, out, _, right, then=then):
            weight = buffers[out if role is Role.WEIGHT_GRADIENT else right]
            after = _pointwise(then, buffers, rows) if then else 0
            return 2 * rows * weight.rows * weight.columns + after
        case Pointwise():
            return _pointwise(operation, buffers, rows)
        case Convolution(role, out, _, right, windows):
            weight = buffers[out if role is Role.WEIGHT_GRADIENT else right]
            return 2 * rows * weight.rows * weight.columns * windows.pixels
        case Pool(windows=windows) | PoolGradient(windows=windows):
            return rows * windows.channels * windows.pixels * windows.taps
        case Lrn(out, _, response):
            return rows * buffers[out].columns * (response.size + 4)
        case LrnGradient(out, _, _, response):
            return rows * buffers[out].columns * (2 * response.size + 8)
        case ColumnSum(_, source) | ChannelSum(_, source):
            return rows * buffers[source].columns
        case Measure(_, like, value):
            return rows * buffers[like].columns * (1 + size(value))
        case SoftmaxLoss(_, scores):
            return 5 * rows * buffers[scores].columns
        case Hits(_, scores):
            return rows * buffers[scores].columns
        case Softmax(out):
            return 5 * rows * buffers[out].columns
        case SoftmaxGradient(out):
            return 4 * rows * buffers[out].columns
        case Normalise(out):
            return 5 * rows * buffers[out].columns
        case NormaliseGradient(out):
            return 7 * rows * buffers[out].columns
        case LookupGradient(_, gradient):
            return rows * buffers[gradient].columns
        case Best(_, source, count):
            return rows * buffers[source].columns * count
        case GroupSum() | Redistribute() | Concat() | Steps() | Spread():
            return 0
        case Lookup() | OneHot() | Crop() | CropGradient():
            return 0


def _pointwise(operation: Pointwise, buffers: Mapping[str, Buffer], rows: int) -> int:
    """Elements times calls; a tensor that stays in registers has the columns of those stored."""
    known = [buffers[a.out] for a in operation.assigns if a.out in buffers]
    elements = max((b.rows * b.columns for b in known), default=0)
    return elements * sum(size(a.value) for a in operation.assigns)


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
