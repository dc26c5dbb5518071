"""MPI as this project uses it: initialised once, in the open, with the size that was asked for."""

from __future__ import annotations

import mpi4py

from runtime import patience
from runtime.environment import EnvironmentFailure

mpi4py.rc.initialize = False
mpi4py.rc.finalize = False
mpi4py.rc.threads = False


def connect(processes: int) -> None:
    """Initialise MPI, once; raises EnvironmentFailure when it is not there or did not start us."""
    library()
    from mpi4py import MPI

    # Workers and servers may be threads that send and receive for themselves.
    if not MPI.Is_initialized():
        MPI.Init_thread(MPI.THREAD_MULTIPLE)
    size = MPI.COMM_WORLD.Get_size()
    if size != processes:
        raise EnvironmentFailure(
            f"{processes} processes were started and MPI sees {size}",
            "the launcher and the MPI library differ: install mpich into this environment alone",
        )


def library() -> str:
    """What the MPI library calls itself; raises EnvironmentFailure where there is none."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise EnvironmentFailure(
            f"MPI cannot be loaded: {_first_line(error)}", "pip install mpich"
        ) from error
    return " ".join(MPI.Get_library_version().splitlines()[0].split()).rstrip("\0")


def leave() -> None:
    """Finalise MPI, when all have come to it: who waits in there gives no sign of life."""
    from mpi4py import MPI

    patience.until(MPI.COMM_WORLD.Ibarrier().Test, MPI.COMM_WORLD.Get_size())
    MPI.Finalize()


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
