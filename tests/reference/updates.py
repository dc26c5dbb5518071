"""An update of a plan in NumPy, in double: what the generated update is held against."""

from __future__ import annotations

from singac.model.types import Update
from tests.reference.expressions import Array, evaluate

States = dict[str, Array]


def states_of(update: Update, w: Array) -> States:
    """The states a server starts with, one array of the param's shape each."""
    return {name: w * 0.0 + start for name, start in update.states}


def apply(
    update: Update, w: Array, gradient: Array, states: States, rate: float, decay: float, step: int
) -> Array:
    """The param after update number `step`, counted from 1; `states` are replaced in place.

    `rate` and `decay` have the param's scales in them.
    """
    names = [name for name, _ in update.scalars]
    scalars = dict(zip(names, update.values(rate, decay, step), strict=True))
    values: States = {"w": w, "g": gradient, **states}
    for target, expression in update.assigns:
        values[target] = evaluate(expression, values, scalars) + 0.0 * w
    states.update({name: values[name] for name in states})
    return values["w"]
