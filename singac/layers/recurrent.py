"""What recurrent layers share: a step's result depends on that of an earlier one.

They take the source of the step and the state, the layer's own earlier result:

    [x, h[t-1]] -> h: gru(512)

What comes of x alone is written as operations of its own, and so are gradients of params: a net
does those for all steps at once, and step by step only what the state is needed for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from singac.layers.expression import Expression, Variable, add, mul, number, sub
from singac.layers.kind import (
    Connection,
    LayerKind,
    Misfit,
    Operand,
    ParamSpec,
    Settings,
    Sizes,
    Use,
    Wanted,
    columns,
)
from singac.layers.operations import (
    Assign,
    ColumnRange,
    ColumnSum,
    Concat,
    Operation,
    Pointwise,
    Product,
    Role,
)
from singac.settings import AT_LEAST_ONE, Setting, Sort, shape_text

WEIGHT_X, WEIGHT_H, BIAS = ROLES = ("weight_x", "weight_h", "bias")
ALIASES = {"weight": (WEIGHT_X, WEIGHT_H)}
BY_X, BY_STATE, DELTA = "by_x", "by_state", "delta"

UNITS = Setting(
    "units", "numbers of the state", (Sort.INTEGER,), positional=True, within=AT_LEAST_ONE
)


def units_of(settings: Settings) -> int:
    """How many numbers the state has."""
    units = settings["units"]
    assert isinstance(units, int), "a size is a whole number"
    return units


def _own_shape(settings: Settings) -> Sizes:
    return (units_of(settings),)


def _shape(settings: Settings, sources: tuple[Operand, ...]) -> Sizes:
    """The state has as many numbers as there are units."""
    state, units = sources[1], units_of(settings)
    if columns(state.shape) != units:
        raise Misfit(
            f"the state `{state.name}` has shape {shape_text(state.shape)} and there are "
            f"{units} units",
            1,
            help="the second source is the layer's own earlier result: [x, h[t-1]] -> h: ...",
        )
    return (units,)


def _params_of(
    gates: int,
) -> Callable[[Settings, tuple[Operand, ...]], tuple[ParamSpec, ...]]:
    """`gates` blocks of columns side by side, one for each."""

    def params(settings: Settings, sources: tuple[Operand, ...]) -> tuple[ParamSpec, ...]:
        units = units_of(settings)
        return (
            ParamSpec(WEIGHT_X, (columns(sources[0].shape), gates * units), ("glorot", {})),
            ParamSpec(WEIGHT_H, (units, gates * units), ("glorot", {})),
            ParamSpec(BIAS, (gates * units,), ("constant", {"value": 0.0}), optional=True),
        )

    return params


def product(use: Use, role: str, source: Operand, out: str) -> Product:
    """`out = source W`; with a transposed weight W' is stored."""
    weight = use.params[role]
    kind = Role.INPUT_GRADIENT if weight.transposed else Role.FORWARD
    return Product(kind, out, source.name, weight.name)


def by_x(use: Use) -> tuple[Operation, ...]:
    """x Wx + b, for which no state is needed."""
    out = use.inner(BY_X)
    of_x = product(use, WEIGHT_X, use.sources[0], out)
    if BIAS not in use.params:
        return (of_x,)
    biased = add(Variable(out), Variable(use.params[BIAS].name))
    return (of_x, Pointwise(out, (Assign(out, biased),)))


def back(use: Use, role: str, delta: str, out: str) -> Product:
    """`out = delta W'`."""
    weight = use.params[role]
    kind = Role.FORWARD if weight.transposed else Role.INPUT_GRADIENT
    return Product(kind, out, delta, weight.name)


def gradients(use: Use, wanted: Wanted, delta: str, delta_state: str) -> tuple[Operation, ...]:
    """Those of x and of the params, from the gradients of x Wx + b and of h Wh."""
    x, state = (s.name for s in use.sources)
    found: list[Operation] = []
    if (dx := wanted.sources[0]) is not None:
        found.append(back(use, WEIGHT_X, delta, dx))
    begun = list(wanted.begun)
    for role, source, own in ((WEIGHT_X, x, delta), (WEIGHT_H, state, delta_state)):
        if (dw := wanted.params.get(role)) is not None:
            left, right = (own, source) if use.params[role].transposed else (source, own)
            product = Product(Role.WEIGHT_GRADIENT, dw, left, right, accumulate=dw in begun)
            found.append(product)
            begun.append(dw)
    if (db := wanted.params.get(BIAS)) is not None:
        found.append(ColumnSum(db, delta, accumulate=db in begun))
    return tuple(found)


def through_sum(use: Use, wanted: Wanted, delta: str) -> tuple[Operation, ...]:
    """Back through x Wx + b + h Wh, whose gradient is `delta`: to the state, x and the params."""
    dh = wanted.sources[1]
    to_state = () if dh is None else (back(use, WEIGHT_H, delta, dh),)
    return (*to_state, *gradients(use, wanted, delta, delta))


def gates_of(use: Use, source: str, gates: Sequence[str]) -> tuple[Operation, ...]:
    """The block of columns of each gate by itself."""
    units = columns(use.shape)
    return tuple(
        Concat(use.inner(gate), (ColumnRange(source, k * units, units),))
        for k, gate in enumerate(gates)
    )


def joined(use: Use, out: str, gates: Sequence[str]) -> Concat:
    """The adjoint of `gates_of`: the blocks of all gates side by side."""
    units = columns(use.shape)
    return Concat(out, tuple(ColumnRange(use.inner(gate), 0, units) for gate in gates))


def sigmoid_slope(y: Expression) -> Expression:
    """The derivative of y = sigmoid(a), by its value."""
    return mul(y, sub(number(1), y))


def tanh_slope(y: Expression) -> Expression:
    """The derivative of y = tanh(a), by its value."""
    return sub(number(1), mul(y, y))


def own_gradient(wanted: Wanted) -> Expression:
    """The gradient of the layer's result."""
    assert wanted.own is not None, "only a loss has a backward without a gradient of its own"
    return Variable(wanted.own)


def recurrent(
    name: str,
    summary: str,
    gates: int,
    inner: Callable[[Settings, tuple[Operand, ...]], Mapping[str, int]],
    forward: Callable[[Use, bool], tuple[Operation, ...]],
    backward: Callable[[Use, Wanted], tuple[Operation, ...]],
    settings: tuple[Setting, ...] = (),
    needs_own_state: bool = False,
) -> LayerKind:
    """The kind of a recurrent layer; its params have a block of columns for each of `gates`."""
    return LayerKind(
        name=name,
        summary=summary,
        settings=(UNITS, *settings),
        sources=2,
        shape=_shape,
        needs_own_state=needs_own_state,
        params=_params_of(gates),
        roles=ROLES,
        inner=inner,
        aliases=ALIASES,
        forward=forward,
        backward=backward,
        connection=Connection.ONE_TO_ALL,
        own_shape=_own_shape,
        own_state=1,
    )
