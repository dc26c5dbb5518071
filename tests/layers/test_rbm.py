"""RBMs: contrastive divergence against the free energy in double, with the same random numbers."""

from __future__ import annotations

import zlib
from statistics import NormalDist

import numpy as np
import pytest

from singac.layers.draws import normal
from singac.model.choices import Choices
from singac.plan.plan import Push
from tests.inprocess import Array, InProcess
from tests.programs import TARGETS, model, plan_of, small
from tests.reference import philox
from tests.reference.expressions import evaluate

BATCH, VISIBLE, HIDDEN, STEP, SEED = 24, 21, 19, 5, 7
NET = """
    features -> below: dense(21, weight ~ gaussian(std = 0.5)) -> sigmoid
             -> vis: rbm_visible(21, kind = VISIBLE, bias ~ gaussian(std = 0.5))
    vis <-> hid: rbm_hidden(19, kind = HIDDEN, weight ~ gaussian(std = 0.5),
                            bias ~ gaussian(std = 1))
"""
DATA = TARGETS.replace('csv"', 'csv", test = 0.25')
TRAIN = f"""train small {{
    algorithm = CD(GIBBS)  updater = SGD(rate = 0.1)  batch = {BATCH}  steps = 9  seed = {SEED}
}}"""
Params = dict[str, Array]


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def uniform(tensor: str, shape: tuple[int, int], step: int = STEP) -> Array:
    """The draws of a tensor, by seed, step, place in the batch and unit."""
    stream = zlib.crc32(tensor.encode()) >> 1
    drawn = philox.uniform(SEED, stream, step, np.arange(shape[0] * shape[1]))
    return drawn.reshape(shape).astype(np.float64)


def sampled(kind: str, mean: Array, u: Array) -> Array:
    if kind == "gaussian":
        return mean + np.vectorize(NormalDist().inv_cdf)(u + 2.0**-25)
    return (mean > u).astype(float)


class Machine:
    """An RBM in double."""

    def __init__(self, visible: str, hidden: str, params: Params) -> None:
        self.visible, self.hidden = visible, hidden
        self.w, self.b, self.c = (params[n] for n in ("hid.weight", "vis.bias", "hid.bias"))

    def up(self, v: Array) -> Array:
        total = v @ self.w + self.c
        return total if self.hidden == "gaussian" else sigmoid(total)

    def down(self, h: Array) -> Array:
        total = h @ self.w.T + self.b
        return total if self.visible == "gaussian" else sigmoid(total)

    def chain(self, data: Array, steps: int) -> list[Array]:
        """The visible units after each Gibbs step from the data."""
        found, v = [], data
        for step in range(steps):
            mean = self.up(v)
            u = uniform(f"hid/sample{step}", mean.shape)
            v = self.down(sampled(self.hidden, mean, u))
            found.append(v)
        return found

    def go_on(self, h: Array, steps: int, at: int) -> tuple[Array, Array]:
        """Visible and hidden units of persistent chains after so many Gibbs steps more."""
        for step in range(1, steps + 1):
            mean = self.down(h)
            v = sampled(self.visible, mean, uniform(f"vis/fantasy{step}", mean.shape, at))
            mean = self.up(v)
            h = sampled(self.hidden, mean, uniform(f"hid/chain{step}", mean.shape, at))
        return v, h

    def free_energy(self, v: Array) -> float:
        """Mean of -log of the sum over h of exp(-E(v, h)), up to a constant."""
        total = v @ self.w + self.c
        by_hidden = total**2 / 2 if self.hidden == "gaussian" else np.logaddexp(0, total)
        own = (v**2).sum(1) / 2 if self.visible == "gaussian" else 0.0
        return float(np.mean(own - v @ self.b - by_hidden.sum(1)))

    def slope(self, param: Array, data: Array, last: Array) -> Array:
        """Finite differences of the free energy of the data over that of the chain's end."""
        found = np.zeros_like(param)
        for place in np.ndindex(param.shape):
            kept, values = param[place], []
            for move in (1e-5, -1e-5):
                param[place] = kept + move
                values.append(self.free_energy(data) - self.free_energy(last))
            param[place] = kept
            found[place] = (values[0] - values[1]) / 2e-5
        return found


def trained(
    visible: str, hidden: str, gibbs: int, workers: int, net: str = NET, algorithm: str = "CD"
) -> InProcess:
    net = net.replace("VISIBLE", visible).replace("HIDDEN", hidden)
    text = small(net, TRAIN.replace("CD(GIBBS)", f"{algorithm}({gibbs})"), data=DATA)
    return InProcess(plan_of(model(text, Choices(np=workers)), scratch=1 << 20))


def batch(seed: int = 3) -> Params:
    generator = np.random.default_rng(seed)
    features = generator.standard_normal((BATCH, 4)).astype(np.float32).astype(float)
    return {"features": features, "label": np.zeros((BATCH, 1))}


