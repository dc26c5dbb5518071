"""Nets cut in every way train as one worker does: native code, all exchanges, no MPI."""

from __future__ import annotations

import numpy as np
import pytest

from singac.codegen.stretch import scratch_bytes
from singac.layers.table import KINDS
from singac.model.choices import Choices
from singac.partition.partition import partition
from singac.plan.plan import Plan
from singac.plan.project import project
from singac.plan.verify import verify
from tests.inprocess import Array, InProcess
from tests.partition.nets import Case, case
from tests.programs import IMAGES, POINTS, diagnostics, model, small, source

TRAIN = "train small { updater = SGD(rate = 0.05, momentum = 0.5)  batch = 9  steps = 10 }\n"
STEPS = 3

# fmt: off
CHAIN = """
    features -> a: dense(40) -> h: tanh -> d: dropout(0.4) -> b: dense(37) -> r: relu -> c: dense(3)
    [c, label] -> loss: softmax_loss"""
JOINED = """
    features -> a: dense(20) -> h: sigmoid
    [h, features, h] -> all: concat
    all -> s: slice(3, 40) -> b: dense(20) -> t: tanh
    [h, t] -> p: multiply
    [p, t, h] -> q: add -> c: dense(4)
    [c, features] -> loss: euclidean_loss
    [q, h] -> other: sigmoid_loss"""
# Some workers have columns of the field alone, of which no gradient is wanted.
BESIDE = """
    image -> c: conv(6, 1x1)
    [image, c] -> all: concat -> d: dropout(0.3) -> f: flatten -> b: dense(3)
    [b, label] -> loss: softmax_loss"""
WORDS = """
    label -> e: embedding(3, 36) -> h: tanh -> b: dense(3)
    label -> o: onehot(3) -> x: dense(3)
    [b, x] -> s: add
    [s, label] -> loss: softmax_loss"""
LENET = """
    image -> c1: conv(5, 3x3, pad = 1) -> r: relu -> p1: max_pool(2x2, stride = 2) -> n: lrn(3)
          -> c2: conv(6, 3x3, pad = 1, groups = 1) -> p2: avg_pool(2x2, stride = 2) -> f: flatten
          -> a: dense(33) -> d: dropout(0.3) -> b: dense(3)
    [b, label] -> loss: softmax_loss"""
GROUPED = """
    image -> c1: conv(8, 3x3) -> c2: conv(12, 3x3, groups = 4) -> s: slice(1, 9) -> p: max_pool(2)
          -> b: dense(3)
    [b, label] -> loss: softmax_loss"""
TIED = """
    param w ~ gaussian(std = 0.3)
    features -> a: dense(36, weight = w) -> h: tanh -> b: dense(36) -> g: tanh
    features -> c: dense(36, weight = w) -> k: tanh
    [g, k] -> p: add -> q: dense(3)
    [q, label] -> loss: softmax_loss"""
TURNED = """
    param w ~ gaussian(std = 0.3)
    features -> a: dense(45) -> h: tanh -> b: dense(20, weight = w') -> c: dense(3)
    [c, label] -> loss: softmax_loss"""

CUTS = [
    (CHAIN,   POINTS, "a on feature"),
    (CHAIN,   POINTS, "a .. d on feature"),
    (CHAIN,   POINTS, "a .. c on feature"),
    (CHAIN,   POINTS, "h on feature\n b .. r on feature"),
    (CHAIN,   POINTS, "b at 1"),
    (CHAIN,   POINTS, "a .. loss at 1"),
    (CHAIN,   POINTS, "a .. h on feature\n c at 0"),
    (JOINED,  POINTS, "a .. h on feature\n all .. s on feature"),
    (JOINED,  POINTS, "all .. c on feature\n loss on feature"),
    (JOINED,  POINTS, "a .. loss on feature\n other at 1"),
    (JOINED,  POINTS, "other on feature\n h on feature\n q at 1"),
    (BESIDE,  IMAGES, "all .. d on feature\n b at 1"),
    (WORDS,   POINTS, "e .. b on feature\n o on feature"),
    (WORDS,   POINTS, "o .. s on feature\n e at 1"),
    (LENET,   IMAGES, "c1 .. b on feature"),
    (LENET,   IMAGES, "c1 .. r on feature\n c2 .. p2 on feature"),
    (LENET,   IMAGES, "n on feature\n a .. d on feature"),
    (LENET,   IMAGES, "p1 on feature\n n .. c2 at 1\n a on feature"),
    (GROUPED, IMAGES, "c1 .. c2 on feature"),
    (GROUPED, IMAGES, "c1 .. p on feature"),
    (TIED,    POINTS, "a .. h on feature\n c .. k on feature"),
    (CHAIN,   POINTS, "a .. d on feature\n b on input"),
    (CHAIN,   POINTS, "a on input\n b on input\n c on input"),
    (CHAIN,   POINTS, "a on feature\n b on input\n r on feature\n c on input"),
    (CHAIN,   POINTS, "h at 1\n b on input\n c on feature"),
    (JOINED,  POINTS, "a .. h on feature\n all .. s on feature\n b on input\n c on input"),
    (WORDS,   POINTS, "e .. h on feature\n b on input\n x on input\n s on feature"),
    (LENET,   IMAGES, "c1 .. f on feature\n a on input\n b on feature"),
    (TIED,    POINTS, "a on input\n c on input"),
    (TURNED,  POINTS, "a .. h on feature\n b on input"),
    (TURNED,  POINTS, "b on input\n c at 1"),
]
# fmt: on


