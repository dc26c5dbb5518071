"""The verb `plan`: a plan shown, compared, or held against reality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from singac.verbs.common import (
    Arguments,
    choices_of,
    data_folder,
    machine_of,
    put,
)

if TYPE_CHECKING:
    from singac.compile import Compiled
    from singac.plan.plan import Plan

ANALYZED_STEPS = 20


def plan(arguments: Arguments) -> int:
    """The compiled partition plan, another stage, or what differs from another plan."""
    from singac.verbs import plans

    machine = machine_of(arguments)
    found = plans.find(arguments.file, choices_of(arguments), data_folder(), machine)
    if arguments.analyze:
        return _analyze([plans.compiled_of(shown) for shown in found], arguments.out)
    if arguments.diff is not None:
        return _plan_difference(arguments, plans.only(found, "a comparison"))
    wanted = plans.View(arguments.show, arguments.process, arguments.tensor, arguments.format)
    put(plans.view(found, wanted), arguments.out)
    return 0


def _analyze(compiled: Sequence[Compiled], out: str | None) -> int:
    """Run each plan for some steps, and tell what they took."""
    from singac.verbs import measured, trial

    told = []
    for one in compiled:
        found = trial.time_apart(one, ANALYZED_STEPS, data_folder())
        told.append(measured.as_text(found.plan, found.spans, found.timings, found.moved))
    put("\n".join(told), out)
    return 0


def _plan_difference(arguments: Arguments, this: Plan) -> int:
    """Exit 1 if the plans differ, as diff has it."""
    from singac.arguments import against
    from singac.verbs import plans

    other = against(arguments)
    machine = machine_of(other)
    found = plans.find(other.file, choices_of(other), data_folder(), machine)
    text = plans.difference(this, plans.only(found, "a comparison"), ("this", "other"))
    put(text, arguments.out)
    return 1 if text else 0