def close(found: Array, expected: Array) -> None:
    assert np.linalg.norm(found - expected) <= 1e-4 * np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("visible", "hidden", "gibbs", "workers"),
    [
        ("binary", "binary", 1, 1),
        ("binary", "binary", 3, 3),
        ("binary", "gaussian", 2, 2),
        ("gaussian", "binary", 2, 1),
        ("gaussian", "gaussian", 1, 3),
    ],
)
def test_contrastive_divergence(visible: str, hidden: str, gibbs: int, workers: int) -> None:
    machine = trained(visible, hidden, gibbs, workers)
    params = {p.name: machine.param(p.name) for p in machine.plan.params}
    given = batch()
    data = sigmoid(given["features"] @ params["below.weight"] + params["below.bias"])
    rbm = Machine(visible, hidden, params)
    chain = rbm.chain(data, gibbs)
    (loss,) = machine.step(given, STEP) / BATCH
    assert loss == pytest.approx(((data - chain[0]) ** 2).sum(1).mean(), rel=1e-5)
    for name, param in (("hid.weight", rbm.w), ("vis.bias", rbm.b), ("hid.bias", rbm.c)):
        close(machine.gradient(name), rbm.slope(param, data, chain[-1]))
    (tested,) = machine.step(given, STEP, phase="test") / BATCH
    again = rbm.down(rbm.up(data))
    assert tested == pytest.approx(((data - again) ** 2).sum(1).mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("visible", "hidden", "gibbs", "workers"),
    [("binary", "binary", 1, 3), ("binary", "gaussian", 2, 1), ("gaussian", "binary", 1, 2)],
)
def test_persistent_chains(visible: str, hidden: str, gibbs: int, workers: int) -> None:
    """They start at zero and go on from step to step, a row of the batch each, tests between."""
    machine = trained(visible, hidden, gibbs, workers, algorithm="PCD")
    params = {p.name: machine.param(p.name) for p in machine.plan.params}
    rbm, chain = Machine(visible, hidden, params), np.zeros((BATCH, HIDDEN))
    for step in (STEP, STEP + 1):
        given = batch(step)
        data = sigmoid(given["features"] @ params["below.weight"] + params["below.bias"])
        machine.step(given, step, phase="test")
        (loss,) = machine.step(given, step) / BATCH
        first = sampled(hidden, rbm.up(data), uniform("hid/sample0", (BATCH, HIDDEN), step))
        again = rbm.down(first)
        assert loss == pytest.approx(((data - again) ** 2).sum(1).mean(), rel=1e-5)
        end, chain = rbm.go_on(chain, gibbs, step)
        for name, param in (("hid.weight", rbm.w), ("vis.bias", rbm.b), ("hid.bias", rbm.c)):
            close(machine.gradient(name), rbm.slope(param, data, end))


def test_layers_below_learn_nothing() -> None:
    plan = trained("binary", "binary", 1, 2).plan
    for process in plan.processes:
        pushed = [plan.params[s.param].name for s in process.train.steps if isinstance(s, Push)]
        assert sorted(pushed) == ["hid.bias", "hid.weight", "vis.bias"]


STACK = """
    features -> v: rbm_visible(4, bias = none) <-> h: rbm_hidden(3, bias ~ gaussian(std = 1))
             -> out: dense(1)
    [out, label] -> euclidean_loss
"""
DENSE = """
    features -> h: dense(3, bias ~ gaussian(std = 1)) -> sigmoid -> out: dense(1)
    [out, label] -> euclidean_loss
"""


def test_back_propagation_takes_an_rbm_for_a_dense_layer() -> None:
    plain = "train small { updater = SGD(rate = 0.1)  batch = 24  steps = 9 }"
    found = [
        InProcess(plan_of(model(small(net, plain, data=DATA)), scratch=1 << 20))
        for net in (STACK, DENSE)
    ]
    for machine in found:
        machine.set("h.weight", np.arange(12.0).reshape(4, 3) / 10)
        machine.step(batch())
    for name in ("h.weight", "h.bias", "out.weight"):
        close(*(machine.gradient(name) for machine in found))


def test_the_stored_weight_may_be_the_transposed_one() -> None:
    """`weight = w'` of the hidden layer: W' is stored, and so is its gradient."""
    turned = NET.replace("HIDDEN, weight ~ gaussian(std = 0.5)", "HIDDEN, weight = w'")
    first, second = (
        trained("binary", "binary", 2, 1, net)
        for net in (NET, "    param w ~ constant(0)" + turned)
    )
    second.set("w", first.param("hid.weight").T)
    for machine in (first, second):
        machine.step(batch(), STEP)
    close(second.gradient("w").T, first.gradient("hid.weight"))
    close(second.gradient("hid.bias"), first.gradient("hid.bias"))


def test_normal_draws_are_quantiles() -> None:
    u = np.array([0.0, 1e-6, 0.003, 0.3, 0.5, 0.9, 0.999, 1 - 2.0**-24])
    u = np.floor(u * 2**24) / 2**24
    found = evaluate(normal(1), {}, draws=lambda *_: u.reshape(1, -1))
    expected = np.vectorize(NormalDist().inv_cdf)(u + 2.0**-25)
    np.testing.assert_allclose(found.reshape(-1), expected, rtol=2e-6, atol=1e-6)
