"""The checkpoint that is meant by a path: the newest that is sound and of this net."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.checkpoints import checkpoint, meaning
from runtime.checkpoints.checkpoint import Damaged, Manifest
from runtime.job import Job, plan_of
from singac.diagnostics import Diagnostic, Exit, Failed, show
from singac.saved import PARAMS, candidates

if TYPE_CHECKING:
    from singac.plan.plan import Plan

Shapes = dict[str, tuple[int, ...]]


def choose(job: Job) -> Job:
    """The job resuming one proved checkpoint; raises Failed."""
    assert job.resume is not None, "only a job that resumes has a choice"
    plan = plan_of(job)
    found = find(Path(job.resume), plan, "resume from")
    _warn_of_the_end(found, plan)
    return dataclasses.replace(job, resume=str(found.resolve()))


def _warn_of_the_end(path: Path, plan: Plan) -> None:
    """A run that asks for fewer steps than are done would end at once, and say that all is well."""
    done, asked = checkpoint.read_manifest(path).step, plan.training.steps
    if done > asked:
        message = f"this checkpoint has {done:,} steps, and the run is to have {asked:,}"
        help = f"nothing is trained; --set train.steps={done + asked} trains {asked:,} more"
        _warn(Diagnostic("SG0927", message, help=help, file=str(path), severity="warning"))


def find(path: Path, plan: Plan, purpose: str) -> Path:
    """A proved checkpoint; a damaged one is named and the one before tried.

    Raises Failed when none is sound, or when the newest sound one is of another net.
    """
    found = newest(candidates(path, plan.net), plan)
    if found is None:
        raise Failed([_damaged("SG0921", f"no sound checkpoint to {purpose}", path)])
    return found


def newest(candidates: Iterable[Path], plan: Plan) -> Path | None:
    """The first that is sound; raises Failed when that is of another net."""
    found = proved(candidates)
    if found is None:
        return None
    folder, manifest = found
    _check_net(folder, manifest, plan)
    return folder


def proved(candidates: Iterable[Path]) -> tuple[Path, Manifest] | None:
    """The first that is sound; a damaged one is named and passed over."""
    for candidate in candidates:
        try:
            return candidate, checkpoint.verify(candidate)
        except Damaged as damaged:
            message = f"this checkpoint is damaged and is passed over: {damaged}"
            _warn(Diagnostic("SG0920", message, file=str(candidate), severity="warning"))
    return None


def _warn(warning: Diagnostic) -> None:
    print(show([warning]), file=sys.stderr)


def _check_net(path: Path, manifest: Manifest, plan: Plan) -> None:
    """Names and shapes must be those of the plan, and the vocabulary; processes may differ.

    A plan that only tests has no use for the updater's states. Other layers are worth a warning.
    """
    wanted = {p.name: p.shape for p in plan.params}
    held = {t.name: t.shape for t in manifest.tensors}
    if plan.trains:
        own = dict(wanted)
        for state, _ in plan.update.states:
            wanted |= {f"{state}/{name}": shape for name, shape in own.items()}
        from runtime.checkpoints import carried

        wanted |= carried.shapes(plan)
    else:
        held = {t.name: t.shape for t in manifest.tensors if t.file == PARAMS}
    for name in [*wanted, *held]:
        if wanted.get(name) != held.get(name):
            message = f"this checkpoint is of another net: {difference(name, wanted, held)}"
            raise Failed([_damaged("SG0922", message, path)])
    found = meaning.differing(path, manifest, plan)
    if found is not None and found.severity == "error":
        raise Failed([found])
    if found is not None:
        _warn(found)


def difference(name: str, wanted: Shapes, held: Shapes) -> str:
    """What is wrong with a name whose shapes are not the same."""
    if name not in held:
        return f"it has no {name}"
    if name not in wanted:
        return f"the net has no {name}"
    return f"{name} is {list(held[name])} there and {list(wanted[name])} in the net"


def _damaged(code: str, message: str, path: Path) -> Diagnostic:
    return Diagnostic(code, message, file=str(path), exit=Exit.DAMAGED)
