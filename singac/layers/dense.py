"""`dense(units)`: every unit a weighted sum of all values of the source."""

from __future__ import annotations

from singac.layers.cut import LANES, whole, width
from singac.layers.expression import Variable, add
from singac.layers.kind import (
    Connection,
    Cut,
    Feature,
    LayerKind,
    Operand,
    ParamSpec,
    Range,
    Settings,
    Sizes,
    Use,
    Wanted,
    columns,
)
from singac.layers.operations import Assign, ColumnSum, Operation, Pointwise, Product, Role
from singac.settings import AT_LEAST_ONE, Setting, Sort


def _units(settings: Settings) -> int:
    units = settings["units"]
    assert isinstance(units, int), "a size is a whole number"
    return units


def _shape(settings: Settings, _: tuple[Operand, ...]) -> Sizes:
    return (_units(settings),)


def _params(settings: Settings, sources: tuple[Operand, ...]) -> tuple[ParamSpec, ...]:
    units = _units(settings)
    return (
        ParamSpec(
            "weight", (columns(sources[0].shape), units), ("glorot", {}), along=1, along_input=0
        ),
        ParamSpec("bias", (units,), ("constant", {"value": 0.0}), optional=True, along=0),
    )


def _cut(settings: Settings, sources: tuple[Operand, ...], shape: Sizes, own: Range) -> Cut:
    """Some units, of all values of the source: columns of the weight."""
    return Cut({**settings, "units": own[1] - own[0]}, whole(sources), own)


def forward_role(weight: Operand) -> Role:
    """The product x W of a weight; of a transposed one W' is stored."""
    return Role.INPUT_GRADIENT if weight.transposed else Role.FORWARD


def backward_role(weight: Operand) -> Role:
    """The product y W' of a weight; of a transposed one W' is stored."""
    return Role.FORWARD if weight.transposed else Role.INPUT_GRADIENT


def weight_sides(weight: Operand, inputs: str, outputs: str) -> tuple[str, str]:
    """Left and right side of the product that gives the gradient of a weight as it is stored."""
    return (outputs, inputs) if weight.transposed else (inputs, outputs)


def _forward(use: Use, training: bool) -> tuple[Operation, ...]:
    """y = x W + b."""
    weight, y = use.params["weight"], use.name
    product = Product(forward_role(weight), y, use.sources[0].name, weight.name)
    if "bias" not in use.params:
        return (product,)
    biased = add(Variable(y), Variable(use.params["bias"].name))
    return (product, Pointwise(y, (Assign(y, biased),)))


def _backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    """dx = dy W' first, then dW = x' dy and db, so that W may change once its push is done."""
    x, dy, weight = use.sources[0].name, wanted.own, use.params["weight"]
    assert dy is not None, "a dense layer that nothing reads has no backward"
    operations: list[Operation] = []
    if (dx := wanted.sources[0]) is not None:
        operations.append(Product(backward_role(weight), dx, dy, weight.name))
    if (dw := wanted.params.get("weight")) is not None:
        left, right = weight_sides(weight, x, dy)
        begun = dw in wanted.begun
        operations.append(Product(Role.WEIGHT_GRADIENT, dw, left, right, accumulate=begun))
    if (db := wanted.params.get("bias")) is not None:
        operations.append(ColumnSum(db, dy, accumulate=db in wanted.begun))
    return tuple(operations)


DENSE = LayerKind(
    name="dense",
    summary="y = x W + b, with weight [in, units] and bias [units]; `bias = none` leaves it out",
    settings=(
        Setting(
            "units", "number of outputs", (Sort.INTEGER,), positional=True, within=AT_LEAST_ONE
        ),
    ),
    sources=1,
    shape=_shape,
    params=_params,
    roles=("weight", "bias"),
    forward=_forward,
    backward=_backward,
    connection=Connection.ONE_TO_ALL,
    own_shape=lambda settings: (_units(settings),),
    feature=Feature(width, lambda *_: LANES, _cut),
    sums_input=True,
)
