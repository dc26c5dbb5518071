"""Params and states in memory <-> a checkpoint on disk."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import safetensors.numpy

from runtime import carried, checkpoint, packing
from runtime.best import Best
from runtime.checkpoint import STATES, Manifest, Tensor
from runtime.divergence import Diverged
from runtime.initialise import initial
from runtime.origins import take
from runtime.packing import Floats, part
from singac.plan.plan import Initialiser, Param, Plan
from singac.saved import PARAMS

Named = dict[str, Floats]


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
                packing.pack(param, initial(param, plan.training.seed), part(param, params))
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
    places = dict(_places(plan, params, states))
    for tensor, data in checkpoint.tensors(folder, manifest):
        if tensor.file == carried.FILE:
            continue  # each worker takes its own
        param, floats = places[tensor.name]
        packing.pack(param, np.frombuffer(data, "<f4"), floats)


def _places(
    plan: Plan, params: Floats, states: Floats
) -> Iterator[tuple[str, tuple[Param, Floats]]]:
    """Name in a checkpoint, param and place in memory of every tensor."""
    for param in plan.params:
        yield param.name, (param, part(param, params))
    for row, (state, _) in zip(states, plan.update.states, strict=True):
        for param in plan.params:
            yield f"{state}/{param.name}", (param, part(param, row))


def save(
    plan: Plan,
    params: Floats,
    states: Floats,
    states_carried: Named,
    step: int,
    examples: int,
    best: Best | None,
    folder: Path,
) -> Path:
    """Write a checkpoint and give its path; on an error nothing of it remains. Raises OSError,
    and Diverged for params that are not finite: the checkpoints there are stay as they are.
    """
    final = folder / checkpoint.folder_name(step)
    temporary = final.with_name(f"{final.name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir(parents=True)
        tensors = _write_tensors(plan, params, states, step, temporary)
        if states_carried:
            tensors = (*tensors, *_write_file(temporary, carried.FILE, states_carried))
        seed = plan.training.seed
        manifest = Manifest(plan.net, step, seed, examples, plan.digest, tensors, best)
        checkpoint.write_manifest(temporary, manifest)
        _commit(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


def _write_tensors(
    plan: Plan, params: Floats, states: Floats, step: int, folder: Path
) -> tuple[Tensor, ...]:
    named = {
        name: packing.unpack(param, floats)
        for name, (param, floats) in _places(plan, params, states)
    }
    own = [p.name for p in plan.params]
    for name in own:
        if not np.isfinite(named[name]).all():
            raise Diverged(f"{name} is not finite after step {step}")
    files = {PARAMS: {n: t for n, t in named.items() if n in own}}
    files[STATES] = {n: t for n, t in named.items() if n not in own}
    return tuple(
        tensor for file, tensors in files.items() if tensors
        for tensor in _write_file(folder, file, tensors)
    )  # fmt: skip


def _write_file(folder: Path, file: str, tensors: Named) -> list[Tensor]:
    safetensors.numpy.save_file(tensors, folder / file)
    return [
        Tensor(name, tensor.shape, file, hashlib.sha256(tensor.tobytes()).hexdigest())
        for name, tensor in tensors.items()
    ]


def _commit(temporary: Path, final: Path) -> None:
    """Everything reaches the disk, then one rename, then the rename reaches it too."""
    for path in sorted(temporary.iterdir()):
        _to_disk(path)
    _to_disk(temporary)
    if final.exists():
        checkpoint.discard(final)
    os.replace(temporary, final)
    _to_disk(final.parent)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
