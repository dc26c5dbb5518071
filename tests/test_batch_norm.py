"""`batch_norm` on real processes: statistics of the whole group's batch, kept for testing."""

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

ROOT = Path(__file__).parent.parent
STEPS = 30
PROGRAM = f"""
data digits = csv("{ROOT}/models/data/digits.csv.gz", shape = 1x8x8, scale = 1/16, test = 0.2)
net normed on digits {{
    features -> conv(5, 3x3, bias = none) -> image: batch_norm -> gelu
             -> dense(30, bias = none) -> vector: batch_norm(momentum = 0.3, scale = none) -> tanh
             -> scores: dense(10)
    [scores, label] -> softmax_loss
}}
train normed {{
    updater = SGD(rate = 0.1, momentum = 0.9, weight_decay = 0.001, clip_norm = 2)
    batch   = 50
    steps   = {STEPS}
}}
"""
Params = dict[str, NDArray[np.float32]]


class Trained:
    """A run of the program: its params, and its last test."""

    def __init__(self, folder: Path, processes: int, **env: str) -> None:
        (folder / "net.singa").write_text(PROGRAM, encoding="utf-8")
        command = [sys.executable, "-P", "-m", "singac.cli", "run", "net.singa", "--json"]
        command += ["-np", str(processes), "--run-dir", "run"]
        variables = {**os.environ, **env}
        done = subprocess.run(
            command, cwd=folder, env=variables, capture_output=True, text=True, timeout=200
        )
        assert done.returncode == 0, done.stderr
        events = [json.loads(line) for line in done.stdout.splitlines()]
        (self.test,) = (e for e in events if e["event"] == "test")
        saved: Params = {}
        for file in (folder / f"run/checkpoints/step-{STEPS:08}").glob("*.safetensors"):
            saved |= load_file(file)
        self.params = {name: values for name, values in saved.items() if "/" not in name}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return Trained(tmp_path_factory.mktemp("alone"), 1)


def test_workers_train_the_numbers_of_one_over_memory_and_messages(
    alone: Trained, tmp_path: Path
) -> None:
    (tmp_path / "memory").mkdir()
    (tmp_path / "messages").mkdir()
    shared = Trained(tmp_path / "memory", 3)
    sent = Trained(tmp_path / "messages", 3, SINGAC_TRANSPORT="messages")
    assert list(shared.params) == list(alone.params)
    for name, values in alone.params.items():
        np.testing.assert_array_equal(shared.params[name], sent.params[name], err_msg=name)
        difference = np.linalg.norm(shared.params[name] - values)
        assert difference <= 1e-5 * np.linalg.norm(values), name
    assert shared.test["loss"] == pytest.approx(alone.test["loss"], rel=1e-4)


def test_testing_takes_what_was_kept(alone: Trained) -> None:
    """The kept values are far from their first ones, and the test's loss is by them."""
    assert abs(alone.params["image.running_variance"] - 1).min() > 0.1
    assert abs(alone.params["vector.running_mean"]).max() > 0.1
    assert alone.test["loss"] < 0.5
    assert alone.test["metrics"]["accuracy"] > 0.9
