"""Checkpoints that params of a run start from: the newest sound ones, and what is taken of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from runtime.checkpoints import checkpoint, packing, resume
from runtime.checkpoints.packing import Floats
from runtime.job import Job, plan_of
from singac.diagnostics import Diagnostic, Exit, Failed
from singac.plan.plan import Plan, Saved
from singac.saved import PARAMS, candidates

Shapes = dict[str, tuple[int, ...]]


def choose(job: Job) -> Job:
    """The job with a proved checkpoint for each origin of its params; raises Failed."""
    plan = plan_of(job)
    found = {key: str(_find(key, Path(folder), plan)) for key, folder in job.origins.items()}
    return dataclasses.replace(job, origins=found)


def take(plan: Plan, origins: Mapping[str, str], params: Floats) -> None:
    """Fill the params that come from a checkpoint; raises checkpoint.Damaged."""
    for key, folder in origins.items():
        named = {p.name: p for p in plan.params if _comes_from(p.initialiser, key)}
        held = Path(folder)
        for tensor, data in checkpoint.tensors(held, checkpoint.read_manifest(held)):
            if tensor.file == PARAMS and tensor.name in named:
                param = named[tensor.name]
                packing.pack(param, np.frombuffer(data, "<f4"), packing.part(param, params))


def _comes_from(origin: object, key: str) -> bool:
    return isinstance(origin, Saved) and origin.key == key


def _find(key: str, path: Path, plan: Plan) -> Path:
    wanted = {p.name: p.shape for p in plan.params if _comes_from(p.initialiser, key)}
    found = candidates(path)
    if not found:
        raise Failed([_missing(key, path)])
    proved = resume.proved(found)
    if proved is None:
        message = "no sound checkpoint to take params from"
        raise Failed([Diagnostic("SG0921", message, file=str(path), exit=Exit.DAMAGED)])
    folder, manifest = proved
    held = {t.name: t.shape for t in manifest.tensors if t.file == PARAMS}
    for name in wanted:
        if held.get(name) != wanted[name]:
            message = resume.difference(name, wanted, held)
            raise Failed([Diagnostic("SG0922", message, file=str(folder), exit=Exit.DAMAGED)])
    return folder.resolve()


def _missing(key: str, path: Path) -> Diagnostic:
    message = "there is no checkpoint to take params from"
    help = None
    if "/" not in key:
        message = f"`{key}` has left no checkpoint to take params from"
        help = f"train `{key}` first, in the same run (without --train) or with the same --run-dir"
    return Diagnostic("SG0923", message, help=help, file=str(path), exit=Exit.DAMAGED)
