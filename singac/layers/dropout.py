"""`dropout(ratio)`: in training, a value is dropped with probability `ratio` and scaled if kept.

The mask is drawn anew in backward from the same place (seed, step, layer, element), so none is
kept. Inverted dropout: testing changes nothing.
"""

from __future__ import annotations

from singac.layers import equation
from singac.layers.cut import ONE_TO_ONE
from singac.layers.expression import Draw, Expression, call, mul, number
from singac.layers.kind import LayerKind, Use, Wanted, same_shape
from singac.layers.operations import Operation
from singac.settings import BELOW_ONE, Setting


def _masked(use: Use) -> Expression:
    """x * [u >= ratio] / (1 - ratio) for a uniform draw u."""
    ratio = use.settings["ratio"]
    assert isinstance(ratio, int | float), "a ratio is a number"
    dropped = call("greater", number(ratio), Draw(use.stream, use.steps))
    kept = call("sub", number(1), dropped)
    return mul(equation.X, mul(kept, number(1 / (1 - ratio))))


def _forward(use: Use, training: bool) -> tuple[Operation, ...]:
    return equation.forward(use, _masked(use) if training else equation.X)


def _backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    return equation.backward(use, wanted, _masked(use))


DROPOUT = LayerKind(
    name="dropout",
    summary="in training, drops a value with probability `ratio` and scales the others up",
    settings=(Setting("ratio", "share dropped", default=0.5, positional=True, within=BELOW_ONE),),
    sources=1,
    shape=same_shape,
    forward=_forward,
    backward=_backward,
    feature=ONE_TO_ONE,
)
