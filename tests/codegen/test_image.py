"""Layers on images in native code against the same operations in NumPy, forward and backward."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from singac.codegen.stretch import scratch_bytes
from singac.model.resolve import Choices
from singac.partition.partition import partition
from singac.plan.order import gradient_of, train_order
from singac.plan.plan import Plan, metric_buffer
from singac.plan.project import project
from tests import programs
from tests.inprocess import InProcess
from tests.pictures import Shape, batch_of, some_windows, text_of
from tests.reference import steps


def plan_of(text: str, workers: int = 1) -> Plan:
    model = programs.model(text, Choices(np=workers))
    return project(partition(model), model, "digest", scratch_bytes)


def check_step(net: str, shape: Shape, folder: Path, rows: int) -> None:
    """Loss, metrics and all gradients of a step; a conv before the net asks for its input's."""
    text = text_of(f"image -> first: conv({shape[0]}, 1x1) -> {net}", shape, folder, rows)
    model = programs.model(text)
    machine, batch = InProcess(plan_of(text)), batch_of(shape, rows)
    for name in ("first.weight", "first.bias"):
        # every other channel passes unchanged, so that the ties of the batch stay ties
        values = machine.param(name)
        values[::2] = np.eye(shape[0])[:, :, None, None][::2] if values.ndim > 1 else 0.0
        machine.set(name, values)
    expected = {p.name: machine.param(p.name) for p in machine.plan.params} | dict(batch)
    steps.run(train_order(model.net.graph, rows).items, expected)
    metrics = machine.step(batch)
    for name, value in zip(machine.plan.metrics, metrics, strict=True):
        assert value == pytest.approx(expected[metric_buffer(name)], rel=1e-5)
    for param in machine.plan.params:
        wanted = expected[gradient_of(param.name)].reshape(param.shape)
        difference = np.linalg.norm(machine.gradient(param.name) - wanted)
        assert difference <= 1e-4 * np.linalg.norm(wanted), (param.name, net, shape)


@pytest.mark.parametrize("seed", range(10))
def test_convolution(seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    shape, windows = some_windows(random, most_pad=3)
    groups = int(random.choice([g for g in (1, 2, 3, 6) if shape[0] % g == 0]))
    filters = groups * int(random.integers(1, 8))
    bias = random.choice(["", ", bias = none", ", bias ~ gaussian(std = 0.5)"])
    net = f"c: conv({filters}, {windows}, groups = {groups}{bias})"
    check_step(net, shape, tmp_path, rows=int(random.integers(1, 4)))


@pytest.mark.parametrize("kind", ["max_pool", "avg_pool"])
@pytest.mark.parametrize("seed", range(5))
def test_pooling(kind: str, seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    shape, windows = some_windows(random, most_pad=2)
    rounded = random.choice(["up", "down"])
    net = f"{kind}({windows}, round = {rounded})"
    check_step(net, shape, tmp_path, rows=int(random.integers(1, 4)))


@pytest.mark.parametrize(
    ("shape", "settings"),
    [((1, 3, 3), "1"), ((6, 4, 8), "5, alpha = 0.3"), ((7, 5, 5), "3, beta = 0.5, knorm = 2")],
)
def test_lrn(shape: Shape, settings: str, tmp_path: Path) -> None:
    check_step(f"lrn({settings})", shape, tmp_path, rows=2)


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_together_find_the_gradients_of_one(workers: int, tmp_path: Path) -> None:
    net = "image -> conv(5, 3x3, pad = 1) -> relu -> max_pool(2x2) -> lrn(3) -> conv(4, 2x2)"
    shape, rows = (3, 9, 7), 5
    text = text_of(net + " -> avg_pool(2, round = up)", shape, tmp_path, rows)
    one, many = InProcess(plan_of(text)), InProcess(plan_of(text, workers))
    batch = batch_of(shape, rows)
    metrics = [machine.step(batch).copy() for machine in (one, many)]
    assert metrics[1] == pytest.approx(metrics[0], rel=1e-6)
    for param in one.plan.params:
        a, b = one.gradient(param.name), many.gradient(param.name)
        assert np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(a)
