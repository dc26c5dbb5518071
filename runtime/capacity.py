"""Whether a node has the memory that the plan promises its processes to use."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from runtime.environment import EnvironmentFailure
from singac.plan.plan import Process

LIMIT_OF_GROUP = Path("/sys/fs/cgroup/memory.max")  # of a container, or a batch system's job


def check(processes: Sequence[Process], *, shared: bool) -> None:
    """Raises EnvironmentFailure if the processes of this node need more than it has.

    Memory that is promised and not there kills a process at its first touch, without a word.
    Processes that share the node's memory have one copy of the params.
    """
    needed, there = _needed(processes, shared), _there()
    if needed > there:
        raise EnvironmentFailure(
            f"this machine has {_gigabytes(there)} of memory and this run needs "
            f"{_gigabytes(needed)} of it",
            "train with a smaller batch, or on more machines; `singac plan` shows what takes it",
        )


def _needed(processes: Sequence[Process], shared: bool) -> int:
    everything = sum(p.memory.total for p in processes)
    if not shared:
        return everything
    params = [p.memory.params for p in processes]
    return everything - sum(params) + max(params, default=0)


def _there() -> int:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(machine, int(LIMIT_OF_GROUP.read_text(encoding="ascii")))
    except (OSError, ValueError):  # no such limit, or the word `max`
        return machine


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"
