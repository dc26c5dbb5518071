"""The original's large perceptron: one step's gradients against NumPy in double."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from singac.compile import compile_file
from singac.model.choices import Choices
from tests.inprocess import Array, InProcess
from tests.sources.data_files import idx_bytes

MODEL = Path(__file__).parent.parent / "models/mnist_mlp.singa"
FASHION = "/usr/share/datasets/fashion-mnist"
LAYERS = 6
A, B = 1.7159047, 0.66666667


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The model on a few images of the same shape, for where Fashion-MNIST is not installed."""
    generator = np.random.default_rng(0)
    for part in ("train", "t10k"):
        images = generator.integers(0, 256, (60, 28, 28), dtype=np.uint8)
        labels = generator.integers(0, 10, 60, dtype=np.uint8)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    text = MODEL.read_text(encoding="utf-8")
    assert FASHION in text
    path = tmp_path / "mnist_mlp.singa"
    path.write_text(text.replace(FASHION, str(tmp_path)), encoding="utf-8")
    return path


def gradients(x: Array, labels: Array, params: dict[str, Array]) -> dict[str, Array]:
    """Back-propagation by hand: stanh between dense layers, softmax loss on top."""
    values = [x]
    for k in range(1, LAYERS + 1):
        z = values[-1] @ params[f"fc{k}.weight"] + params[f"fc{k}.bias"]
        values.append(z if k == LAYERS else A * np.tanh(B * z))
    e = np.exp(values[-1] - values[-1].max(axis=1, keepdims=True))
    d = e / e.sum(axis=1, keepdims=True)
    d[np.arange(len(x)), labels] -= 1
    d /= len(x)
    found = {}
    for k in range(LAYERS, 0, -1):
        found[f"fc{k}.weight"] = values[k - 1].T @ d
        found[f"fc{k}.bias"] = d.sum(axis=0)
        t = values[k - 1] / A
        d = (d @ params[f"fc{k}.weight"].T) * (A * B * (1 - t * t))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_gradients_of_a_step(model: Path, workers: int) -> None:
    choices = Choices(np=workers)
    (compiled,) = compile_file(str(model), choices)
    rows = compiled.plan.training.batch
    machine = InProcess(compiled.plan)
    generator = np.random.default_rng(1)
    x = generator.random((rows, 784))
    labels = generator.integers(0, 10, rows)
    machine.step({"image": x, "label": labels[:, None].astype(float)})
    names = [p.name for p in compiled.plan.params]
    expected = gradients(x, labels, {n: machine.param(n) for n in names})
    for name in names:
        difference = np.linalg.norm(machine.gradient(name) - expected[name])
        assert difference <= 1e-4 * np.linalg.norm(expected[name]), name
