"""Recurrent layers: `rnn`, `gru`, `lstm`. A step's result depends on that of an earlier one.

They take the source of the step and the state, the layer's own earlier result:

    [x, h[t-1]] -> h: gru(512)

What comes of x alone is written as operations of its own, and so are gradients of params: a net
does those for all steps at once, and step by step only what the state is needed for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from singac.layers.expression import Expression, Variable, add, call, mul, number, sub
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
from singac.layers.time import base_of, shift_of, shifted
from singac.settings import AT_LEAST_ONE, Setting, Sort, shape_text

WEIGHT_X, WEIGHT_H, BIAS = ROLES = ("weight_x", "weight_h", "bias")
ALIASES = {"weight": (WEIGHT_X, WEIGHT_H)}
BY_X, BY_STATE, DELTA, DELTA_STATE, CELL = "by_x", "by_state", "delta", "delta_state", "cell"

UNITS = Setting(
    "units", "numbers of the state", (Sort.INTEGER,), positional=True, within=AT_LEAST_ONE
)
ACTIVATION = Setting(
    "activation",
    "what the sum goes through",
    (Sort.WORD,),
    default="tanh",
    choices=("tanh", "sigmoid", "relu"),
)


# -- what they share -------------------------------------------------------------------------------


def _units(settings: Settings) -> int:
    units = settings["units"]
    assert isinstance(units, int), "a size is a whole number"
    return units


def _own_shape(settings: Settings) -> Sizes:
    return (_units(settings),)


def _shape(settings: Settings, sources: tuple[Operand, ...]) -> Sizes:
    """The state has as many numbers as there are units."""
    state, units = sources[1], _units(settings)
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
        units = _units(settings)
        return (
            ParamSpec(WEIGHT_X, (columns(sources[0].shape), gates * units), ("glorot", {})),
            ParamSpec(WEIGHT_H, (units, gates * units), ("glorot", {})),
            ParamSpec(BIAS, (gates * units,), ("constant", {"value": 0.0}), optional=True),
        )

    return params


def _product(use: Use, role: str, source: Operand, out: str) -> Product:
    """`out = source W`; with a transposed weight W' is stored."""
    weight = use.params[role]
    kind = Role.INPUT_GRADIENT if weight.transposed else Role.FORWARD
    return Product(kind, out, source.name, weight.name)


def _by_x(use: Use) -> tuple[Operation, ...]:
    """x Wx + b, for which no state is needed."""
    out = use.inner(BY_X)
    product = _product(use, WEIGHT_X, use.sources[0], out)
    if BIAS not in use.params:
        return (product,)
    biased = add(Variable(out), Variable(use.params[BIAS].name))
    return (product, Pointwise(out, (Assign(out, biased),)))


def _back(use: Use, role: str, delta: str, out: str) -> Product:
    """`out = delta W'`."""
    weight = use.params[role]
    kind = Role.FORWARD if weight.transposed else Role.INPUT_GRADIENT
    return Product(kind, out, delta, weight.name)


def _gradients(use: Use, wanted: Wanted, delta: str, delta_state: str) -> tuple[Operation, ...]:
    """Those of x and of the params, from the gradients of x Wx + b and of h Wh."""
    x, state = (s.name for s in use.sources)
    found: list[Operation] = []
    if (dx := wanted.sources[0]) is not None:
        found.append(_back(use, WEIGHT_X, delta, dx))
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


def _cut(use: Use, source: str, gates: Sequence[str]) -> tuple[Operation, ...]:
    """The block of columns of each gate by itself."""
    units = columns(use.shape)
    return tuple(
        Concat(use.inner(gate), (ColumnRange(source, k * units, units),))
        for k, gate in enumerate(gates)
    )


def _joined(use: Use, out: str, gates: Sequence[str]) -> Concat:
    units = columns(use.shape)
    return Concat(out, tuple(ColumnRange(use.inner(gate), 0, units) for gate in gates))


def _sigmoid_slope(y: Expression) -> Expression:
    return mul(y, sub(number(1), y))


def _tanh_slope(y: Expression) -> Expression:
    return sub(number(1), mul(y, y))


def _own(wanted: Wanted) -> Expression:
    assert wanted.own is not None, "only a loss has a backward without a gradient of its own"
    return Variable(wanted.own)


# -- rnn -------------------------------------------------------------------------------------------

SLOPES: Mapping[str, Callable[[Expression], Expression]] = {
    "tanh": _tanh_slope,
    "sigmoid": _sigmoid_slope,
    "relu": lambda y: call("greater", y, number(0)),
}


def _activation(use: Use) -> str:
    activation = use.settings[ACTIVATION.name]
    assert isinstance(activation, str), "a word was checked"
    return activation


def _rnn_inner(settings: Settings, _: tuple[Operand, ...]) -> Mapping[str, int]:
    return dict.fromkeys((BY_X, BY_STATE, DELTA), _units(settings))


