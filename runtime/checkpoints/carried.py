"""States that go on from batch to batch: each worker's on its way to a checkpoint and back.

A worker gives the states of its rows to the chief beside its metrics, as the bits of doubles:

    row of the board    | loss | accuracy | state of row 0, of row 1, ... |

A checkpoint holds them whole, [steps][rows of a batch][columns], by the name of their buffer. Of
several worker groups it has the states of the first: the others, which run on their own and never
resume exactly, begin anew.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.checkpoints import checkpoint
from runtime.checkpoints.packing import Floats
from singac.plan.plan import Plan, Process

FILE = "carried.safetensors"
FLOATS_A_DOUBLE = 2
Named = dict[str, Floats]
Doubles = NDArray[np.float64]


def doubles(plan: Plan) -> int:
    """Room for the states of any worker."""
    return max((-(-_floats(p) // FLOATS_A_DOUBLE) for p in plan.processes), default=0)


def shapes(plan: Plan) -> dict[str, tuple[int, ...]]:
    """Those of the tensors of a checkpoint."""
    buffers = (b for p in plan.processes for b in p.train.carried)
    return {b.name: (b.steps, plan.training.batch, b.columns) for b in buffers}


def give(views: Mapping[str, Floats], row: Doubles) -> None:
    """Copy a worker's states, [steps][rows][columns] each, into its row of the board."""
    floats, at = row.view(np.float32), 0
    for view in views.values():
        floats[at : at + view.size] = view.reshape(-1)
        at += view.size


def gather(plan: Plan, board: Doubles) -> Named:
    """The states of all workers of the first group, whose rows of the board are in their order."""
    found = {name: np.zeros(shape, np.float32) for name, shape in shapes(plan).items()}
    for process in (p for p in plan.processes if p.worker is not None and is_first(plan, p)):
        floats, at = board[process.worker].view(np.float32), 0
        for buffer in process.train.carried:
            first, rows = process.first_row, process.rows
            size = math.prod(shape := (buffer.steps, rows, buffer.columns))
            found[buffer.name][:, first : first + rows] = floats[at : at + size].reshape(shape)
            at += size
    return found


def load(plan: Plan, process: Process, folder: Path) -> Named:
    """The states of a worker's rows from a checkpoint; raises checkpoint.Damaged."""
    if not is_first(plan, process):
        return {}
    manifest = checkpoint.read_manifest(folder)
    own = slice(process.first_row, process.first_row + process.rows)
    return {
        tensor.name: np.frombuffer(data, "<f4").reshape(tensor.shape)[:, own]
        for tensor, data in checkpoint.tensors(folder, manifest)
        if tensor.file == FILE
    }


def is_first(plan: Plan, process: Process) -> bool:
    """Whether a process has a worker of the first group."""
    return process.worker is not None and plan.topology.group_of_worker(process.worker) == 0


def _floats(process: Process) -> int:
    return sum(b.rows * b.columns for b in process.train.carried)
