"""models/mlp.singa on real processes: it learns, and any number of them trains the same numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file

ROOT = Path(__file__).parent.parent
Params = dict[str, NDArray[np.float32]]


def train(folder: Path, processes: int, *words: str) -> list[dict[str, object]]:
    """Runs the main example; gives its events."""
    command = [sys.executable, "-P", "-m", "singac.cli", "run", "models/mlp.singa", "--json"]
    command += ["-np", str(processes), "--run-dir", str(folder), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def params(folder: Path, step: int) -> Params:
    """The params of a checkpoint, without what the updater keeps."""
    found: Params = {}
    for file in sorted((folder / f"checkpoints/step-{step:08}").glob("*.safetensors")):
        found |= load_file(file)
    return {name: values for name, values in found.items() if "/" not in name}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Params:
    folder = tmp_path_factory.mktemp("alone")
    train(folder, 1, "--set", "train.steps=100")
    return params(folder, 100)


SLOW = [pytest.param(processes, marks=pytest.mark.slow) for processes in (2, 3, 16)]


@pytest.mark.parametrize("processes", [*SLOW, 7])
def test_any_number_of_processes_trains_the_numbers_of_one(
    processes: int, alone: Params, tmp_path: Path
) -> None:
    train(tmp_path, processes, "--set", "train.steps=100")
    found = params(tmp_path, 100)
    assert list(found) == list(alone)
    for name, values in alone.items():
        difference = np.linalg.norm(found[name] - values) / np.linalg.norm(values)
        assert difference <= 1e-5, name


def test_servers_of_their_own_train_the_same_numbers(alone: Params, tmp_path: Path) -> None:
    model = ROOT / "models/mlp.singa"
    text = model.read_text(encoding="utf-8").replace('"data/', f'"{ROOT}/models/data/')
    cluster = "cluster apart {\n1 worker group of 3\n1 server group of 2\nservers = separate\n}\n"
    (tmp_path / "net.singa").write_text(text + cluster, encoding="utf-8")
    command = [sys.executable, "-P", "-m", "singac.cli", "run", "net.singa", "--run-dir", "run"]
    subprocess.run([*command, "--set", "train.steps=100"], cwd=tmp_path, timeout=100, check=True)
    for name, values in params(tmp_path / "run", 100).items():
        assert np.linalg.norm(values - alone[name]) <= 1e-5 * np.linalg.norm(values), name


def test_the_same_seed_gives_the_same_bits_and_learns(tmp_path: Path) -> None:
    for run in "ab":
        events = train(tmp_path / run, 4, "--set", "train.steps=250")
    first, second = params(tmp_path / "a", 250), params(tmp_path / "b", 250)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    last = [e for e in events if e["event"] == "test"][-1]
    assert last["step"] == 250
    metrics = last["metrics"]
    assert isinstance(metrics, dict)
    assert metrics["accuracy"] >= 0.94


@pytest.mark.slow
def test_another_seed_gives_other_params(alone: Params, tmp_path: Path) -> None:
    train(tmp_path, 1, "--set", "train.steps=100", "--set", "train.seed=1")
    assert not np.allclose(params(tmp_path, 100)["fc1.weight"], alone["fc1.weight"])
