"""`lstm`: a state with a cell beside it, which gates write, keep and show."""

from __future__ import annotations

from collections.abc import Mapping

from singac.layers.expression import Expression, Variable, add, call, mul
from singac.layers.kind import Operand, Settings, Use, Wanted
from singac.layers.operations import Assign, Operation, Pointwise
from singac.layers.recurrent import (
    BY_STATE,
    BY_X,
    DELTA,
    WEIGHT_H,
    by_x,
    gates_of,
    joined,
    own_gradient,
    product,
    recurrent,
    sigmoid_slope,
    tanh_slope,
    through_sum,
    units_of,
)
from singac.layers.time import base_of, shift_of, shifted

# fmt: off
GATES                         = ("i",  "f",  "m",  "o")    # input, forget, cell, output
SUMS                          = ("ai", "af", "am", "ao")   # before their functions
D_I, D_F, D_M, D_O   = DELTAS = ("di", "df", "dm", "do")   # gradients of those
CELL, D_CELL, D_EARLIER       = ("cell", "dcell", "dearlier")  # the last: of the cell before, by f
# fmt: on


def _inner(settings: Settings, _: tuple[Operand, ...]) -> Mapping[str, int]:
    wide = dict.fromkeys((BY_X, BY_STATE, DELTA), 4 * units_of(settings))
    names = (*GATES, *SUMS, *DELTAS, CELL, D_CELL, D_EARLIER)
    return {**wide, **dict.fromkeys(names, units_of(settings))}


def _earlier_cell(use: Use) -> Expression:
    """A delay of an lstm hands on its cell with its result."""
    state = use.sources[1].name
    assert base_of(state) == use.name, "the state of an lstm is its own: the net was checked"
    return Variable(shifted(use.inner(CELL), shift_of(state)))


def _forward(use: Use, training: bool) -> tuple[Operation, ...]:
    """cell' = f cell + i m, h' = o tanh(cell')."""
    by_state = use.inner(BY_STATE)
    total = add(Variable(by_state), Variable(use.inner(BY_X)))
    ai, af, am, ao = (Variable(use.inner(n)) for n in SUMS)
    i, f, m, o = (Variable(use.inner(n)) for n in GATES)
    cell = Variable(use.inner(CELL))
    return (
        *by_x(use),
        product(use, WEIGHT_H, use.sources[1], by_state),
        Pointwise(by_state, (Assign(by_state, total),)),
        *gates_of(use, by_state, SUMS),
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


def _backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    """dcell = dh o (1 - tanh(cell)^2) and what the later cell hands back, f dcell of that step."""
    dh, cell, earlier = own_gradient(wanted), Variable(use.inner(CELL)), _earlier_cell(use)
    i, f, m, o = (Variable(use.inner(n)) for n in GATES)
    dcell, dearlier = Variable(use.inner(D_CELL)), use.inner(D_EARLIER)
    later = Variable(shifted(dearlier, -shift_of(use.sources[1].name)))
    squashed = call("tanh", cell)
    delta = use.inner(DELTA)
    assigns = (
        Assign(dcell.name, add(mul(mul(dh, o), tanh_slope(squashed)), later)),
        Assign(use.inner(D_I), mul(mul(dcell, m), sigmoid_slope(i))),
        Assign(use.inner(D_F), mul(mul(dcell, earlier), sigmoid_slope(f))),
        Assign(use.inner(D_M), mul(mul(dcell, i), tanh_slope(m))),
        Assign(use.inner(D_O), mul(mul(dh, squashed), sigmoid_slope(o))),
        Assign(dearlier, mul(dcell, f)),
    )
    return (
        Pointwise(use.name, assigns),
        joined(use, delta, DELTAS),
        *through_sum(use, wanted, delta),
    )


LSTM = recurrent(
    name="lstm",
    summary="of x and the state h: o tanh(cell) with cell' = f cell + i m, which goes along with "
    "h; weight_x [in, 4 units], weight_h [units, 4 units] and bias [4 units] in the order input, "
    "forget, cell, output",
    gates=4,
    inner=_inner,
    forward=_forward,
    backward=_backward,
    needs_own_state=True,
)
