"""Layers on images in native code against the same operations in NumPy, forward and backward."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from singac.codegen.stretch import scratch_bytes
from singac.compile import compile_test
from singac.model.choices import Choices
from singac.partition.partition import partition
from singac.plan.items import gradient_of
from singac.plan.order import test_order as order_of_testing
from singac.plan.order import train_order
from singac.plan.plan import Plan, metric_buffer
from singac.plan.project import project
from tests import programs
from tests.inprocess import Array, InProcess
from tests.pictures import Shape, batch_of, some_windows, text_of
from tests.reference import philox, steps


def plan_of(text: str, workers: int = 1) -> Plan:
    model = programs.model(text, Choices(np=workers))
    return project(partition(model), model, "digest", scratch_bytes)


STEP, SEED = 5, 0


def draws(stream: int, shape: tuple[int, int]) -> Array:
    elements = np.arange(shape[0] * shape[1], dtype=np.uint64)
    return philox.uniform(SEED, stream, STEP, elements).reshape(shape).astype(float)


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
    steps.run(train_order(model.net.graph, rows).items, expected, draws)
    metrics = machine.step(batch, STEP)
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


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((2, 7, 7), "pad = 2"),
        ((1, 15, 15), "pad = 2"),
        ((2, 15, 16), "pad = 2"),
        ((3, 8, 24), "pad = 4"),
        ((1, 16, 16), "pad = 3, stride = 2"),
    ],
)
def test_rows_that_see_pads_alone_are_passed_over(
    shape: Shape, settings: str, tmp_path: Path
) -> None:
    """A tile of the weight's gradient is a line of a 5x5 kernel where vectors have 512 bits."""
    check_step(f"c: conv(6, 5x5, {settings})", shape, tmp_path, rows=2)


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
    [
        ((1, 3, 3), "1"),
        ((6, 4, 8), "5, alpha = 0.3"),
        ((7, 5, 5), "3, beta = 0.5, knorm = 2"),
        ((5, 2, 9), "3, beta = 0.6"),
    ],
)
def test_lrn(shape: Shape, settings: str, tmp_path: Path) -> None:
    check_step(f"lrn({settings})", shape, tmp_path, rows=2)


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((3, 9, 7), "4x5"),
        ((1, 20, 40), "17x33, pad = 3"),
        ((2, 6, 6), "6, mirror = true"),
        ((2, 5, 18), "5x18, pad = 2x1, mirror = false"),
    ],
)
def test_crop_mirror(shape: Shape, settings: str, tmp_path: Path) -> None:
    """Eight examples: places in the middle, at edges and in pads, mirrored and not."""
    check_step(f"crop_mirror({settings})", shape, tmp_path, rows=8)


def test_crops_are_the_same_for_every_cut_and_testing_takes_the_middle(tmp_path: Path) -> None:
    shape, rows = (2, 8, 9), 6
    text = text_of("image -> crop_mirror(5x6)", shape, tmp_path, rows)
    batch = batch_of(shape, rows)
    gradients = []
    for workers, step in ((1, 0), (4, 0), (1, 1)):
        machine = InProcess(plan_of(text, workers))
        machine.step(batch, step)
        gradients.append(machine.gradient("out.weight"))
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)
    assert not np.allclose(gradients[0], gradients[2])


def test_a_crop_in_testing_is_the_middle(tmp_path: Path) -> None:
    shape, rows = (2, 8, 9), 6
    made = programs.model(text_of("image -> crop_mirror(5x6)", shape, tmp_path, rows))
    machine, batch = InProcess(compile_test(made, [])), batch_of(shape, rows)
    middle = batch["image"].reshape(rows, *shape)[:, :, 1:6, 1:7].reshape(rows, -1)
    scores = middle @ machine.param("out.weight") + machine.param("out.bias")
    labels = batch["label"].reshape(-1).astype(int)
    loss = -np.log(steps.softmax(scores)[np.arange(rows), labels]).sum()
    assert machine.step(batch, phase="test")[0] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("shape", [(1, 3, 3), (5, 4, 4), (20, 1, 1)])
def test_batch_norm(shape: Shape, tmp_path: Path) -> None:
    """What params of the running mean and variance are pushed is among the gradients."""
    net = "tanh -> batch_norm(epsilon = 0.1) -> tanh -> m: batch_norm(shift = none, epsilon = 0.1)"
    check_step(net, shape, tmp_path, rows=7)


def test_batch_norm_in_testing_takes_what_it_has_kept(tmp_path: Path) -> None:
    shape, rows = (3, 4, 5), 6
    net = "image -> n: batch_norm -> flatten -> m: batch_norm(momentum = 0.5)"
    made = programs.model(text_of(net, shape, tmp_path, rows))
    plan = project(partition(made), made, "digest", scratch_bytes)
    learning, machine = InProcess(plan), InProcess(compile_test(made, []))
    batch = batch_of(shape, rows)
    for step in range(3):
        learning.step(batch, step)
        learning.update(step)
    params = {p.name: learning.param(p.name) for p in plan.params}
    x = batch["image"].reshape(rows, 3, -1)
    kept = 1 - 0.9**3  # of the same batch three times, beginning at 0 and at 1
    assert params["n.running_mean"] == pytest.approx(kept * x.mean(axis=(0, 2)), rel=1e-5)
    variance = 1 - kept + kept * x.transpose(1, 0, 2).reshape(3, -1).var(axis=1, ddof=1)
    assert params["n.running_variance"] == pytest.approx(variance, rel=1e-5)
    for name, values in params.items():
        machine.set(name, values)
    expected = params | dict(batch)
    steps.run(order_of_testing(made.net.graph, rows, ()).items, expected)
    metrics = machine.step(batch, phase="test")
    assert metrics[0] == pytest.approx(expected["metric:loss"][0], rel=1e-5)


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
