"""A run inside a launcher that somebody else has started: `mpiexec -n 4 singac run FILE`.

    mpiexec | singac run, rank 0: compiles, supervises -> runtime.shim -> runtime.rank   rank 0
            | singac run, rank 1: becomes               runtime.guest                    rank 1
            | ...

Nothing is launched again. Rank 0 has compiled before it meets the others in MPI; then it tells them
where the job and its side channel are.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from runtime import channel
from runtime.job import Job
from runtime.supervisor import launcher
from singac.diagnostics import Diagnostic, Exit, Failed

RANK, SIZE, DESCRIPTOR = "PMI_RANK", "PMI_SIZE", "PMI_FD"
OPEN_MPI = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK")


@dataclass(frozen=True, slots=True)
class Guest:
    """This process as a launcher has started it; one that is alone launches for itself."""

    rank: int
    size: int


def find(variables: Mapping[str, str] = os.environ) -> Guest | None:
    """The place of this process, or None: nobody has launched it.

    Raises Failed for a launcher that MPICH does not know.
    """
    if RANK in variables and SIZE in variables:
        return Guest(int(variables[RANK]), int(variables[SIZE]))
    rank = next((variables[name] for name in OPEN_MPI if name in variables), None)
    if rank is not None:
        raise _unknown("Open MPI's launcher", int(rank), "use MPICH's mpiexec, or none at all")
    if "SLURM_STEP_ID" in variables and int(variables.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        help = "srun --mpi=pmi2"
        raise _unknown("srun without PMI-2", int(variables.get("SLURM_PROCID", "0")), help)
    return None


def _unknown(what: str, rank: int, help: str) -> Failed | SystemExit:
    """Told once, by the first process."""
    if rank:
        return SystemExit(int(Exit.ENVIRONMENT))
    message = f"this process was started by {what}, which MPICH's library does not know"
    return Failed([Diagnostic("SG0937", message, help=help, exit=Exit.ENVIRONMENT)])


def check(guest: Guest, trains: int, processes: int, restarts: int) -> None:
    """Raises Failed for what cannot be done inside a launcher."""
    if processes != guest.size:
        message = f"the launcher has started {guest.size} processes and the run has {processes}"
        raise _refused(message, f"start {processes}: mpiexec -n {processes} singac run ...")
    if trains > 1:
        raise _refused(f"a launcher's processes train once, and there are {trains} trains",
                       "choose one with --train")  # fmt: skip
    if restarts:
        raise _refused("the launcher is not this run's to start again", "leave out --max-restarts")


def _refused(message: str, help: str) -> Failed:
    return Failed([Diagnostic("SG0937", message, help=help, exit=Exit.ENVIRONMENT)])


def become_guest() -> None:
    """Go on as a process of the job that rank 0 has compiled; does not return."""
    command = [*launcher.PYTHON, "runtime.guest"]
    os.execve(sys.executable, command, launcher.environment())


def addresses() -> list[str]:
    """Where this machine may be reached: what its name stands for, and for its own processes."""
    found = []
    with contextlib.suppress(OSError):  # a machine that nobody knows by name is alone
        found.append(socket.gethostbyname(socket.gethostname()))
    return list(dict.fromkeys([*found, channel.LOOPBACK]))


def invite(job: Job) -> None:
    """Tell all other processes of the job; by rank 0, when MPI is there."""
    told = {"address": os.environ[channel.VARIABLE], "job": str(job.file)}
    _broadcast(json.dumps(told).encode())


def dismiss(code: int) -> None:
    """Tell all other processes that there is no job; they wait for one in MPI."""
    from runtime import world
    from runtime.environment import EnvironmentFailure

    with contextlib.suppress(EnvironmentFailure):  # without a library they end by themselves
        world.connect(int(os.environ[SIZE]))
        _broadcast(json.dumps({"exit": code}).encode())
        world.leave()


def invitation() -> tuple[str, str]:
    """Address of the side channel and file of the job, as rank 0 tells them; exits without one."""
    told = json.loads(_broadcast(b""))
    if "exit" in told:
        from runtime import world

        world.leave()
        raise SystemExit(told["exit"])
    return str(told["address"]), str(told["job"])


def _broadcast(text: bytes) -> bytes:
    """Rank 0's text, given to all; without waiting inside MPI."""
    import numpy as np
    from mpi4py import MPI

    from runtime import patience

    world = MPI.COMM_WORLD
    size = np.array([len(text)], np.int64)
    patience.until(world.Ibcast(size, 0).Test, world.Get_size())
    body = np.frombuffer(text.ljust(int(size[0])), np.uint8).copy()
    patience.until(world.Ibcast(body, 0).Test, world.Get_size())
    return body.tobytes()
