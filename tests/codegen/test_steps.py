"""Whole steps in native code against the same operations in NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from singac.codegen.calls import calls_of
from singac.codegen.stretch import scratch_bytes
from singac.layers.expression import Constant
from singac.layers.operations import Assign, Pointwise, Product, Role
from singac.model.choices import Choices
from singac.partition.partition import partition
from singac.plan.items import gradient_of
from singac.plan.order import train_order
from singac.plan.plan import Plan, Stretch, metric_buffer
from singac.plan.project import project
from tests import programs
from tests.inprocess import Array, InProcess
from tests.plan import orders
from tests.reference import steps

NETS = {
    "perceptron": "features -> fc1: dense(7) -> tanh -> fc2: dense(3)\n"
    "[fc2, label] -> softmax_loss",
    "relu with slope": "features -> dense(33) -> relu(0.1) -> out: dense(3)\n"
    "[out, label] -> softmax_loss(topk = 2)",
    "one unit": "features -> dense(1) -> stanh -> out: dense(3)\n[out, label] -> softmax_loss",
    "branches": "features -> a: dense(17) -> sigmoid -> out: dense(3)\n"
    "a -> swish -> other: dense(3)\n"
    "[out, label] -> softmax_loss\n[other, label] -> softmax_loss\n[other, label] -> accuracy",
    "tied": "param w ~ gaussian(std = 0.5)\n"
    "features -> code: dense(3, weight = w) -> tanh -> back: dense(4, weight = w')\n"
    "[back, features] -> euclidean_loss",
    "no bias": "features -> dense(20, bias = none) -> gelu -> out: dense(3, bias = none)\n"
    "[out, label] -> softmax_loss",
    "pointwise alone": "features -> square -> elu -> softplus -> out: dense(3)\n"
    "[out, label] -> softmax_loss",
}
# The layers that join, cut, norm and look up; what their gradients are is shown in tests/plan.
LARGER = {
    name: orders.NETS[name]
    for name in ("residual", "gated", "concat_and_slice", "attention", "normed",
                 "norms_that_share", "yes_or_no", "tied_scores", "onehot")
}  # fmt: skip
BATCH = 6


def plan_of(text: str, workers: int = 1) -> Plan:
    model = programs.model(text, Choices(np=workers))
    return project(partition(model), model, "digest", scratch_bytes)


def batch_of(seed: int, rows: int = BATCH) -> dict[str, Array]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, (rows, 1)).astype(float)
    return {"features": generator.standard_normal((rows, 4)), "label": labels}


@pytest.mark.parametrize("net", [*NETS.values(), *LARGER.values()], ids=[*NETS, *LARGER])
def test_step_agrees_with_numpy(net: str) -> None:
    """Loss, metrics and gradients; that these are the loss's, tests/plan shows in double."""
    model = programs.model(programs.small(net))
    plan = plan_of(programs.small(net))
    machine, batch = InProcess(plan), batch_of(1)
    expected = {p.name: machine.param(p.name) for p in plan.params} | dict(batch)
    steps.run(train_order(model.net.graph, BATCH).items, expected)
    metrics = machine.step(batch)
    for name, value in zip(plan.metrics, metrics, strict=True):
        assert value == pytest.approx(expected[metric_buffer(name)], rel=1e-6)
    for param in plan.params:
        wanted = expected[gradient_of(param.name)]
        difference = np.linalg.norm(machine.gradient(param.name) - wanted.reshape(param.shape))
        assert difference <= 1e-5 * np.linalg.norm(wanted), param.name


def test_kernels_of_zeros_of_both_signs_are_two() -> None:
    """They are equal, and divided by one the other gives another infinity."""
    zeros = (Constant(0.0), Constant(-0.0))
    operations = tuple(Pointwise("x", (Assign("x", zero),)) for zero in zeros)
    one, other = calls_of(Stretch("train", 1, operations, (), 0, 0))
    assert one.kernel == other.kernel
    assert one.name != other.name


