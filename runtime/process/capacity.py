"""Whether a node has the memory that the plan promises its processes to use."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from runtime.environment import EnvironmentFailure
from singac.plan.plan import Plan

FLOAT_BYTES = 4

LIMIT_OF_GROUP = Path("/sys/fs/cgroup/memory.max")  # of a container, or a batch system's job


def check(plan: Plan, ranks: Sequence[int], *, shared: bool) -> None:
    """Raises EnvironmentFailure if the processes of this node need more than it has.

    Memory that is promised and not there kills a process at its first touch, without a word.
    Processes that share the node's memory have one copy of the params.
    """
    needed, there = _needed(plan, ranks, shared), _there()
    if needed > there:
        raise EnvironmentFailure(
            f"this machine has {_gigabytes(there)} of memory and this run needs "
            f"{_gigabytes(needed)} of it",
            "train with a smaller batch, or on more machines; `singac plan` shows what takes it",
        )


def _needed(plan: Plan, ranks: Sequence[int], shared: bool) -> int:
    """All params once where they are shared."""
    memories = [p.memory for p in plan.processes if p.rank in ranks]
    if not shared:
        return sum(m.messages for m in memories)
    whole = plan.param_floats * FLOAT_BYTES
    params = max((m.params for m in memories), default=0)
    return sum(m.own - m.params for m in memories) + max(params, whole)


def _there() -> int:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(machine, int(LIMIT_OF_GROUP.read_text(encoding="ascii")))
    except (OSError, ValueError):  # no such limit, or the word `max`
        return machine


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"
