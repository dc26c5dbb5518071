"""`gru`: a state that gates mix with a candidate."""

from __future__ import annotations

from collections.abc import Mapping

from singac.layers.expression import Variable, add, call, mul, number, sub
from singac.layers.kind import Operand, Settings, Use, Wanted
from singac.layers.operations import Assign, Operation, Pointwise
from singac.layers.recurrent import (
    BY_STATE,
    BY_X,
    DELTA,
    WEIGHT_H,
    back,
    by_x,
    gates_of,
    gradients,
    joined,
    own_gradient,
    product,
    recurrent,
    sigmoid_slope,
    tanh_slope,
    units_of,
)

# fmt: off
GATES                       = ("z",  "r",  "c")      # update, reset, candidate
OF_X                        = ("xz", "xr", "xc")     # their parts of x Wx + b
_,   _,   H_C = OF_H        = ("hz", "hr", "hc")     # and of h Wh
D_Z, D_R, D_C = DELTAS      = ("dz", "dr", "dc")     # gradients before the functions
D_H_C, DIRECT               = ("dhc", "direct")      # of hc, and of h by way of z
DELTA_STATE                 = "delta_state"          # of h Wh
# fmt: on


def _inner(settings: Settings, _: tuple[Operand, ...]) -> Mapping[str, int]:
    wide = dict.fromkeys((BY_X, BY_STATE, DELTA, DELTA_STATE), 3 * units_of(settings))
    names = (*GATES, *OF_X, *OF_H, *DELTAS, D_H_C, DIRECT)
    return {**wide, **dict.fromkeys(names, units_of(settings))}


def _forward(use: Use, training: bool) -> tuple[Operation, ...]:
    """z = sigmoid, r = sigmoid, c = tanh(xc + r hc), h' = z h + (1 - z) c."""
    xz, xr, xc, hz, hr, hc = (Variable(use.inner(n)) for n in (*OF_X, *OF_H))
    z, r, c = (Variable(use.inner(n)) for n in GATES)
    h = Variable(use.sources[1].name)
    mixed = add(mul(z, h), mul(sub(number(1), z), c))
    return (
        *by_x(use),
        product(use, WEIGHT_H, use.sources[1], use.inner(BY_STATE)),
        *gates_of(use, use.inner(BY_X), OF_X),
        *gates_of(use, use.inner(BY_STATE), OF_H),
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


def _backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    """The formulas of original-singa, but the gradient of h by way of z is z dh.

    dz = (h - c) dh z (1 - z)    dc = (1 - z) dh (1 - c^2)    dr = dc hc r (1 - r)
    """
    dh, h = own_gradient(wanted), Variable(use.sources[1].name)
    z, r, c, hc = (Variable(use.inner(n)) for n in (*GATES, H_C))
    dc, dhc = Variable(use.inner(D_C)), use.inner(D_H_C)
    delta, delta_state, direct = use.inner(DELTA), use.inner(DELTA_STATE), use.inner(DIRECT)
    one_less_z = sub(number(1), z)
    assigns = [
        Assign(use.inner(D_Z), mul(mul(dh, sub(h, c)), sigmoid_slope(z))),
        Assign(dc.name, mul(mul(dh, one_less_z), tanh_slope(c))),
        Assign(use.inner(D_R), mul(mul(dc, hc), sigmoid_slope(r))),
        Assign(dhc, mul(dc, r)),
        Assign(direct, mul(dh, z)),
    ]
    found: list[Operation] = [
        Pointwise(use.name, tuple(assigns)),
        joined(use, delta_state, (D_Z, D_R, D_H_C)),
        joined(use, delta, DELTAS),
    ]
    if (own := wanted.sources[1]) is not None:
        found.append(back(use, WEIGHT_H, delta_state, own))
        total = add(Variable(own), Variable(direct))
        found.append(Pointwise(own, (Assign(own, total),)))
    return (*found, *gradients(use, wanted, delta, delta_state))


GRU = recurrent(
    name="gru",
    summary="of x and the state h: z h + (1 - z) c with gates z and r and "
    "c = tanh(x Wc + r (h Uc) + b); weight_x [in, 3 units], weight_h [units, 3 units] and bias "
    "[3 units] in the order z, r, c",
    gates=3,
    inner=_inner,
    forward=_forward,
    backward=_backward,
)
