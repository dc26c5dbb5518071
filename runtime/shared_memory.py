"""Room in /dev/shm: what a node's window and MPI itself need of it, and what is there."""

from __future__ import annotations

import os

from runtime.environment import EnvironmentFailure

FOLDER = "/dev/shm"
# What MPICH takes for each process of a node, measured with 1 to 16 of them.
BYTES_A_PROCESS = 1_060_000


def free() -> int | None:
    """Bytes that are free, or None where this system has its shared memory elsewhere."""
    if not os.path.isdir(FOLDER):
        return None
    room = os.statvfs(FOLDER)
    return room.f_bavail * room.f_frsize


def check(size: int) -> None:
    """Raises EnvironmentFailure when there is less than so many bytes.

    Shared memory that is promised and not there kills a process at its first touch.
    """
    there = free()
    if there is not None and there < size:
        raise EnvironmentFailure(
            f"{FOLDER} has {there / 2**20:.1f} MiB free and this run needs {size / 2**20:.1f} MiB",
            f"mount a larger {FOLDER} (docker run --shm-size)",
        )


def check_for_mpi(processes: int) -> None:
    """Raises EnvironmentFailure when MPI could not start so many processes on this node."""
    check(processes * BYTES_A_PROCESS)