def _rnn(use: Use, training: bool) -> tuple[Operation, ...]:
    """h' = f(x Wx + b + h Wh)."""
    total = add(Variable(use.inner(BY_STATE)), Variable(use.inner(BY_X)))
    activation = _activation(use)
    value = call("max", total, number(0)) if activation == "relu" else call(activation, total)
    return (
        *_by_x(use),
        _product(use, WEIGHT_H, use.sources[1], use.inner(BY_STATE)),
        Pointwise(use.name, (Assign(use.name, value),)),
    )


def _rnn_backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    delta = use.inner(DELTA)
    slope = SLOPES[_activation(use)](Variable(use.name))
    before: list[Operation] = [Pointwise(use.name, (Assign(delta, mul(_own(wanted), slope)),))]
    if (dh := wanted.sources[1]) is not None:
        before.append(_back(use, WEIGHT_H, delta, dh))
    return (*before, *_gradients(use, wanted, delta, delta))


# -- gru -------------------------------------------------------------------------------------------

# fmt: off
GRU_GATES                   = ("z",  "r",  "c")      # update, reset, candidate
GRU_X                       = ("xz", "xr", "xc")     # their parts of x Wx + b
_,   _,   H_C = GRU_H       = ("hz", "hr", "hc")     # and of h Wh
D_Z, D_R, D_C = GRU_DELTAS  = ("dz", "dr", "dc")     # gradients before the functions
D_H_C, DIRECT               = ("dhc", "direct")      # of hc, and of h by way of z
# fmt: on


def _gru_inner(settings: Settings, _: tuple[Operand, ...]) -> Mapping[str, int]:
    wide = dict.fromkeys((BY_X, BY_STATE, DELTA, DELTA_STATE), 3 * _units(settings))
    names = (*GRU_GATES, *GRU_X, *GRU_H, *GRU_DELTAS, D_H_C, DIRECT)
    return {**wide, **dict.fromkeys(names, _units(settings))}


def _gru(use: Use, training: bool) -> tuple[Operation, ...]:
    """z = sigmoid, r = sigmoid, c = tanh(xc + r hc), h' = z h + (1 - z) c."""
    xz, xr, xc, hz, hr, hc = (Variable(use.inner(n)) for n in (*GRU_X, *GRU_H))
    z, r, c = (Variable(use.inner(n)) for n in GRU_GATES)
    h = Variable(use.sources[1].name)
    mixed = add(mul(z, h), mul(sub(number(1), z), c))
    return (
        *_by_x(use),
        _product(use, WEIGHT_H, use.sources[1], use.inner(BY_STATE)),
        *_cut(use, use.inner(BY_X), GRU_X),
        *_cut(use, use.inner(BY_STATE), GRU_H),
        Pointwise(
            use.name,
            (
                Assign(z.name, call("sigmoid", add(xz, hz))),
                Assign(r.name, call("sigmoid", add(xr, hr))),
                Assign(c.name, call("tanh", add(xc, mul(r, hc)))),
                Assign(use.name, mixed),
            ),
        ),
    )


def _gru_backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    """The formulas of original-singa, but the gradient of h by way of z is z dh.

    dz = (h - c) dh z (1 - z)    dc = (1 - z) dh (1 - c^2)    dr = dc hc r (1 - r)
    """
    dh, h = _own(wanted), Variable(use.sources[1].name)
    z, r, c, hc = (Variable(use.inner(n)) for n in (*GRU_GATES, H_C))
    dc, dhc = Variable(use.inner(D_C)), use.inner(D_H_C)
    delta, delta_state, direct = use.inner(DELTA), use.inner(DELTA_STATE), use.inner(DIRECT)
    one_less_z = sub(number(1), z)
    assigns = [
        Assign(use.inner(D_Z), mul(mul(dh, sub(h, c)), _sigmoid_slope(z))),
        Assign(dc.name, mul(mul(dh, one_less_z), _tanh_slope(c))),
        Assign(use.inner(D_R), mul(mul(dc, hc), _sigmoid_slope(r))),
        Assign(dhc, mul(dc, r)),
        Assign(direct, mul(dh, z)),
    ]
    found: list[Operation] = [
        Pointwise(use.name, tuple(assigns)),
        _joined(use, delta_state, (D_Z, D_R, D_H_C)),
        _joined(use, delta, GRU_DELTAS),
    ]
    if (own := wanted.sources[1]) is not None:
        found.append(_back(use, WEIGHT_H, delta_state, own))
        total = add(Variable(own), Variable(direct))
        found.append(Pointwise(own, (Assign(own, total),)))
    return (*found, *_gradients(use, wanted, delta, delta_state))


# -- lstm ------------------------------------------------------------------------------------------

# fmt: off
LSTM_GATES                         = ("i",  "f",  "m",  "o")    # input, forget, cell, output
LSTM_SUMS                          = ("ai", "af", "am", "ao")   # before their functions
D_I, D_F, D_M, D_O   = LSTM_DELTAS = ("di", "df", "dm", "do")   # gradients of those
D_CELL, D_EARLIER                  = ("dcell", "dearlier")      # of the cell, and by way of f
# fmt: on


