"""Every updater of the prelude against its formula in NumPy, 100 steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests import programs
from tests.codegen.test_steps import NETS, plan_of
from tests.inprocess import Array, InProcess

Formula = Callable[[Array, Array, dict[str, Array], int, float], Array]


def sgd(w: Array, g: Array, s: dict[str, Array], t: int, rate: float) -> Array:
    s["v"] = 0.9 * s["v"] - rate * (g + 0.01 * w)
    return w + s["v"]


def plain_sgd(w: Array, g: Array, s: dict[str, Array], t: int, rate: float) -> Array:
    return w - rate * g


def clipped(w: Array, g: Array, s: dict[str, Array], t: int, rate: float) -> Array:
    return w - rate * (np.clip(g, -0.02, 0.02) + 0.1 * w)


def nesterov(w: Array, g: Array, s: dict[str, Array], t: int, rate: float) -> Array:
    old, s["v"] = s["v"], 0.9 * s["v"] + rate * g
    return w - (1.9 * s["v"] - 0.9 * old)


def adagrad(w: Array, g: Array, s: dict[str, Array], t: int, rate: float) -> Array:
    s["v"] = s["v"] + g * g
    return w - rate * g / np.sqrt(s["v"] + 1e-8)


def rmsprop(w: Array, g: Array, s: dict[str, Array], t: int, rate: float) -> Array:
    s["v"] = 0.95 * s["v"] + 0.05 * g * g
    return w - rate * g / np.sqrt(s["v"] + 1e-8)


def adadelta(w: Array, g: Array, s: dict[str, Array], t: int, rate: float) -> Array:
    s["v"] = 0.9 * s["v"] + 0.1 * g * g
    change = g * np.sqrt(s["u"] + 1e-6) / np.sqrt(s["v"] + 1e-6)
    s["u"] = 0.9 * s["u"] + 0.1 * change * change
    return w - rate * change


def moments(g: Array, s: dict[str, Array], t: int) -> tuple[Array, Array]:
    s["v"] = 0.9 * s["v"] + 0.1 * g
    s["u"] = 0.999 * s["u"] + 0.001 * g * g
    return s["v"] / (1 - 0.9**t), s["u"] / (1 - 0.999**t)


def adam(w: Array, g: Array, s: dict[str, Array], t: int, rate: float) -> Array:
    m, v = moments(g, s, t)
    return w - rate * m / (np.sqrt(v) + 1e-8)


def adamax(w: Array, g: Array, s: dict[str, Array], t: int, rate: float) -> Array:
    s["v"] = 0.9 * s["v"] + 0.1 * g
    s["u"] = np.maximum(0.999 * s["u"], np.abs(g))
    return w - rate / (1 - 0.9**t) * s["v"] / (s["u"] + 1e-8)


def adamw(w: Array, g: Array, s: dict[str, Array], t: int, rate: float) -> Array:
    m, v = moments(g, s, t)
    return w - rate * (m / (np.sqrt(v) + 1e-8) + 0.05 * w)


# fmt: off
UPDATERS: dict[str, Formula] = {
    "SGD(rate = 0.05, momentum = 0.9, weight_decay = 0.01)": sgd,
    "SGD(rate = 0.05)":                                      plain_sgd,
    "SGD(rate = 0.05, clip = 0.02, weight_decay = 0.1)":     clipped,
    "Nesterov(rate = 0.05, momentum = 0.9)":                 nesterov,
    "AdaGrad(rate = 0.05)":                                  adagrad,
    "RMSProp(rate = 0.01, rho = 0.95)":                      rmsprop,
    "AdaDelta(rate = 1)":                                    adadelta,
    "Adam(rate = 0.01)":                                     adam,
    "AdaMax(rate = 0.01)":                                   adamax,
    "AdamW(rate = 0.01, weight_decay = 0.05)":               adamw,
}
# fmt: on


@pytest.mark.parametrize(("updater", "formula"), UPDATERS.items(), ids=UPDATERS)
def test_updater_follows_its_formula(updater: str, formula: Formula) -> None:
    train = f"train small {{ updater = {updater}  batch = 6  steps = 100 }}\n"
    machine = InProcess(plan_of(programs.small(NETS["perceptron"], train)))
    name, generator = "fc1.weight", np.random.default_rng(0)
    w = machine.param(name)
    states = {"v": np.zeros_like(w), "u": np.zeros_like(w)}
    rate = float(updater.partition("rate = ")[2].split(",")[0].rstrip(")"))
    for step in range(100):
        g = (generator.standard_normal(w.shape) * 0.1).astype(np.float32).astype(np.float64)
        set_gradient(machine, name, g)
        machine.update(step)
        w = formula(w, g, states, step + 1, rate)
    assert np.linalg.norm(machine.param(name) - w) <= 1e-6 * np.linalg.norm(w)


def set_gradient(machine: InProcess, name: str, g: Array) -> None:
    from runtime.packing import pack

    param = next(p for p in machine.plan.params if p.name == name)
    place = slice(param.start, param.start + param.floats)
    pack(param, g.astype(np.float32), machine.gradients[0][place])


def test_scales_of_a_param_act_on_its_own_rate_and_decay() -> None:
    """bias.lr_scale = 2 doubles the step; weight.wd_scale = 0 leaves the weight alone."""
    net = (
        "features -> fc: dense(3, bias.lr_scale = 2, weight.wd_scale = 0)\n"
        "[fc, label] -> softmax_loss"
    )
    train = "train small { updater = SGD(rate = 0.1, weight_decay = 0.5)  batch = 6  steps = 1 }\n"
    machine = InProcess(plan_of(programs.small(net, train)))
    machine.set("fc.bias", np.ones(3))
    weight = machine.param("fc.weight")
    machine.update()
    assert machine.param("fc.bias") == pytest.approx(np.ones(3) - 0.1 * 2 * 0.5)
    assert machine.param("fc.weight") == pytest.approx(weight)
