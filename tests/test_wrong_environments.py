"""Machines and installations that will not do: each one diagnostic, soon, and exit code 3."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from runtime.job import Job
from runtime.supervisor import launcher
from singac import warm
from singac.diagnostics import Exit, Failed

ROOT = Path(__file__).parents[1]
PROGRAM = """
data points = csv("points.csv")
net line on points { features -> out: dense(1)  [out, label] -> euclidean_loss }
train line { algorithm = BP  updater = SGD(rate = 0.1)  batch = 4  steps = 3 }
"""
RUN = (sys.executable, "-P", "-m", "singac.cli", "run", "line.singa", "-np", "2")
SECONDS = 5

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that is compiled and has run."""
    folder = tmp_path_factory.mktemp("line")
    (folder / "line.singa").write_text(PROGRAM)
    (folder / "points.csv").write_text("".join(f"{k},{k % 3},{k % 2}.5\n" for k in range(8)))
    assert run(folder).returncode == 0
    return folder


def run(folder: Path, *words: str, before: str = "", after: str = "", **given: str) -> Done:
    """`singac run` in a shell, in mounts of its own when there is something to do `before`."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **given}
    command = " ".join([*RUN, *words]) + after
    shell = ["sh", "-c", f"{before} && {command}" if before else command]
    alone = ["unshare", "--mount"] if before else []
    return subprocess.run(
        [*alone, *shell], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )


def refused(done: Done, code: str) -> str:
    """The diagnostic, the only one there is."""
    assert done.returncode == 3, done.stderr
    assert done.stderr.count("error[") == 1
    assert "Traceback" not in done.stderr
    assert f"error[{code}]: " in done.stderr
    return done.stderr


def can_mount() -> bool:
    tried = ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(tried, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


mounts = pytest.mark.skipif(not can_mount(), reason="this user may not mount anything")


def test_no_launcher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(launcher.sysconfig, "get_path", lambda name: str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Failed) as failure:
        launcher.find()
    assert failure.value.exit is Exit.ENVIRONMENT
    assert failure.value.diagnostics[0].message == "no mpiexec of MPICH was found"


def test_no_mpi_library(folder: Path) -> None:
    begun = time.monotonic()
    told = refused(run(folder, MPI4PY_MPIABI="openmpi"), "SG0900")
    assert "MPI cannot be loaded: libmpi.so" in told
    assert "help: pip install mpich" in told
    assert time.monotonic() - begun < SECONDS


@mounts
def test_shared_memory_that_is_too_small(folder: Path) -> None:
    begun = time.monotonic()
    done = run(folder, before="mount -t tmpfs -o size=1m tmpfs /dev/shm")
    assert "/dev/shm has 1.0 MiB free and this run needs 2.0 MiB" in refused(done, "SG0900")
    assert time.monotonic() - begun < SECONDS


@mounts
@pytest.mark.parametrize("options", ["size=4k", "ro"])
def test_a_cache_that_takes_no_files(folder: Path, options: str) -> None:
    (folder / "cache").mkdir(exist_ok=True)
    mount = f"mount -t tmpfs -o {options} tmpfs cache"
    told = refused(run(folder, before=mount, SINGAC_CACHE=str(folder / "cache")), "SG0240")
    assert str(folder / "cache") in told


def test_too_few_slots(folder: Path) -> None:
    told = refused(run(folder, "-H", "localhost:1"), "SG0931")
    assert "the run has 2 processes and the hosts have 1 slots: localhost:1" in told


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("SINGAC_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(Failed) as failure:
        warm.cache_folder()
    assert failure.value.exit is Exit.ENVIRONMENT


def test_an_alphabet_of_ascii_and_no_streams_are_enough(folder: Path) -> None:
    done = run(folder, "--run-dir", "läufe", PYTHONIOENCODING="ascii", LC_ALL="POSIX")
    assert done.returncode == 0, done.stderr
    assert r"l\xe4ufe" in done.stdout
    assert run(folder, "--run-dir", "b", after=" <&- >&- 2>&-").returncode == 0


def test_processes_of_one_machine_are_neighbours() -> None:
    job = Job("", "", "", 6, hosts=(("a", 4), ("b", 4)))
    assert [job.neighbours(rank) for rank in (0, 5)] == [4, 2]
    assert Job("", "", "", 6).neighbours(3) == 6
