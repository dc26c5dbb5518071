"""A run inside a launcher that somebody else has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest
from namespaces import Cluster, unavailable

from runtime import inside
from runtime.inside import Guest
from runtime.supervisor import launcher
from runtime.supervisor.remains import mapped_files
from singac.diagnostics import Failed

ROOT = Path(__file__).parents[2]
PROGRAM = """
data points = csv("points.csv")
net line on points { features -> out: dense(1)  [out, label] -> euclidean_loss }
train line { algorithm = BP  updater = SGD(rate = 0.001)  batch = 4  steps = 20  display = every(10) }
"""  # noqa: E501
WITHOUT = unavailable()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "line.singa").write_text(PROGRAM)
    (tmp_path / "points.csv").write_text("".join(f"{k},{k % 3},{k % 2}.5\n" for k in range(8)))
    return tmp_path


def command(folder: Path, processes: int, *words: str) -> list[str]:
    program = [sys.executable, "-P", "-m", "singac.cli", "run", f"{folder}/line.singa"]
    return [launcher.find(), "-n", str(processes), *program, "--run-dir", f"{folder}/r", *words]


def start(words: list[str], folder: Path, **given: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT), **given}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_the_processes_of_a_launcher_are_the_ranks(folder: Path) -> None:
    job = start(command(folder, 2), folder)
    out, err = job.communicate(timeout=60)
    assert job.returncode == 0, err
    assert out.count("line: 2 processes, 2 workers, 2 servers (AllReduce)") == 1
    assert "ok: 20 steps" in out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("-np", "2"), 3, "error[SG0937]: the launcher has started 3 processes and the run has 2"),
        (("--max-restarts", "1"), 3, "error[SG0937]: the launcher is not this run's to start"),
        (("--set", "train.stepz=1"), 1, "there is no setting `stepz`"),
        (("--run-dir", "line.singa"), 3, "error[SG0902]: the run folder cannot be written"),
    ],
)
def test_what_does_not_fit_is_told_once_and_ends_all(
    folder: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    job = start(command(folder, 3, *words), folder)
    _, err = job.communicate(timeout=60)
    assert (job.returncode, err.count("error[")) == (code, 1), err
    assert told in err


def training(folder: Path) -> subprocess.Popen[str]:
    """A long job that has done some steps."""
    job = start(command(folder, 2, "--set", "train.steps=10000000"), folder)
    metrics = folder / "r" / "metrics.jsonl"
    stop = time.monotonic() + 60
    while not metrics.exists() or '"step"' not in metrics.read_text():
        assert time.monotonic() < stop, job.communicate(timeout=1)[1]
        time.sleep(0.05)
    return job


@pytest.mark.slow
def test_sigterm_saves_and_ends_and_a_failure_is_named(folder: Path) -> None:
    job = training(folder)
    job.send_signal(signal.SIGTERM)
    job.communicate(timeout=30)
    assert job.returncode == 143
    assert '"status": "terminated"' in (folder / "r/metrics.jsonl").read_text().splitlines()[-1]
    assert list((folder / "r" / "checkpoints").iterdir())

    failing = start(command(folder, 2), folder, SINGAC_FAULT="rank=1,step=5,kind=raise")
    _, err = failing.communicate(timeout=30)
    assert failing.returncode == 1
    assert "process 1 (worker 1, server 1) failed at step 5: runtime.process.faults" in err


@pytest.mark.slow
@pytest.mark.parametrize("which", ["mpiexec", "hydra_pmi_proxy"])
def test_nothing_is_left_when_the_launcher_is_killed(which: str, folder: Path) -> None:
    job = training(folder)
    outer = psutil.Process(job.pid)
    started = outer.children(recursive=True)
    (killed,) = (p for p in (outer, *started) if p.name().startswith(which))
    files = [name for p in started for name in mapped_files(p.pid)]
    killed.kill()
    assert files
    assert psutil.wait_procs(started, timeout=5)[1] == []
    assert not any(map(os.path.exists, files))
    job.communicate(timeout=5)


@pytest.mark.slow
@pytest.mark.skipif(WITHOUT is not None, reason=f"no hosts can be made: {WITHOUT}")
def test_the_launcher_may_be_one_of_several_hosts(folder: Path) -> None:
    cluster = Cluster(("a", "b"), folder)
    try:
        mpiexec, *words = command(folder, 4)
        where = ["-launcher", "ssh", "-launcher-exec", str(cluster.shell), "-hosts", "a:2,b:2"]
        job = start(cluster.on("a", [mpiexec, *where, *words]), folder)
        out, err = job.communicate(timeout=60)
        assert job.returncode == 0, err
        assert "line: 4 processes" in out
    finally:
        cluster.close()


@pytest.mark.parametrize(
    ("variables", "guest"),
    [
        ({}, None),
        ({"PMI_RANK": "2", "PMI_SIZE": "4"}, Guest(2, 4)),
        # The script of a batch job is no task of a step.
        ({"SLURM_PROCID": "0", "SLURM_JOB_ID": "7", "SLURM_NTASKS": "8"}, None),
        ({"SLURM_PROCID": "0", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "1"}, None),
    ],
)
def test_what_has_started_this_process(variables: Mapping[str, str], guest: Guest | None) -> None:
    assert inside.find(variables) == guest


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"OMPI_COMM_WORLD_RANK": "0"}, "Open MPI's launcher"),
        ({"PMIX_RANK": "0"}, "Open MPI's launcher"),
        ({"SLURM_PROCID": "0", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4"}, "srun"),
    ],
)
def test_launchers_of_others_are_refused_by_the_first(variables: dict[str, str], told: str) -> None:
    with pytest.raises(Failed, match=f"this process was started by {told}"):
        inside.find(variables)
    others = {name: "1" if value == "0" else value for name, value in variables.items()}
    with pytest.raises(SystemExit) as end:
        inside.find(others)
    assert end.value.code == 3
