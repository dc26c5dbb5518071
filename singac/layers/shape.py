"""`flatten` and `reshape(shape)`: the same values under another shape.

An example's values keep their order, so that the result is its source's row. As an operation it is
the identity, which the layer before does in passing.
"""

from __future__ import annotations

from singac.layers import equation
from singac.layers.cut import ONE_TO_ONE
from singac.layers.kind import LayerKind, Misfit, Operand, Settings, Sizes, Use, Wanted, columns
from singac.layers.operations import Operation
from singac.settings import AT_LEAST_ONE, Setting, Sort, shape_text


def _flat(_: Settings, sources: tuple[Operand, ...]) -> Sizes:
    return (columns(sources[0].shape),)


def _given(settings: Settings, sources: tuple[Operand, ...]) -> Sizes:
    shape, source = settings["shape"], sources[0]
    assert isinstance(shape, tuple), "a shape is a checked shape"
    if columns(shape) != columns(source.shape):
        raise Misfit(
            f"{shape_text(shape)} has {columns(shape)} values and `{source.name}` has "
            f"{columns(source.shape)}",
            0,
            help=f"the sizes must come to {' x '.join(map(str, source.shape))}"
            + (f" = {columns(source.shape)}" if len(source.shape) > 1 else ""),
        )
    return shape


def _forward(use: Use, training: bool) -> tuple[Operation, ...]:
    return equation.forward(use, equation.X)


def _backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    return equation.backward(use, wanted, equation.X)


FLATTEN = LayerKind(
    name="flatten",
    summary="all values of an example in one axis: 3x8x8 becomes 192",
    settings=(),
    sources=1,
    shape=_flat,
    forward=_forward,
    backward=_backward,
    feature=ONE_TO_ONE,
)

RESHAPE = LayerKind(
    name="reshape",
    summary="the same values in another shape, in the same order",
    settings=(
        Setting("shape", "the new shape", (Sort.SHAPE,), positional=True, within=AT_LEAST_ONE),
    ),
    sources=1,
    shape=_given,
    forward=_forward,
    backward=_backward,
    feature=ONE_TO_ONE,
)
