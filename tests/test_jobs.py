"""Jobs seen from outside: listed, followed, stopped; a folder is one job's at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.job import Job
from runtime.supervisor import register
from runtime.supervisor.register import State
from singac.diagnostics import Failed

ROOT = Path(__file__).parents[1]
PROGRAM = """
data points = csv("points.csv")
net line on points { features -> out: dense(1)  [out, label] -> euclidean_loss }
train line { algorithm = BP  updater = SGD(rate = 0.001)  batch = 4  steps = 10000000  display = every(10) }
"""  # noqa: E501


def start(folder: Path, *words: str, out: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """A command of singac in a folder."""
    command = [sys.executable, "-P", "-m", "singac.cli", *words]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "SINGAC_CACHE": str(folder / "cache")}
    return subprocess.Popen(
        command, cwd=folder, env=variables, text=True,
        stdout=out, stderr=subprocess.PIPE,
    )  # fmt: skip


def say(folder: Path, *words: str) -> tuple[int, str, str]:
    command = start(folder, *words)
    out, err = command.communicate(timeout=60)
    return command.returncode, out, err


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[tuple[Path, list[subprocess.Popen[str]]]]:
    """A folder with two jobs that train for ever; a pipe nobody reads would stop them."""
    (tmp_path / "line.singa").write_text(PROGRAM)
    (tmp_path / "points.csv").write_text("".join(f"{k},{k % 3},{k % 2}.5\n" for k in range(8)))
    quiet = subprocess.DEVNULL
    words = [("run", "line.singa", "--run-dir", name) for name in ("one", "two")]
    jobs = [start(tmp_path, *w, out=quiet) for w in words]
    yield tmp_path, jobs
    for job in jobs:
        job.kill()
        job.communicate()


def wait_for_steps(folder: Path) -> None:
    stop = time.monotonic() + 60
    while not (folder / "metrics.jsonl").exists() or '"step"' not in _text(folder):
        assert time.monotonic() < stop, "the job never began"
        time.sleep(0.05)


def _text(folder: Path) -> str:
    return (folder / "metrics.jsonl").read_text()


@pytest.mark.slow
def test_jobs_are_listed_followed_and_stopped(
    jobs: tuple[Path, list[subprocess.Popen[str]]],
) -> None:
    folder, (one, two) = jobs
    wait_for_steps(folder / "one")
    wait_for_steps(folder / "two")
    listed = json.loads(say(folder, "ps", "--json")[1])["jobs"]
    assert {job["pid"]: job["run_dir"] for job in listed} == {
        one.pid: str(folder / "one"), two.pid: str(folder / "two"),
    }  # fmt: skip
    assert all(job["net"] == "line" and job["step"] >= 10 for job in listed)
    assert "line at step" in say(folder, "ps")[1]

    code, _, told = say(folder, "run", "line.singa", "--run-dir", "one")
    assert code == 3
    assert f"error[SG0935]: a job is running in this folder already: process {one.pid}" in told

    follower = start(folder, "tail", "two", "--json")
    assert say(folder, "stop", "one")[0] == 0
    assert one.wait(10) == 143
    assert '"event": "checkpoint"' in _text(folder / "one").splitlines()[-2]
    assert two.poll() is None
    two.kill()
    out, _ = follower.communicate(timeout=10)
    assert follower.returncode == 0
    assert [json.loads(line)["event"] for line in out.splitlines()][:2] == ["start", "step"]
    assert json.loads(say(folder, "ps", "--json")[1])["jobs"] == []

    code, _, told = say(folder, "stop", "one")
    assert (code, "error[SG0936]: no job is running here" in told) == (3, True)
    assert "terminated: " in say(folder, "tail", "one")[1].splitlines()[-1]


def _state(folder: Path, **changes: object) -> State:
    job = Job("", "", str(folder), 1, registry=str(folder / "jobs"))
    folder.mkdir(exist_ok=True)
    job.metrics.touch()
    with register.entered(job):
        body = json.loads((folder / register.STATE).read_text())
        return State(**body | changes)


def test_a_process_id_that_was_given_anew_is_no_supervisor(tmp_path: Path) -> None:
    assert _state(tmp_path).runs
    assert not _state(tmp_path, started=1).runs
    assert not _state(tmp_path, machine="another").runs


def test_entries_that_lead_nowhere_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / "1.json").write_text(json.dumps({"run_folder": str(tmp_path)}))
    (folder / "2.json").write_text("no JSON")
    assert register.running(folder) == []
    assert list(folder.iterdir()) == []


def test_a_folder_where_nothing_ran(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="no job has run in this folder"):
        register.of(tmp_path)
