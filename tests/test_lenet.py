"""The original's convolutional net: one step's gradients against NumPy in double."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from singac.compile import compile_file
from singac.model.choices import Choices
from singac.plan.items import gradient_of
from singac.plan.order import train_order
from tests.inprocess import InProcess
from tests.reference import steps
from tests.sources.data_files import idx_bytes

MODEL = Path(__file__).parent.parent / "models/lenet.singa"
FASHION = "/usr/share/datasets/fashion-mnist"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The model on a few images of the same shape, for where Fashion-MNIST is not installed."""
    generator = np.random.default_rng(0)
    for part in ("train", "t10k"):
        images = generator.integers(0, 256, (64, 28, 28), dtype=np.uint8)
        labels = generator.integers(0, 10, 64, dtype=np.uint8)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    text = MODEL.read_text(encoding="utf-8")
    assert FASHION in text
    path = tmp_path / "lenet.singa"
    path.write_text(text.replace(FASHION, str(tmp_path)), encoding="utf-8")
    return path


@pytest.mark.slow
def test_gradients_of_a_step_on_two_workers(model: Path) -> None:
    (compiled,) = compile_file(str(model), Choices(np=2))
    rows = compiled.plan.training.batch
    machine = InProcess(compiled.plan)
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 10, (rows, 1)).astype(float)
    batch = {"image": generator.random((rows, 784)), "label": labels}
    names = [p.name for p in compiled.plan.params]
    expected = {n: machine.param(n) for n in names} | batch
    steps.run(train_order(compiled.model.net.graph, rows).items, expected)
    machine.step(batch)
    for name in names:
        wanted = expected[gradient_of(name)].reshape(machine.param(name).shape)
        difference = np.linalg.norm(machine.gradient(name) - wanted)
        assert difference <= 1e-4 * np.linalg.norm(wanted), name
