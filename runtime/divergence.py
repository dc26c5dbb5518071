"""Training that has left the numbers: whoever sees it first ends its step, and so everybody's.

    worker   loss and metrics of its rows, at the end of its part of the step
    server   the summed gradient of a slice, as it updates (it costs a multiplication a vector)
    chief    params before they are saved, the sums of a test or validation

Who raises `Diverged` gives nothing to the others, so none of them can finish the next step before
the supervisor has ended it, and no checkpoint is written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from singac.layers.access import reads
from singac.layers.operations import Operation
from singac.plan.plan import Plan


class Diverged(Exception):
    """A metric, a gradient or a param is no longer finite; the text names it and the step."""


def check_metrics(named: Iterable[tuple[str, float]], when: str) -> None:
    """Raise Diverged for the first metric that is not finite."""
    for name, value in named:
        if not math.isfinite(value):
            raise Diverged(f"{name} became {value} {when}")


def named_metrics(plan: Plan) -> tuple[str, ...]:
    """The plan's metrics, each with the tensors it measures: `loss of fc3`."""
    operations = [o for stretch in plan.stretches for o in stretch.operations]
    return tuple(f"{name} of {_measured(name, operations)}" for name in plan.metrics)


def _measured(metric: str, operations: list[Operation]) -> str:
    own = [o for o in operations if getattr(o, "metric", None) == metric]
    return ", ".join(dict.fromkeys(name for o in own for name in reads(o)[:1]))


def bad_gradient(param: str, step: int) -> Diverged:
    """What to raise for a slice of a param whose update found its gradient not finite."""
    return Diverged(f"the gradient of {param} is not finite in step {step + 1}")
