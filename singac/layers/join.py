"""Layers that join sources or take a part of one: `add`, `multiply`, `concat`, `slice`.

Concat and slice work on the first axis of a shape, features or channels. Examples are row-major,
so that what is a range of this axis is a range of columns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from singac.layers.cut import ONE_TO_ONE, first_axis, width
from singac.layers.expression import Expression, Variable, add, mul
from singac.layers.kind import (
    Connection,
    Cut,
    Feature,
    LayerKind,
    Misfit,
    Operand,
    Range,
    Settings,
    Sizes,
    Use,
    Wanted,
    columns,
)
from singac.layers.operations import Assign, ColumnRange, Concat, Operation, Pointwise
from singac.settings import AT_LEAST_ONE, NOT_NEGATIVE, Setting, Sort, shape_text

Combine = Callable[[Expression, Expression], Expression]


def _one_shape(_: Settings, sources: tuple[Operand, ...]) -> Sizes:
    first = sources[0]
    for slot, other in enumerate(sources):
        if other.shape != first.shape:
            raise Misfit(
                f"`{first.name}` has shape {shape_text(first.shape)} and `{other.name}` has "
                f"{shape_text(other.shape)}",
                slot,
                help="all sources need one shape",
            )
    return first.shape


def _all(combine: Combine, sources: Sequence[Operand]) -> Expression:
    first, *others = (Variable(s.name) for s in sources)
    total: Expression = first
    for other in others:
        total = combine(total, other)
    return total


def _add(use: Use, training: bool) -> tuple[Operation, ...]:
    return (Pointwise(use.name, (Assign(use.name, _all(add, use.sources)),)),)


def _add_backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    """Every source has the gradient of the sum."""
    return _gradients(use, wanted, lambda dy, _: dy)


def _multiply(use: Use, training: bool) -> tuple[Operation, ...]:
    return (Pointwise(use.name, (Assign(use.name, _all(mul, use.sources)),)),)


def _multiply_backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    """A source's gradient is dy times all other sources; a source fed twice is another one."""

    def gradient(dy: Expression, slot: int) -> Expression:
        others = [s for k, s in enumerate(use.sources) if k != slot]
        return mul(dy, _all(mul, others))

    return _gradients(use, wanted, gradient)


def _gradients(
    use: Use, wanted: Wanted, gradient: Callable[[Expression, int], Expression]
) -> tuple[Operation, ...]:
    assert wanted.own is not None, "only a loss has a backward without a gradient of its own"
    dy = Variable(wanted.own)
    named = [(slot, name) for slot, name in enumerate(wanted.sources) if name is not None]
    assigns = tuple(Assign(name, gradient(dy, slot)) for slot, name in named)
    return (Pointwise(use.name, assigns),) if assigns else ()


def _concat_shape(_: Settings, sources: tuple[Operand, ...]) -> Sizes:
    first = sources[0]
    for slot, other in enumerate(sources):
        if other.shape[1:] != first.shape[1:]:
            raise Misfit(
                f"`{first.name}` has shape {shape_text(first.shape)} and `{other.name}` has "
                f"{shape_text(other.shape)}",
                slot,
                help="only the first sizes may differ: sources are joined along that axis",
            )
    return (sum(s.shape[0] for s in sources), *first.shape[1:])


def _concat(use: Use, training: bool) -> tuple[Operation, ...]:
    return (Concat(use.name, tuple(ColumnRange(s.name, 0, columns(s.shape)) for s in use.sources)),)


def _concat_backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    """Each source takes its own columns of the gradient."""
    operations: list[Operation] = []
    start = 0
    for source, name in zip(use.sources, wanted.sources, strict=True):
        size = columns(source.shape)
        if name is not None:
            operations.append(Concat(name, (ColumnRange(wanted.own, start, size),)))
        start += size
    return tuple(operations)


