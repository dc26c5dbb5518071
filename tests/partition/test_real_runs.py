"""A hybrid net trained by real processes: both transports give the same bits, and one worker's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
data points = csv("{data}", test = 0.3)
net small on points {{
    features -> a: dense(40) -> h: tanh -> d: dropout(0.4) -> b: dense(37) -> r: relu -> c: dense(3)
    [c, label] -> loss: softmax_loss
}}
partition hybrid of small {{
    a .. b on feature
    c at 1
}}
train small {{ updater = SGD(rate = 0.01, momentum = 0.5)  batch = 6  steps = 20  test = every(7) }}
"""


def trained(folder: Path, processes: int, transport: str) -> dict[str, np.ndarray]:
    folder.mkdir()
    file = folder / "hybrid.singa"
    file.write_text(PROGRAM.format(data=ROOT / "tests" / "errors" / "data" / "points.csv"))
    command = ["-m", "singac.cli", "run", str(file), "-np", str(processes)]
    options = ["--partition", "hybrid", "--run-dir", str(folder / "run")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SINGAC_TRANSPORT": transport}
    done = subprocess.run(
        [sys.executable, *command, *options], env=environment, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    return load_file(folder / "run" / "checkpoints" / "step-00000020" / "params.safetensors")


@pytest.mark.slow
def test_a_hybrid_net_of_real_processes(tmp_path: Path) -> None:
    one = trained(tmp_path / "one", 1, "shared")
    shared, messages = (trained(tmp_path / t, 3, t) for t in ("shared", "messages"))
    for name, tensor in one.items():
        assert np.array_equal(shared[name], messages[name]), name
        assert np.linalg.norm(shared[name] - tensor) <= 1e-5 * np.linalg.norm(tensor), name
