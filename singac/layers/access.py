"""Which tensors an operation reads and writes: this orders operations and places their buffers."""

from __future__ import annotations

from collections.abc import Iterable

from singac.layers.expression import variables
from singac.layers.operations import (
    Assign,
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
    Softmax,
    SoftmaxGradient,
    SoftmaxLoss,
    Spread,
    Steps,
)
from singac.layers.time import base_of, shift_of


def reads(operation: Operation) -> tuple[str, ...]:
    """Names of the tensors an operation reads, each once, in order."""
    match operation:
        case Pointwise(_, assigns):
            return _read_by(assigns, ())
        case Product(_, out, left, right, accumulate, then):
            after = _read_by(then.assigns, (out,)) if then else ()
            own = (left, right, out) if accumulate else (left, right)
            return tuple(dict.fromkeys((*own, *after)))
        case ColumnSum(out, source, accumulate):
            return (source, out) if accumulate else (source,)
        case Measure(_, _, value):
            return variables(value)
        case SoftmaxLoss(_, scores, labels) | Hits(_, scores, labels):
            return (scores, labels)
        case Convolution(_, out, left, right, _, _, bias, accumulate):
            own = (left, right, bias) if bias is not None else (left, right)
            return (*own, out) if accumulate else own
        case ChannelSum(out, source, _, accumulate):
            return (source, out) if accumulate else (source,)
        case Pool(_, _, source) | Lrn(_, source) | Crop(_, source) | Best(_, source):
            return (source,)
        case PoolGradient(_, _, gradient, None) | CropGradient(_, gradient):
            return (gradient,)
        case PoolGradient(_, _, gradient, source) | LrnGradient(_, gradient, source):
            assert source is not None, "where there is none is told above"
            return (gradient, source)
        case Concat(_, ranges):
            return tuple(dict.fromkeys(r.source for r in ranges if r.source is not None))
        case Softmax(_, source) | Normalise(_, _, source):
            return (source,)
        case SoftmaxGradient(_, gradient, result):
            return (gradient, result)
        case NormaliseGradient(_, gradient, result, inverse):
            return (gradient, result, inverse)
        case Lookup(_, table, indices):
            return (table, indices)
        case LookupGradient(out, gradient, indices, _, accumulate):
            return (gradient, indices, out) if accumulate else (gradient, indices)
        case OneHot(_, indices):
            return (indices,)
        case GroupSum(_, source) | Spread(_, source):
            return (source,)
        case Redistribute(_, _, source):
            return (source,) if source is not None else ()
        case Steps(_, source):
            return (source,)
        case Loop(_, _, operations):
            return _read_by_loop(operations)


def writes(operation: Operation) -> tuple[str, ...]:
    """Names of the tensors an operation writes, each once, in order."""
    match operation:
        case Pointwise(_, assigns):
            return tuple(dict.fromkeys(a.out for a in assigns))
        case Product(out=out, then=then):
            return writes(then) if then else (out,)
        case ColumnSum(out) | ChannelSum(out) | Lrn(out) | LrnGradient(out):
            return (out,)
        case Convolution(_, out) | Pool(_, out) | PoolGradient(_, out):
            return (out,)
        case Crop(out) | CropGradient(out) | Best(out):
            return (out,)
        case Normalise(out, inverse):
            return (out, inverse)
        case (
            Concat(out)
            | Softmax(out)
            | SoftmaxGradient(out)
            | NormaliseGradient(out)
            | Lookup(out)
            | LookupGradient(out)
            | OneHot(out)
            | GroupSum(out)
            | Steps(out)
            | Spread(out)
        ):
            return (out,)
        case Redistribute(_, out):
            return (out,) if out is not None else ()
        case Loop(_, _, operations):
            return tuple(dict.fromkeys(n for o in operations for n in writes(o)))
        case SoftmaxLoss(gradient=gradient):
            return (gradient,) if gradient else ()
        case Measure() | Hits():
            return ()


def _read_by_loop(operations: tuple[Operation, ...]) -> tuple[str, ...]:
    """Names read before any operation of the same step wrote them, delayed ones included."""
    written: list[str] = []
    found: list[str] = []
    for operation in operations:
        found += [n for n in reads(operation) if n not in written]
        written += writes(operation)
    return tuple(dict.fromkeys(found))


def is_carried(name: str, written: tuple[str, ...]) -> bool:
    """Whether a name read in a loop that writes `written` is a result of another of its steps."""
    return shift_of(name) != 0 and base_of(name) in written


def flat(operations: Iterable[Operation]) -> tuple[Operation, ...]:
    """The operations with those inside loops in their place."""
    return tuple(
        inner
        for operation in operations
        for inner in (operation.operations if isinstance(operation, Loop) else (operation,))
    )


def _read_by(assigns: tuple[Assign, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """Names read before any of the assigns wrote them."""
    written, found = list(known), []
    for assign in assigns:
        found += [n for n in variables(assign.value) if n not in written]
        written.append(assign.out)
    return tuple(dict.fromkeys(found))
