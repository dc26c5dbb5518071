"""Floating-point operations of an operation, a multiply-add as two, a function as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from singac.layers.access import reads, writes
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
)


class Tensor(Protocol):
    """What counts of a tensor: its rows, those of all its steps, and its columns."""

    @property
    def rows(self) -> int: ...

    @property
    def columns(self) -> int: ...

    @property
    def steps(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Extent:
    """A tensor of which no more is known."""

    rows: int
    columns: int
    steps: int = 1


def flops(operation: Operation, tensors: Mapping[str, Tensor], rows: int) -> int:
    """Floating-point operations on `rows` examples; `tensors` has those that are in memory.

    Of an unrolled layer they are those of all its steps.
    """
    if isinstance(operation, Loop):
        one = {n: Extent(t.rows // t.steps, t.columns) for n, t in tensors.items()}
        return operation.steps * sum(flops(o, one, rows) for o in operation.operations)
    touched = (*reads(operation), *writes(operation))
    rows *= max((tensors[n].steps for n in touched if n in tensors), default=1)
    match operation:
        case Product(role, out, _, right, then=then):
            weight = tensors[out if role is Role.WEIGHT_GRADIENT else right]
            after = _pointwise(then, tensors, rows) if then else 0
            return 2 * rows * weight.rows * weight.columns + after
        case Pointwise():
            return _pointwise(operation, tensors, rows)
        case Convolution(role, out, _, right, windows):
            weight = tensors[out if role is Role.WEIGHT_GRADIENT else right]
            return 2 * rows * weight.rows * weight.columns * windows.pixels
        case Pool(windows=windows) | PoolGradient(windows=windows):
            return rows * windows.channels * windows.pixels * windows.taps
        case Lrn(out, _, response):
            return rows * tensors[out].columns * (response.size + 4)
        case LrnGradient(out, _, _, response):
            return rows * tensors[out].columns * (2 * response.size + 8)
        case ColumnSum(_, source) | ChannelSum(_, source):
            return rows * tensors[source].columns
        case Measure(_, like, value):
            return rows * tensors[like].columns * (1 + size(value))
        case SoftmaxLoss(_, scores):
            return 5 * rows * tensors[scores].columns
        case Hits(_, scores):
            return rows * tensors[scores].columns
        case Softmax(out):
            return 5 * rows * tensors[out].columns
        case SoftmaxGradient(out):
            return 4 * rows * tensors[out].columns
        case Normalise(out):
            return 5 * rows * tensors[out].columns
        case NormaliseGradient(out):
            return 7 * rows * tensors[out].columns
        case LookupGradient(_, gradient):
            return rows * tensors[gradient].columns
        case Best(_, source, count):
            return rows * tensors[source].columns * count
        case GroupSum() | Redistribute() | Concat() | Steps() | Spread():
            return 0
        case Lookup() | OneHot() | Crop() | CropGradient():
            return 0


def _pointwise(operation: Pointwise, tensors: Mapping[str, Tensor], rows: int) -> int:
    """Elements times calls; a tensor that stays in registers has the columns of those stored."""
    known = [tensors[a.out] for a in operation.assigns if a.out in tensors]
    elements = max((b.rows * b.columns for b in known), default=0)
    return elements * sum(size(a.value) for a in operation.assigns)
