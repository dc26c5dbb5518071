"""A plan that somebody hands over as a file: read, and trusted in nothing."""

from __future__ import annotations

from pathlib import Path

from singac.diagnostics import Diagnostic, Exit, Failed
from singac.plan.encode import UnreadablePlan, from_json
from singac.plan.faults import BrokenPlan
from singac.plan.plan import Plan
from singac.plan.schema import misfit
from singac.plan.verify import verify

SUFFIX = ".json"
REMEDY = "write it anew: singac plan FILE --format json -o plan.json"


def read_plan(path: str) -> Plan:
    """The plan of a JSON file, verified. Raises `Failed`."""
    plan = _decoded(path, _text(path))
    if wrong := misfit(plan):
        raise _refused(path, f"this is no plan: {wrong}")
    try:
        verify(plan)
    except BrokenPlan as broken:
        name = type(broken).__name__
        raise _refused(path, f"the plan contradicts itself ({name}): {broken}") from broken
    except (LookupError, ValueError) as error:
        raise _refused(path, "the plan names a part that it does not have") from error
    return plan


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise _refused(path, "this is no plan: it is not UTF-8 text") from error
    except OSError as error:
        message = f"the plan cannot be read: {error.strerror}"
        raise Failed([Diagnostic("SG0601", message, file=path, exit=Exit.USAGE)]) from error


def _decoded(path: str, text: str) -> Plan:
    try:
        return from_json(text)
    except UnreadablePlan as error:
        message = str(error).removeprefix("not a plan: ")
        raise _refused(path, f"this is no plan: {message}") from error
    except RecursionError as error:
        raise _refused(path, "this is no plan: it is nested without end") from error


def _refused(path: str, message: str) -> Failed:
    return Failed([Diagnostic("SG0601", message, help=REMEDY, file=path, exit=Exit.DAMAGED)])