def cut_plan(case: Case, workers: int) -> Plan:
    made = model(case.text, Choices(np=workers, partition="cut"))
    plan = project(partition(made), made, "digest", scratch_bytes)
    verify(plan)
    return plan


def batch_of(case: Case, seed: int) -> dict[str, Array]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, (case.batch, 1)).astype(float)
    name, size = ("image", 270) if case.data is IMAGES else ("features", 4)
    return {name: generator.standard_normal((case.batch, size)), "label": labels}


def trained(plan: Plan, case: Case, steps: int) -> tuple[InProcess, list[Array]]:
    machine, seen = InProcess(plan), []
    for step in range(steps):
        seen.append(machine.step(batch_of(case, step), step).copy())
        machine.update(step)
    return machine, seen


def alike(one: Array, many: Array) -> bool:
    """Whether a param is the same to 1e-5 of its norm, of one below 1 to 1e-5.

    Biases begin at zero, and one before a norm has no gradient but rounding.
    """
    return bool(np.linalg.norm(one - many) <= 1e-5 * max(np.linalg.norm(one), 1.0))


def agree(case: Case, steps: int = STEPS) -> None:
    one, seen = trained(cut_plan(case, 1), case, steps)
    many, also = trained(cut_plan(case, case.workers), case, steps)
    np.testing.assert_allclose(also, seen, rtol=1e-5)
    for param in one.plan.params:
        assert alike(one.param(param.name), many.param(param.name)), param.name


@pytest.mark.parametrize(("net", "data", "rules"), [CUTS[k] for k in (2, 4, 8, 11, 15)])
def test_a_cut_trains_the_same_params(net: str, data: str, rules: str) -> None:
    agree(Case(net, data, rules, 2))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [3, 7])
@pytest.mark.parametrize(("net", "data", "rules"), CUTS)
def test_any_cut_trains_the_same_params(net: str, data: str, rules: str, workers: int) -> None:
    agree(Case(net, data, rules, workers))


def test_a_kind_that_cannot_be_cut_says_why() -> None:
    """Every kind is cut on feature by some net above, or has a reason."""
    cut = [name for name, kind in KINDS.items() if kind.feature is not None]
    text = " ".join(net for net, _, _ in CUTS)
    for name in cut:
        assert name in text or name == "reshape", name
    assert all(kind.uncut for kind in KINDS.values() if kind.feature is None)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(50))
def test_random_nets_cut_at_random(seed: int) -> None:
    agree(case(seed))


WRONG = """
    features -> a: dense(40) -> s: softmax -> n: layer_norm -> c: dense(3)
    [c, label] -> loss: softmax_loss"""


@pytest.mark.parametrize(
    ("rules", "code", "words"),
    [
        ("s on feature", "SG0304", "`s` cannot be cut on feature: it brings all values"),
        ("n on feature", "SG0304", "`n` cannot be cut on feature: it brings all values"),
        ("loss on feature", "SG0304", "`loss` cannot be cut on feature: it compares all scores"),
        ("s on input", "SG0304", "`s` cannot be cut on input: its result is no sum"),
        ("a at 3", "SG0303", "there is no worker 3 in a group of 3"),
    ],
)
def test_what_cannot_be_cut_is_told(rules: str, code: str, words: str) -> None:
    block = f"partition cut of small {{\n{rules}\n}}\n"
    text = source(small(WRONG, TRAIN) + block)
    (found,) = diagnostics(text, Choices(np=3, partition="cut"))
    assert (found.code, found.help is not None) == (code, True)
    assert words in found.message


@pytest.mark.parametrize("rules", ["a on feature", "a on feature\n b on feature"])
def test_a_param_that_two_layers_need_in_different_parts_is_refused(rules: str) -> None:
    net = """
    param w ~ gaussian(std = 0.5)
    features -> a: dense(36, weight = w) -> tanh -> b: dense(4, weight = w')
    [b, features] -> euclidean_loss"""
    block = f"partition cut of small {{\n{rules}\n}}\n"
    (found,) = diagnostics(source(small(net, TRAIN) + block), Choices(np=3, partition="cut"))
    assert found.code == "SG0305"
    assert "`a` and `b` share `w`" in found.message
