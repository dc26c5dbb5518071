"""Every framework, and hybrids of them, with real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[2]
STEPS = 30
PROGRAM = f"""
data points = csv("{ROOT}/tests/errors/data/points.csv", test = 0.25)
net small on points {{
    features -> dense(24) -> tanh -> scores: dense(3)
    [scores, label] -> softmax_loss
    [scores, label] -> accuracy
}}
train small {{
    updater = SGD(rate = 0.05, momentum = 0.5, clip_norm = 5)
    batch = 6
    steps = {STEPS}
    display = every(1)
    test = every(10)
    checkpoint = every(20)
}}
"""
Events = list[dict[str, object]]
Params = dict[str, NDArray[np.float32]]

# fmt: off
SYNCHRONOUS = (
    ("Sandblaster", "1 worker group of 3  1 server group of 2  servers = separate", 5),
    ("Sandblaster", "1 worker group of 2  1 server group of 1  workers_per_process = 2", 1),
    ("AllReduce",   "1 worker group of 4  1 server group of 4  workers_per_process = 2 "
                    "servers_per_process = 2", 2),
)
ASYNCHRONOUS = (
    ("Downpour",            "2 worker groups of 2  1 server group of 2  servers = separate "
                            "staleness = 2", 6),
    ("Distributed Hogwild", "3 worker groups of 1  3 server groups of 1  sync_every = 4", 3),
    ("in-memory Hogwild",   "3 worker groups of 1  workers_per_process = 3  staleness = 0", 1),
    ("hybrid",              "4 worker groups of 1  2 server groups of 2  staleness = 1", 4),
    ("hybrid",              "3 worker groups of 2  2 server groups of 1  workers_per_process = 2 "
                            "reconcile = average  sync_every = 3", 3),
    ("hybrid",              "2 worker groups of 2  2 server groups of 2  servers = separate "
                            "servers_per_process = 2  reconcile = outer(0.7, momentum = 0.5)", 6),
    ("hybrid",              "4 worker groups of 1  2 server groups of 1  workers_per_process = 2 "
                            "staleness = 3", 2),
    ("hybrid",              "2 worker groups of 1  2 server groups of 3  servers = separate "
                            "servers_per_process = 3", 4),
)
# fmt: on


def train(folder: Path, cluster: str, *words: str, code: int = 0) -> Events:
    """Runs the program on a cluster; gives its events."""
    program = folder / "program.singa"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"{PROGRAM}cluster c {{ {cluster} }}\n")
    command = [sys.executable, "-P", "-m", "singac.cli", "run", str(program), "--json"]
    command += ["--run-dir", str(folder / "run"), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def params(folder: Path, step: int = STEPS) -> Params:
    return load_file(folder / f"run/checkpoints/step-{step:08}/params.safetensors")


def of(events: Events, name: str) -> Events:
    return [e for e in events if e["event"] == name]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Params:
    folder = tmp_path_factory.mktemp("alone")
    train(folder, "1 worker group of 1")
    return params(folder)


@pytest.mark.parametrize(("framework", "cluster", "processes"), SYNCHRONOUS)
def test_a_synchronous_framework_trains_the_numbers_of_one_worker(
    framework: str, cluster: str, processes: int, alone: Params, tmp_path: Path
) -> None:
    start = train(tmp_path, cluster)[0]
    assert (start["framework"], start["processes"]) == (framework, processes)
    for name, values in params(tmp_path).items():
        assert np.linalg.norm(values - alone[name]) <= 1e-5 * np.linalg.norm(alone[name]), name


@pytest.mark.parametrize(("framework", "cluster", "processes"), ASYNCHRONOUS)
def test_an_asynchronous_framework_learns(
    framework: str, cluster: str, processes: int, tmp_path: Path
) -> None:
    events = train(tmp_path, cluster)
    assert (events[0]["framework"], events[0]["processes"]) == (framework, processes)
    assert [e["step"] for e in of(events, "step")] == list(range(1, STEPS + 1))
    assert [e["step"] for e in of(events, "test")] == [10, 20, 30]
    assert [e["step"] for e in of(events, "checkpoint")] == [20, 30]
    losses = [float(str(e["loss"])) for e in of(events, "step")]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
    assert all(np.isfinite(values).all() for values in params(tmp_path).values())
