"""Every framework, and hybrids of them, with real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

pytestmark = pytest.mark.slow

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
    updater = SGD(rate = 0.02, momentum = 0.5, clip_norm = 5)
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


def train(folder: Path, cluster: str, *words: str, **env: str) -> Events:
    """Runs the program on a cluster; gives its events."""
    program = folder / "program.singa"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"{PROGRAM}cluster c {{ {cluster} }}\n")
    command = [sys.executable, "-P", "-m", "singac.cli", "run", str(program), "--json"]
    command += ["--run-dir", str(folder / "run"), *words]
    variables = {**os.environ, **env}
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=60, env=variables
    )
    assert (done.returncode, done.stderr) == (0, "")
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


def same_numbers(found: Params, expected: Params) -> None:
    for name, values in found.items():
        assert np.linalg.norm(values - expected[name]) <= 1e-5 * np.linalg.norm(expected[name]), (
            name
        )


@pytest.mark.parametrize(("framework", "cluster", "processes"), SYNCHRONOUS)
def test_a_synchronous_framework_trains_the_numbers_of_one_worker(
    framework: str, cluster: str, processes: int, alone: Params, tmp_path: Path
) -> None:
    start = train(tmp_path, cluster)[0]
    assert (start["framework"], start["processes"]) == (framework, processes)
    same_numbers(params(tmp_path), alone)


# The last three are slow only in sum.
SPREAD = [
    *ASYNCHRONOUS[:-3],
    *(pytest.param(*case, marks=pytest.mark.slow) for case in ASYNCHRONOUS[-3:]),
]


@pytest.mark.parametrize(("framework", "cluster", "processes"), SPREAD)
def test_an_asynchronous_framework_learns(
    framework: str, cluster: str, processes: int, tmp_path: Path
) -> None:
    # Half of them by messages: they have the same steps and tell the same.
    transport = "messages" if processes > 3 else ""
    events = train(tmp_path, cluster, SINGAC_TRANSPORT=transport)
    assert (events[0]["framework"], events[0]["processes"]) == (framework, processes)
    assert [e["step"] for e in of(events, "step")] == list(range(1, STEPS + 1))
    assert [e["step"] for e in of(events, "test")] == [10, 20, 30]
    assert [e["step"] for e in of(events, "checkpoint")] == [20, 30]
    losses = [float(str(e["loss"])) for e in of(events, "step")]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    assert all(np.isfinite(values).all() for values in params(tmp_path).values())


def test_threads_by_messages_train_the_numbers_of_one_worker(alone: Params, tmp_path: Path) -> None:
    cluster = "1 worker group of 2  1 server group of 2  workers_per_process = 2"
    train(tmp_path, cluster, SINGAC_TRANSPORT="messages")
    same_numbers(params(tmp_path), alone)


def test_gradients_of_half_the_bytes_train_almost_the_same(alone: Params, tmp_path: Path) -> None:
    cluster = "1 worker group of 2  1 server group of 2  wire = bf16"
    for folder in (tmp_path / "a", tmp_path / "b"):
        train(folder, cluster, SINGAC_TRANSPORT="messages")
    first, second = params(tmp_path / "a"), params(tmp_path / "b")
    for name, values in first.items():
        difference = np.linalg.norm(values - alone[name]) / np.linalg.norm(alone[name])
        assert 1e-6 < difference < 1e-2, "rounded, and only rounded"
        assert np.array_equal(values, second[name])


def test_a_run_of_groups_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    cluster = "2 worker groups of 1  2 server groups of 1"
    train(tmp_path, cluster)
    events = train(tmp_path, cluster, "--resume", "--set", "train.steps=40")
    assert [e["step"] for e in of(events, "step")] == list(range(31, 41))
    assert params(tmp_path, 40)
    # Two groups have read 80 batches; one that goes on reads the next.
    train(tmp_path, "1 worker group of 1", "--resume", "--set", "train.steps=42")
    manifest = tmp_path / "run/checkpoints/step-00000042/manifest.json"
    assert json.loads(manifest.read_text())["examples"] == 82 * 6
