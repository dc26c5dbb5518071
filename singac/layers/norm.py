"""Layers that bring each example to one scale: `softmax`, `layer_norm`."""

from __future__ import annotations

from collections.abc import Mapping

from singac.layers.expression import Expression, Variable, add, mul
from singac.layers.kind import (
    Connection,
    LayerKind,
    Operand,
    ParamSpec,
    Settings,
    Use,
    Wanted,
    columns,
    same_shape,
)
from singac.layers.operations import (
    Assign,
    ColumnSum,
    Normalise,
    NormaliseGradient,
    Operation,
    Pointwise,
    Softmax,
    SoftmaxGradient,
)
from singac.settings import POSITIVE, Setting

NORMED, INVERSE, SLOPE, SCALED = "normed", "inverse", "slope", "scaled"


def _softmax(use: Use, training: bool) -> tuple[Operation, ...]:
    return (Softmax(use.name, use.sources[0].name),)


def _softmax_backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    (gradient,) = wanted.sources
    if gradient is None or wanted.own is None:
        return ()
    return (SoftmaxGradient(gradient, wanted.own, use.name),)


def _params(_: Settings, sources: tuple[Operand, ...]) -> tuple[ParamSpec, ...]:
    shape = (columns(sources[0].shape),)
    return (
        ParamSpec("scale", shape, ("constant", {"value": 1.0}), optional=True),
        ParamSpec("shift", shape, ("constant", {"value": 0.0}), optional=True),
    )


def _inner(_: Settings, sources: tuple[Operand, ...]) -> Mapping[str, int]:
    """Of each example: its normed values, 1 / deviation, and two products of the gradient."""
    size = columns(sources[0].shape)
    return {NORMED: size, INVERSE: 1, SLOPE: size, SCALED: size}


def _norm(use: Use, training: bool) -> tuple[Operation, ...]:
    """n = (x - mean) / sqrt(variance + epsilon), then y = scale n + shift."""
    epsilon = use.settings["epsilon"]
    assert isinstance(epsilon, int | float), "epsilon is a number"
    normed = use.inner(NORMED)
    value: Expression = Variable(normed)
    if "scale" in use.params:
        value = mul(value, Variable(use.params["scale"].name))
    if "shift" in use.params:
        value = add(value, Variable(use.params["shift"].name))
    return (
        Normalise(normed, use.inner(INVERSE), use.sources[0].name, float(epsilon)),
        Pointwise(use.name, (Assign(use.name, value),)),
    )


def _norm_backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    return (*_source_gradient(use, wanted), *_param_gradients(use, wanted))


def _source_gradient(use: Use, wanted: Wanted) -> list[Operation]:
    """dx by way of dn = scale dy."""
    dx, dy = wanted.sources[0], _own(wanted)
    if dx is None:
        return []
    before = []
    if "scale" in use.params:
        slope = use.inner(SLOPE)
        scaled = mul(Variable(dy), Variable(use.params["scale"].name))
        before, dy = [Pointwise(use.name, (Assign(slope, scaled),))], slope
    return [*before, NormaliseGradient(dx, dy, use.inner(NORMED), use.inner(INVERSE))]


def _param_gradients(use: Use, wanted: Wanted) -> list[Operation]:
    """The sums over examples of n dy for scale and of dy for shift, which may be one param."""
    dy, found = _own(wanted), list[Operation]()
    dscale, dshift = wanted.params.get("scale"), wanted.params.get("shift")
    if dscale is not None:
        scaled = use.inner(SCALED)
        product = mul(Variable(dy), Variable(use.inner(NORMED)))
        found.append(Pointwise(use.name, (Assign(scaled, product),)))
        found.append(ColumnSum(dscale, scaled, accumulate=dscale in wanted.begun))
    if dshift is not None:
        begun = dshift in wanted.begun or dshift == dscale
        found.append(ColumnSum(dshift, dy, accumulate=begun))
    return found


def _own(wanted: Wanted) -> str:
    assert wanted.own is not None, "only a loss has a backward without a gradient of its own"
    return wanted.own


SOFTMAX = LayerKind(
    name="softmax",
    summary="y = exp(x) / sum exp(x) over the values of an example",
    settings=(),
    sources=1,
    shape=same_shape,
    forward=_softmax,
    backward=_softmax_backward,
    connection=Connection.ONE_TO_ALL,
    uncut="it brings all values of an example to one scale",
)

LAYER_NORM = LayerKind(
    name="layer_norm",
    summary="y = scale (x - mean) / sqrt(variance + epsilon) + shift over the values of an example",
    settings=(
        Setting("epsilon", "added to the variance of the values", default=1e-5, within=POSITIVE),
    ),
    sources=1,
    shape=same_shape,
    params=_params,
    roles=("scale", "shift"),
    inner=_inner,
    forward=_norm,
    backward=_norm_backward,
    connection=Connection.ONE_TO_ALL,
    uncut="it brings all values of an example to one scale",
)