def test_operations_alike_are_calls_of_one_kernel() -> None:
    """Three layers of one size: their product is compiled once."""
    net = "features -> dense(4) -> tanh -> dense(4) -> tanh -> dense(4) -> tanh -> out: dense(3)\n"
    plan = plan_of(programs.small(net + "[out, label] -> softmax_loss"))
    calls = [call for stretch in plan.stretches for call in calls_of(stretch)]
    forward = [c for c in calls if isinstance(c.kernel.operation, Product)]
    forward = [c for c in forward if c.kernel.operation.role is Role.FORWARD]
    assert len(forward) == 4
    assert len({c.kernel for c in forward}) == len({c.name for c in forward}) == 2
    assert len({c.places for c in forward}) > 2


@pytest.mark.parametrize("workers", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 5))])
@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
def test_workers_together_find_the_gradients_of_one(net: str, workers: int) -> None:
    text = programs.small(net)
    one, many = InProcess(plan_of(text)), InProcess(plan_of(text, workers))
    batch = batch_of(3)
    metrics = [machine.step(batch).copy() for machine in (one, many)]
    assert metrics[1] == pytest.approx(metrics[0], rel=1e-6)
    for param in one.plan.params:
        a, b = one.gradient(param.name), many.gradient(param.name)
        assert np.linalg.norm(a - b) <= 1e-6 * np.linalg.norm(a)


def test_pads_stay_zero_where_a_layer_of_zero_is_not() -> None:
    """log(0) and its slope are infinite; the pads of rows and panels must not feel it."""
    own = "layer root { y = log(x) + sqrt(x) }\n"
    net = "features -> square -> root -> fc: dense(3)\n[fc, label] -> softmax_loss"
    plan = plan_of(programs.small(net, extra=own))
    machine = InProcess(plan)
    batch = batch_of(4)
    for step in range(3):
        machine.step(batch, step)
        machine.update(step)
    assert np.isfinite(machine.gradients[0]).all()
    assert np.isfinite(machine.params).all()


def test_a_gradient_that_nobody_reads_has_a_place() -> None:
    """The slope of a sign is 0 whatever the gradient is; the loss writes it all the same."""
    own = "layer side { y = sign(x) }\n"
    net = "features -> fc: dense(3) -> side\n[side, label] -> softmax_loss"
    machine = InProcess(plan_of(programs.small(net, extra=own)))
    machine.step(batch_of(6))
    assert (machine.gradient("fc.weight") == 0).all()


def test_dropout_is_the_same_for_every_cut_and_another_every_step() -> None:
    net = "features -> fc: dense(50) -> dropout(0.4) -> out: dense(3)\n[out, label] -> softmax_loss"
    text = programs.small(net)
    batch = batch_of(5)
    gradients = []
    for workers, step in ((1, 0), (4, 0), (1, 1)):
        machine = InProcess(plan_of(text, workers))
        machine.step(batch, step)
        gradients.append(machine.gradient("out.weight"))
    assert gradients[0] == pytest.approx(gradients[1], rel=1e-4, abs=1e-7)
    assert not np.allclose(gradients[0], gradients[2])


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    """The gradient of a bias below a dropout, with slope 1 everywhere, is the mask's column sum."""
    rows = 300
    net = "features -> fc: dense(64) -> dropout(0.25)\n[fc, dropout] -> euclidean_loss"
    text = programs.small(net, train=programs.TRAIN.replace("batch = 6", f"batch = {rows}"))
    plan = plan_of(text)
    machine = InProcess(plan)
    machine.set("fc.weight", np.zeros((4, 64)))
    machine.set("fc.bias", np.ones(64))
    machine.step({"features": np.zeros((rows, 4)), "label": np.zeros((rows, 1))})
    loss = machine.metrics[0] / (rows * 64)
    # a dropped value differs from its source by 1, a kept one by 1/3
    assert loss == pytest.approx(0.5 * (0.25 * 1 + 0.75 / 9), rel=0.02)
