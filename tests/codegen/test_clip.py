"""The norm of a gradient and the factor that clips it, against NumPy in double."""

from __future__ import annotations

import numpy as np
import pytest

from singac.codegen import load, native
from tests import programs

FLOAT = 4
PLAN = programs.plan(
    programs.small(
        "features -> fc: dense(3)\n[fc, label] -> softmax_loss",
        train="train small { updater = SGD(0.1, clip_norm = 2)  batch = 6  steps = 1 }",
    )
)
CLIP = load.load(PLAN, PLAN.processes[0]).clip


def aligned(values: np.ndarray) -> np.ndarray:
    space = native.allocate(values.nbytes).view(values.dtype)[: values.size]
    space[:] = values.reshape(-1)
    return space.reshape(values.shape)


@pytest.mark.parametrize(("workers", "floats"), [(1, 16), (3, 16), (2, 1600)])
def test_squares_are_those_of_the_sum_over_workers(workers: int, floats: int) -> None:
    assert CLIP is not None
    gradients = aligned(np.random.default_rng(1).normal(size=(workers, floats)).astype(np.float32))
    out = np.zeros(1)
    stride = gradients.strides[0]
    CLIP.squares(gradients.ctypes.data, stride, workers, floats, out.ctypes.data)
    total = gradients.sum(axis=0, dtype=np.float32).astype(np.float64)
    assert out[0] == pytest.approx(np.sum(total**2), rel=1e-6)


@pytest.mark.parametrize(("limit", "wanted"), [(2.0, 0.4), (5.0, 1.0), (6.0, 1.0)])
def test_the_factor_only_shrinks(limit: float, wanted: float) -> None:
    """A norm of 5 from three slices, written to the same column of two rows."""
    assert CLIP is not None
    squares, most = np.array([9.0, 0.0, 16.0]), np.array([limit])
    table = np.full((2, 3), 7.0, np.float32)
    out = table.ctypes.data + FLOAT
    CLIP.factor(squares.ctypes.data, 3, most.ctypes.data, out, table.strides[0], 2)
    assert table[:, 1].tolist() == [pytest.approx(wanted)] * 2
    assert table[:, [0, 2]].tolist() == [[7.0, 7.0]] * 2


def test_no_gradient_at_all_is_not_divided_by() -> None:
    assert CLIP is not None
    squares, most, out = np.zeros(2), np.array([1.0]), np.zeros(1, np.float32)
    CLIP.factor(squares.ctypes.data, 2, most.ctypes.data, out.ctypes.data, FLOAT, 1)
    assert out[0] == 1.0
