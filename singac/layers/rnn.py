"""`rnn`: a sum of the source and the state through one function."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from singac.layers.expression import Expression, Variable, add, call, mul, number
from singac.layers.kind import Operand, Settings, Use, Wanted
from singac.layers.operations import Assign, Operation, Pointwise
from singac.layers.recurrent import (
    BY_STATE,
    BY_X,
    DELTA,
    WEIGHT_H,
    by_x,
    own_gradient,
    product,
    recurrent,
    sigmoid_slope,
    tanh_slope,
    through_sum,
    units_of,
)
from singac.settings import Setting, Sort

ACTIVATION = Setting(
    "activation",
    "what the sum goes through",
    (Sort.WORD,),
    default="tanh",
    choices=("tanh", "sigmoid", "relu"),
)

SLOPES: Mapping[str, Callable[[Expression], Expression]] = {
    "tanh": tanh_slope,
    "sigmoid": sigmoid_slope,
    "relu": lambda y: call("greater", y, number(0)),
}


def _activation(use: Use) -> str:
    activation = use.settings[ACTIVATION.name]
    assert isinstance(activation, str), "a word was checked"
    return activation


def _inner(settings: Settings, _: tuple[Operand, ...]) -> Mapping[str, int]:
    return dict.fromkeys((BY_X, BY_STATE, DELTA), units_of(settings))


def _forward(use: Use, training: bool) -> tuple[Operation, ...]:
    """h' = f(x Wx + b + h Wh)."""
    total = add(Variable(use.inner(BY_STATE)), Variable(use.inner(BY_X)))
    activation = _activation(use)
    value = call("max", total, number(0)) if activation == "relu" else call(activation, total)
    return (
        *by_x(use),
        product(use, WEIGHT_H, use.sources[1], use.inner(BY_STATE)),
        Pointwise(use.name, (Assign(use.name, value),)),
    )


def _backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    delta = use.inner(DELTA)
    slope = SLOPES[_activation(use)](Variable(use.name))
    of_sum = mul(own_gradient(wanted), slope)
    return (
        Pointwise(use.name, (Assign(delta, of_sum),)),
        *through_sum(use, wanted, delta),
    )


RNN = recurrent(
    name="rnn",
    summary="of x and the state h: f(x Wx + h Wh + b), with weight_x [in, units], "
    "weight_h [units, units] and bias [units]",
    gates=1,
    inner=_inner,
    forward=_forward,
    backward=_backward,
    settings=(ACTIVATION,),
)
