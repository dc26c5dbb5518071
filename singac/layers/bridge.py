"""Layers that stand where an arrow leads into an unrolled part or out of it; nobody writes them.

features -> | every step |    the same for all; its gradient is the sum over steps
char     -> | one a step |    step t takes row t of a field
last     <- |            |    what is read from outside is what the last step made
"""

from __future__ import annotations

from singac.layers.expression import Variable, add, number
from singac.layers.kind import LayerKind, Use, Wanted, same_shape
from singac.layers.operations import Assign, Loop, Operation, Pointwise, Steps
from singac.layers.time import steps_of


def _copy(out: str, source: str) -> Pointwise:
    return Pointwise(out, (Assign(out, Variable(source)),))


def _every(use: Use, training: bool) -> tuple[Operation, ...]:
    return (Loop(use.steps, False, (_copy(use.name, use.sources[0].name),)),)


def _every_backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    """The sum over steps, in their order."""
    (total,) = wanted.sources
    if total is None or wanted.own is None:
        return ()
    added = add(Variable(total), Variable(wanted.own))
    return (
        Pointwise(total, (Assign(total, number(0)),)),
        Loop(use.steps, False, (Pointwise(total, (Assign(total, added),)),)),
    )


def _step(use: Use, training: bool) -> tuple[Operation, ...]:
    return (Steps(use.name, use.sources[0].name),)


def _nothing(_: Use, __: Wanted) -> tuple[Operation, ...]:
    """Only fields are taken step by step, and they learn nothing."""
    return ()


def _last(use: Use, training: bool) -> tuple[Operation, ...]:
    source = use.sources[0]
    return (_copy(use.name, steps_of(source.name, source.steps - 1, source.steps)),)


def _last_backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    """No gradient but that of the last step."""
    (out,) = wanted.sources
    if out is None or wanted.own is None:
        return ()
    steps = use.sources[0].steps
    return (
        Pointwise(out, (Assign(out, number(0)),)),
        _copy(steps_of(out, steps - 1, steps), wanted.own),
    )


EVERY_STEP = LayerKind(
    name="every step",
    summary="a layer outside an unrolled part feeds all its steps",
    settings=(),
    sources=1,
    shape=same_shape,
    forward=_every,
    backward=_every_backward,
    hands_on=True,
)

ONE_A_STEP = LayerKind(
    name="one a step",
    summary="a field with as many rows as there are steps gives one to each",
    settings=(),
    sources=1,
    shape=lambda _, sources: sources[0].shape[1:] or (1,),
    forward=_step,
    backward=_nothing,
    hands_on=True,
)

LAST_STEP = LayerKind(
    name="last step",
    summary="outside an unrolled part a layer of it is what its last step made",
    settings=(),
    sources=1,
    shape=same_shape,
    forward=_last,
    backward=_last_backward,
    hands_on=True,
)