def _range(settings: Settings) -> tuple[int, int]:
    start, stop = settings["start"], settings["stop"]
    assert isinstance(start, int), "a place is a whole number"
    assert isinstance(stop, int), "a place is a whole number"
    return start, stop


def _slice_shape(settings: Settings, sources: tuple[Operand, ...]) -> Sizes:
    start, stop = _range(settings)
    size, *others = sources[0].shape
    if start >= stop:
        raise Misfit(f"a slice from {start} to {stop} is empty", help="`stop` is behind the last")
    if stop > size:
        raise Misfit(
            f"a slice to {stop} of a source of {size}", 0, help=f"`stop` is at most {size}"
        )
    return (stop - start, *others)


def _slice(use: Use, training: bool) -> tuple[Operation, ...]:
    source = use.sources[0]
    start = _range(use.settings)[0] * columns(source.shape[1:])
    return (Concat(use.name, (ColumnRange(source.name, start, columns(use.shape)),)),)


def _slice_backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    """The gradient, and zeros where the slice took nothing."""
    (name,) = wanted.sources
    if name is None:
        return ()
    shape = use.sources[0].shape
    before = _range(use.settings)[0] * columns(shape[1:])
    own = columns(use.shape)
    after = columns(shape) - before - own
    ranges = (
        ColumnRange(None, 0, before),
        ColumnRange(wanted.own, 0, own),
        ColumnRange(None, 0, after),
    )
    return (Concat(name, tuple(r for r in ranges if r.columns)),)


def _cut_concat(settings: Settings, sources: tuple[Operand, ...], shape: Sizes, own: Range) -> Cut:
    """What each source has of a range of columns; a source that has nothing is left out."""
    needed: list[Range | None] = []
    start = 0
    for source in sources:
        stop = start + columns(source.shape)
        first, last = max(own[0], start), min(own[1], stop)
        needed.append((first - start, last - start) if first < last else None)
        start = stop
    return Cut(settings, tuple(needed), own)


def _cut_slice(settings: Settings, sources: tuple[Operand, ...], shape: Sizes, own: Range) -> Cut:
    """A part of the source is all of the piece."""
    each = columns(shape[1:])
    start = _range(settings)[0] * each
    taken = {**settings, "start": 0, "stop": (own[1] - own[0]) // each}
    return Cut(taken, ((start + own[0], start + own[1]),), own)


ADD = LayerKind(
    name="add",
    summary="y = a + b + ..., of two or more sources of one shape",
    settings=(),
    sources=2,
    or_more=True,
    shape=_one_shape,
    forward=_add,
    backward=_add_backward,
    feature=ONE_TO_ONE,
)

MULTIPLY = LayerKind(
    name="multiply",
    summary="y = a * b * ..., value by value, of two or more sources of one shape",
    settings=(),
    sources=2,
    or_more=True,
    shape=_one_shape,
    forward=_multiply,
    backward=_multiply_backward,
    feature=ONE_TO_ONE,
)

CONCAT = LayerKind(
    name="concat",
    summary="sources end to end along the first axis of their shape: features, channels",
    settings=(),
    sources=2,
    or_more=True,
    shape=_concat_shape,
    forward=_concat,
    backward=_concat_backward,
    connection=Connection.ONE_TO_ALL,
    feature=Feature(width, first_axis, _cut_concat),
)

SLICE = LayerKind(
    name="slice",
    summary="the part from `start` to before `stop` of the first axis of a shape, counted from 0",
    settings=(
        Setting("start", "the first taken", (Sort.INTEGER,), positional=True, within=NOT_NEGATIVE),
        Setting(
            "stop", "the first not taken", (Sort.INTEGER,), positional=True, within=AT_LEAST_ONE
        ),
    ),
    sources=1,
    shape=_slice_shape,
    forward=_slice,
    backward=_slice_backward,
    connection=Connection.ONE_TO_ALL,
    feature=Feature(width, first_axis, _cut_slice),
)
