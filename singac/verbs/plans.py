"""The plans a command line asks for, compiled or read from a file, and how they are to be shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from singac.compile import Compiled, compile_file
from singac.diagnostics import Diagnostic, Exit, Failed
from singac.model.choices import Choices
from singac.partition.machine import BUILT_IN, Machine
from singac.plan.encode import to_json
from singac.plan.plan import Plan
from singac.plan.read import SUFFIX, read_plan
from singac.plan.show import show_process
from singac.report import screen
from singac.report.compare import compare
from singac.report.dot import as_dot
from singac.report.page import as_page
from singac.report.tensor import show_tensor
from singac.verbs import shows

# fmt: off
FORMATS: Mapping[str, Callable[[Plan], str]] = {
    "text": screen.show,
    "json": to_json,
    "dot":  as_dot,
    "html": as_page,
}
# fmt: on


@dataclass(frozen=True, slots=True)
class View:
    """What of a plan is asked for; the first that is not None."""

    show: str | None
    process: int | None
    tensor: str | None
    form: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A plan, and what it was compiled from unless it was read from a file."""

    plan: Plan
    compiled: Compiled | None


def find(file: str, choices: Choices, cache: str, machine: Machine = BUILT_IN) -> tuple[Shown, ...]:
    """The plans of a `.singa` file, one a train block; or the one that a JSON file holds."""
    if file.endswith(SUFFIX):
        return (Shown(read_plan(file), None),)
    return tuple(Shown(c.plan, c) for c in compile_file(file, choices, cache, machine))


def only(found: Sequence[Shown], what: str) -> Plan:
    """The one plan there is. Raises `Failed` for several."""
    if len(found) > 1:
        nets = [shown.plan.net for shown in found]
        message = f"the program has {len(nets)} train blocks, and {what} is of one"
        help = f"choose one with --train {nets[0]} (or {', '.join(nets[1:])})"
        raise Failed([Diagnostic("SG0603", message, help=help, exit=Exit.USAGE)])
    return found[0].plan


def compiled_of(shown: Shown) -> Compiled:
    """What a plan was compiled from. Raises `Failed` for one of a file."""
    if shown.compiled is None:
        message = "a plan file has no data to run on"
        help = "analyse the program the plan was made from"
        raise Failed([Diagnostic("SG0604", message, help=help, exit=Exit.USAGE)])
    return shown.compiled


def view(found: Sequence[Shown], wanted: View) -> str:
    """The text that is asked for. Raises `Failed`."""
    if wanted.show is not None:
        return "\n".join(_stage(shown, wanted.show) for shown in found)
    if wanted.form not in ("text", "json") or (wanted.form == "json" and len(found) > 1):
        return FORMATS[wanted.form](only(found, f"a plan as {wanted.form}"))
    return "\n".join(_text(shown.plan, wanted) for shown in found)


def _text(plan: Plan, wanted: View) -> str:
    if wanted.tensor is not None and wanted.form == "text":
        return show_tensor(plan, wanted.tensor)
    if wanted.process is not None and wanted.form == "text":
        shows.check_rank(plan, wanted.process)
        return show_process(plan, wanted.process)
    return FORMATS[wanted.form](plan)


def _stage(shown: Shown, name: str) -> str:
    if shown.compiled is None and name in shows.BEFORE_PLANS:
        message = f"a plan file has no `{name}`: that comes before the plan"
        help = "show it of the program the plan was made from"
        raise Failed([Diagnostic("SG0604", message, help=help, exit=Exit.USAGE)])
    return shows.stage(shown.plan, shown.compiled, name)


def difference(one: Plan, other: Plan, names: tuple[str, str]) -> str:
    """What differs between two plans; empty if nothing does."""
    return compare(one, other, names)
