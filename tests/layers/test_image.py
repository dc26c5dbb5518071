"""Gradients of layers on images against finite differences of the loss, and known cases."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from singac.layers.access import reads, writes
from singac.layers.operations import (
    ChannelSum,
    Convolution,
    Crop,
    CropGradient,
    Lrn,
    LrnGradient,
    Pool,
    PoolGradient,
    Pooling,
    Response,
    Role,
)
from singac.layers.windows import Windows, places_down, places_up
from singac.model.graph import NetGraph
from singac.plan.items import gradient_of
from singac.plan.order import train_order
from tests.pictures import Shape, batch_of, text_of
from tests.programs import model
from tests.reference import images
from tests.reference.steps import Buffers, run

STEP = 1e-6
ROWS = 2

# fmt: off
NETS: dict[str, tuple[Shape, str]] = {
    "conv":        ((2, 5, 4), "conv(3, 3x2, stride = 2x1, pad = 1, bias ~ uniform())"),
    "groups":      ((4, 4, 4), "conv(6, 2, groups = 2, bias = none)"),
    "shared":      ((2, 4, 4), "c: conv(2, 3, pad = 1, weight ~ gaussian(std = 0.3)) -> tanh"
                               " -> d: conv(2, 3, pad = 1, weight = c.weight, bias = c.bias)"),
    "max":         ((2, 5, 5), "max_pool(3, stride = 2, pad = 0x1, round = up)"),
    "average":     ((2, 5, 4), "avg_pool(2x3, stride = 2, pad = 1, round = up)"),
    "batch norm":  ((3, 2, 4), "batch_norm(epsilon = 0.01) -> tanh -> conv(4, 2) -> flatten"
                               " -> batch_norm(scale = none)"),
    "lrn":         ((5, 2, 2), "lrn(3, alpha = 0.7, beta = 0.6, knorm = 1.5)"),
}
# fmt: on


def loss(graph: NetGraph, given: Buffers) -> float:
    buffers = dict(given)
    run(train_order(graph, ROWS).items, buffers)
    return float(buffers["metric:loss"][0]) / ROWS


def slope(graph: NetGraph, values: Buffers, name: str, place: tuple[int, ...]) -> float:
    ends = []
    for move in (STEP, -STEP):
        moved = values | {name: values[name].copy()}
        moved[name][place] += move
        ends.append(loss(graph, moved))
    return (ends[0] - ends[1]) / (2 * STEP)


@pytest.mark.parametrize("name", NETS)
def test_gradients_are_those_of_the_printed_loss(name: str, tmp_path: Path) -> None:
    shape, net = NETS[name]
    first = f"image -> first: conv({shape[0]}, 1)"
    graph = model(text_of(f"{first} -> {net}", shape, tmp_path, ROWS)).net.graph
    random = np.random.default_rng(2)
    values: Buffers = dict(batch_of(shape, ROWS))
    values |= {n: 0.5 * random.normal(size=p.shape) for n, p in graph.params.items()}
    done = dict(values)
    run(train_order(graph, ROWS).items, done)
    for param, known in graph.params.items():
        if known.follows:
            continue
        own = done[gradient_of(param)].reshape(values[param].shape)
        for _ in range(6):
            place = tuple(int(random.integers(size)) for size in own.shape)
            expected = slope(graph, values, param, place)
            assert own[place] == pytest.approx(expected, rel=1e-4, abs=1e-8), (param, place)


def test_reads_and_writes() -> None:
    """A mean does not keep its source alive, and what is added to is read."""
    windows = Windows(1, (2, 2), (2, 2), (2, 2), (0, 0), (1, 1))
    response = Response(1, 1, 1.0, 0.5, 1.0)
    # fmt: off
    for operation, read in (
        (Convolution(Role.FORWARD, "o", "x", "w", windows, bias="b"),            ("x", "w", "b")),
        (Convolution(Role.WEIGHT_GRADIENT, "o", "x", "d", windows),              ("x", "d")),
        (Convolution(Role.WEIGHT_GRADIENT, "o", "x", "d", windows, accumulate=True),
                                                                                 ("x", "d", "o")),
        (ChannelSum("o", "d", 1),                                                ("d",)),
        (ChannelSum("o", "d", 1, accumulate=True),                               ("d", "o")),
        (Pool(Pooling.AVERAGE, "o", "x", windows),                               ("x",)),
        (PoolGradient(Pooling.AVERAGE, "o", "d", None, windows),                 ("d",)),
        (PoolGradient(Pooling.MAX, "o", "d", "x", windows),                      ("d", "x")),
        (Crop("o", "x", windows, None, True),                                    ("x",)),
        (CropGradient("o", "d", windows, 1, True),                               ("d",)),
        (Lrn("o", "x", response),                                                ("x",)),
        (LrnGradient("o", "d", "x", response),                                   ("d", "x")),
    ):
        assert (reads(operation), writes(operation)) == (read, ("o",))
    # fmt: on


def test_shapes(tmp_path: Path) -> None:
    net = (
        "image -> a: conv(4, 5x3, stride = 2, pad = 2x1) -> b: max_pool(2) -> c: avg_pool(2, "
        "round = up) -> d: max_pool(2, stride = 1) -> e: lrn(3)"
    )
    graph = model(text_of(net, (3, 28, 27), tmp_path, ROWS)).net.graph
    shapes = {layer.name: layer.shape for layer in graph.layers()}
    assert [shapes[n] for n in "abcde"] == [
        (4, 14, 14), (4, 7, 7), (4, 4, 4), (4, 3, 3), (4, 3, 3),
    ]  # fmt: skip


def test_windows_along_a_side() -> None:
    """28 pixels by windows of 3: 2 apart, one more fits when rounding up, and none in a pad."""
    assert (places_down(28, 3, 2, 0), places_up(28, 3, 2, 0)) == (13, 14)
    assert (places_down(6, 3, 3, 0), places_up(6, 3, 3, 0)) == (2, 2)
    assert (places_down(4, 2, 3, 1), places_up(4, 2, 3, 1)) == (2, 2)


def test_a_mean_counts_pads_but_not_what_is_beyond() -> None:
    windows = Windows(1, (3, 3), (2, 2), (2, 2), (0, 0), (2, 2))
    ones = np.ones((1, 1, 3, 3))
    assert images.pool(Pooling.AVERAGE, ones, windows).ravel().tolist() == [1, 1, 1, 1]
    padded = Windows(1, (3, 3), (2, 2), (2, 2), (1, 1), (2, 2))
    assert images.pool(Pooling.AVERAGE, ones, padded).ravel().tolist() == [0.25, 0.5, 0.5, 1]


def test_the_first_of_equal_values_has_the_gradient() -> None:
    windows = Windows(1, (2, 2), (2, 2), (2, 2), (0, 0), (1, 1))
    x = np.array([[[[1.0, 3.0], [3.0, 3.0]]]])
    gradient = images.pool_gradient(Pooling.MAX, np.ones((1, 1, 1, 1)), x, windows)
    assert gradient.ravel().tolist() == [0, 1, 0, 0]