def _lstm_inner(settings: Settings, _: tuple[Operand, ...]) -> Mapping[str, int]:
    wide = dict.fromkeys((BY_X, BY_STATE, DELTA), 4 * _units(settings))
    names = (*LSTM_GATES, *LSTM_SUMS, *LSTM_DELTAS, CELL, D_CELL, D_EARLIER)
    return {**wide, **dict.fromkeys(names, _units(settings))}


def _earlier_cell(use: Use) -> Expression:
    """A delay of an lstm hands on its cell with its result."""
    state = use.sources[1].name
    assert base_of(state) == use.name, "the state of an lstm is its own: the net was checked"
    return Variable(shifted(use.inner(CELL), shift_of(state)))


def _lstm(use: Use, training: bool) -> tuple[Operation, ...]:
    """cell' = f cell + i m, h' = o tanh(cell')."""
    by_state = use.inner(BY_STATE)
    total = add(Variable(by_state), Variable(use.inner(BY_X)))
    ai, af, am, ao = (Variable(use.inner(n)) for n in LSTM_SUMS)
    i, f, m, o = (Variable(use.inner(n)) for n in LSTM_GATES)
    cell = Variable(use.inner(CELL))
    return (
        *_by_x(use),
        _product(use, WEIGHT_H, use.sources[1], by_state),
        Pointwise(by_state, (Assign(by_state, total),)),
        *_cut(use, by_state, LSTM_SUMS),
        Pointwise(
            use.name,
            (
                Assign(i.name, call("sigmoid", ai)),
                Assign(f.name, call("sigmoid", af)),
                Assign(m.name, call("tanh", am)),
                Assign(o.name, call("sigmoid", ao)),
                Assign(cell.name, add(mul(f, _earlier_cell(use)), mul(i, m))),
                Assign(use.name, mul(o, call("tanh", cell))),
            ),
        ),
    )


def _lstm_backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    """dcell = dh o (1 - tanh(cell)^2) and what the later cell hands back, f dcell of that step."""
    dh, cell, earlier = _own(wanted), Variable(use.inner(CELL)), _earlier_cell(use)
    i, f, m, o = (Variable(use.inner(n)) for n in LSTM_GATES)
    dcell, back = Variable(use.inner(D_CELL)), use.inner(D_EARLIER)
    later = Variable(shifted(back, -shift_of(use.sources[1].name)))
    squashed = call("tanh", cell)
    delta = use.inner(DELTA)
    assigns = (
        Assign(dcell.name, add(mul(mul(dh, o), _tanh_slope(squashed)), later)),
        Assign(use.inner(D_I), mul(mul(dcell, m), _sigmoid_slope(i))),
        Assign(use.inner(D_F), mul(mul(dcell, earlier), _sigmoid_slope(f))),
        Assign(use.inner(D_M), mul(mul(dcell, i), _tanh_slope(m))),
        Assign(use.inner(D_O), mul(mul(dh, squashed), _sigmoid_slope(o))),
        Assign(back, mul(dcell, f)),
    )
    found: list[Operation] = [Pointwise(use.name, assigns), _joined(use, delta, LSTM_DELTAS)]
    if (own := wanted.sources[1]) is not None:
        found.append(_back(use, WEIGHT_H, delta, own))
    return (*found, *_gradients(use, wanted, delta, delta))


RNN = LayerKind(
    name="rnn",
    summary="of x and the state h: f(x Wx + h Wh + b), with weight_x [in, units], "
    "weight_h [units, units] and bias [units]",
    settings=(UNITS, ACTIVATION),
    sources=2,
    shape=_shape,
    params=_params_of(1),
    roles=ROLES,
    inner=_rnn_inner,
    aliases=ALIASES,
    forward=_rnn,
    backward=_rnn_backward,
    connection=Connection.ONE_TO_ALL,
    own_shape=_own_shape,
    own_state=1,
)

GRU = LayerKind(
    name="gru",
    summary="of x and the state h: z h + (1 - z) c with gates z and r and "
    "c = tanh(x Wc + r (h Uc) + b); weight_x [in, 3 units], weight_h [units, 3 units] and bias "
    "[3 units] in the order z, r, c",
    settings=(UNITS,),
    sources=2,
    shape=_shape,
    params=_params_of(3),
    roles=ROLES,
    inner=_gru_inner,
    aliases=ALIASES,
    forward=_gru,
    backward=_gru_backward,
    connection=Connection.ONE_TO_ALL,
    own_shape=_own_shape,
    own_state=1,
)

LSTM = LayerKind(
    name="lstm",
    summary="of x and the state h: o tanh(cell) with cell' = f cell + i m, which goes along with "
    "h; weight_x [in, 4 units], weight_h [units, 4 units] and bias [4 units] in the order input, "
    "forget, cell, output",
    settings=(UNITS,),
    sources=2,
    shape=_shape,
    needs_own_state=True,
    params=_params_of(4),
    roles=ROLES,
    inner=_lstm_inner,
    aliases=ALIASES,
    forward=_lstm,
    backward=_lstm_backward,
    connection=Connection.ONE_TO_ALL,
    own_shape=_own_shape,
    own_state=1,
)
