"""MPI's launcher: where it is, and the command and environment of the processes it starts."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from runtime import channel
from runtime.hosts import Host
from runtime.job import Job
from singac.diagnostics import Diagnostic, Exit, Failed

LAUNCHERS = ("mpiexec.hydra", "mpiexec")
LAUNCHER_NAME = "HYDRA"
# Within a node MPICH has shared memory of its own; what UCX would add is never used.
NETWORK_ONLY = ("UCX_TLS", "^shm")
PYTHON = (sys.executable, "-P", "-m")
# It ends all others as soon as it has learnt that one was killed, and not before: so the first end
# that is seen is the cause of the others. Then it tells how each has ended.
TELLING = ("-disable-auto-cleanup", "-print-all-exitcodes")
# With SIGUSR1 it tells the others of it; some may have no Python yet that ignores it.
DEAF = ("sh", "-c", 'trap "" USR1; exec "$@"', "sh")
ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


def find() -> str:
    """The launcher that belongs to this environment's MPI library; raises Failed."""
    folders = dict.fromkeys([sysconfig.get_path("scripts"), str(Path(sys.executable).parent)])
    for folder in folders:
        for name in LAUNCHERS:
            path = shutil.which(name, path=folder)
            if path and _is_hydra(path):
                return path
    elsewhere = shutil.which("mpiexec")
    if elsewhere and _is_hydra(elsewhere):
        return elsewhere
    found = f"; {elsewhere} belongs to another MPI" if elsewhere else ""
    message = f"no mpiexec of MPICH was found{found}"
    help = "pip install mpich"
    raise Failed([Diagnostic("SG0901", message, help=help, exit=Exit.ENVIRONMENT)])


def _is_hydra(path: str) -> bool:
    """Ask only a launcher whose name leaves it open."""
    if path.endswith(".hydra"):
        return True
    try:
        told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return LAUNCHER_NAME in told.stdout


def command(launcher: str, job: Job) -> list[str]:
    """What starts all processes of a job, or the one that is not there yet."""
    if job.inside:
        return [*PYTHON, "runtime.shim", *PYTHON, "runtime.rank", str(job.file)]
    process = [*DEAF, *PYTHON, "runtime.rank", str(job.file)]
    return [launcher, *_where(job, job.places), *TELLING, "-n", str(job.processes), *process]


def command_of(launcher: str, job: Job, words: Sequence[str]) -> list[str]:
    """What starts `python -P -m WORDS` as often as a job has processes."""
    return [launcher, *_where(job, job.places), "-n", str(job.processes), *PYTHON, *words]


def command_on(launcher: str, job: Job, host: str, words: Sequence[str]) -> list[str]:
    """What starts one process, `python -P -m WORDS`, on one of the hosts of a job."""
    return [launcher, *_where(job, [Host(host, 1)]), "-n", "1", *PYTHON, *words]


def _where(job: Job, hosts: Sequence[Host]) -> list[str]:
    if not job.hosts:
        return ["-launcher", "fork"]
    program = ["-launcher-exec", job.launcher_exec] if job.launcher_exec else []
    return ["-launcher", job.launcher, *program, "-hosts", ",".join(map(str, hosts))]


def environment(address: str = "") -> dict[str, str]:
    """Of the processes: ours to import before any other `runtime`, and one thread each.

    `address` is that of the side channel, for processes that take part in a job.
    """
    root = str(Path(__file__).resolve().parents[1])
    given = os.environ.get("PYTHONPATH")
    variables = {**os.environ} | ({channel.VARIABLE: address} if address else {})
    if given or root not in [*site.getsitepackages(), site.getusersitepackages()]:
        variables["PYTHONPATH"] = os.pathsep.join([root, given] if given else [root])
    variables.setdefault(*NETWORK_ONLY)
    return variables | dict.fromkeys(ONE_THREAD, "1")
