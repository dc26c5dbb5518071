"""Layouts of params."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.checkpoints import packing
from singac.plan.plan import Initialiser, Layout, Param

ZERO = Initialiser("constant", (("value", 0.0),))


def param(shape: tuple[int, ...], layout: Layout, floats: int) -> Param:
    return Param("p", shape, layout, 0, floats, ZERO)


@pytest.mark.parametrize(
    ("shape", "layout", "floats"),
    [
        ((3, 20), Layout.PANELS, 96),
        ((2, 3, 16), Layout.PANELS, 96),
        ((20,), Layout.ROWS, 32),
        ((2, 5), Layout.ROWS, 32),
        ((4, 3, 2, 3), Layout.ROWS, 128),
        ((), Layout.ROWS, 16),
    ],
)
def test_what_is_packed_comes_back(shape: tuple[int, ...], layout: Layout, floats: int) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    packed = np.full(floats, np.nan, np.float32)
    packing.pack(param(shape, layout, floats), values, packed)
    assert np.array_equal(packing.unpack(param(shape, layout, floats), packed), values)
    assert np.count_nonzero(packed) == values.size


def test_a_panel_holds_sixteen_columns_row_by_row() -> None:
    values = np.arange(60, dtype=np.float32).reshape(3, 20) + 1
    packed = np.zeros(96, np.float32)
    packing.pack(param((3, 20), Layout.PANELS, 96), values, packed)
    panels = packed.reshape(2, 3, 16)
    assert np.array_equal(panels[0], values[:, :16])
    assert np.array_equal(panels[1, :, :4], values[:, 16:])
    assert not panels[1, :, 4:].any()
