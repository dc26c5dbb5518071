"""Params and states in memory <-> a checkpoint on disk."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from runtime.checkpoints import carried, checkpoint, meaning, packing
from runtime.checkpoints.best import Best
from runtime.checkpoints.checkpoint import STATES, Manifest, Tensor
from runtime.checkpoints.initialise import initial_rows
from runtime.checkpoints.origins import take
from runtime.checkpoints.packing import Floats, part
from runtime.divergence import Diverged
from singac.plan.plan import Initialiser, Param, Plan
from singac.saved import PARAMS

Named = dict[str, Floats]
# Name in a checkpoint, param and place in memory of a tensor.
Place = tuple[str, tuple[Param, Floats]]


def fill(
    plan: Plan,
    params: Floats,
    states: Floats,
    resumed: Path | None,
    origins: Mapping[str, str],
) -> None:
    """Fill the param space and the states; raises checkpoint.Damaged."""
    for row, (_, value) in zip(states, plan.update.states, strict=True):
        row[:] = value
    if resumed is None:
        for param in plan.params:
            if isinstance(param.initialiser, Initialiser):
                for first, rows in initial_rows(param, plan.training.seed):
                    packing.pack_rows(param, first, rows, part(param, params))
        take(plan, origins, params)
    else:
        _load(plan, params, states, resumed)


def fill_params(plan: Plan, params: Floats, folder: Path) -> None:
    """Fill the param space alone from a checkpoint; raises checkpoint.Damaged."""
    named = {p.name: p for p in plan.params}
    for tensor, data in checkpoint.tensors(folder, checkpoint.read_manifest(folder)):
        if tensor.file == PARAMS:
            param = named[tensor.name]
            packing.pack(param, np.frombuffer(data, "<f4"), part(param, params))


def _load(plan: Plan, params: Floats, states: Floats, folder: Path) -> None:
    manifest = checkpoint.read_manifest(folder)
    places = dict([*_params(plan, params), *_states(plan, states)])
    for tensor, data in checkpoint.tensors(folder, manifest):
        if tensor.file == carried.FILE:
            continue  # each worker takes its own
        param, floats = places[tensor.name]
        packing.pack(param, np.frombuffer(data, "<f4"), floats)


def _params(plan: Plan, params: Floats) -> Iterator[Place]:
    for param in plan.params:
        yield param.name, (param, part(param, params))


def _states(plan: Plan, states: Floats) -> Iterator[Place]:
    for row, (state, _) in zip(states, plan.update.states, strict=True):
        for param in plan.params:
            yield f"{state}/{param.name}", (param, part(param, row))


@dataclass(frozen=True, slots=True)
class Taken:
    """All that a checkpoint is made of, as it was after `step` steps: copies, nobody changes them.

    `params` is the param space, `states` has a row a state of the updater; `carried` are whole
    tensors by name. `examples` have been read until then.
    """

    params: Floats
    states: Floats
    carried: Named
    step: int
    examples: int
    best: Best | None


def check(plan: Plan, params: Floats, step: int) -> None:
    """Raise Diverged for a param that is not finite; pads may hold anything."""
    for param in plan.params:
        packed = part(param, params)
        # The extremes tell, in a fraction of the time; pads are looked away from when they do.
        extremes = np.array((packed.min(), packed.max()))
        if not _finite(extremes) and not _finite(packing.unpack(param, packed)):
            raise Diverged(f"{param.name} is not finite after step {step}")


def _finite(values: Floats) -> bool:
    return bool(np.isfinite(values).all())


def save(plan: Plan, taken: Taken, folder: Path) -> Path:
    """Write a checkpoint and give its path; on an error nothing of it remains. Raises OSError."""
    final = folder / checkpoint.folder_name(taken.step)
    temporary = final.with_name(f"{final.name}.{os.getpid()}{checkpoint.UNFINISHED}")
    try:
        temporary.mkdir(parents=True)
        tensors = tuple(_write_tensors(plan, taken, temporary))
        manifest = Manifest(
            plan.net,
            taken.step,
            plan.training.seed,
            taken.examples,
            plan.digest,
            tensors,
            taken.best,
            meaning.layers_of(plan),
            plan.data.vocabulary,
        )
        checkpoint.write_manifest(temporary, manifest)
        checkpoint.commit(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


def _write_tensors(plan: Plan, taken: Taken, folder: Path) -> Iterator[Tensor]:
    """File after file, so that no more than one lies in memory once again."""
    for file, places in (
        (PARAMS, _params(plan, taken.params)),
        (STATES, _states(plan, taken.states)),
    ):
        named = {name: packing.unpack(param, floats) for name, (param, floats) in places}
        yield from _write_file(folder, file, named)
    yield from _write_file(folder, carried.FILE, taken.carried)


def _write_file(folder: Path, file: str, tensors: Named) -> list[Tensor]:
    """No file where there are no tensors. Raises OSError."""
    if not tensors:
        return []
    try:
        safetensors.numpy.save_file(tensors, folder / file)
    except safetensors.SafetensorError as error:
        raise _refusal(error) from error
    return [
        Tensor(name, tensor.shape, file, hashlib.sha256(tensor.data).hexdigest())
        for name, tensor in tensors.items()
    ]


def _refusal(error: safetensors.SafetensorError) -> OSError:
    """The library tells in words alone that the disk refuses."""
    told = re.search(r"os error (\d+)", str(error))
    return OSError(int(told[1]), os.strerror(int(told[1]))) if told else OSError(str(error))
