"""Every updater and schedule against its formula in NumPy, by the params 100 steps leave."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from singac.model.choices import Choices
from singac.model.definitions import built_in
from singac.schedules import SCHEDULES
from tests import programs
from tests.serving import Array, Serving

States = dict[str, Array]
Formula = Callable[[Array, Array, States, int, float], Array]
Rate = Callable[[int], float]

STEPS = 100
NET = """features -> fc1: dense(7, bias.lr_scale = 2, bias.wd_scale = 0.5) -> tanh
         -> fc2: dense(3, weight.wd_scale = 0)
    [fc2, label] -> softmax_loss"""
SCALES = {"fc1.bias": (2.0, 0.5), "fc2.weight": (1.0, 0.0)}  # of the rate and of the decay
OWN = """
updater Remembering(rate, keep = 0.8) {
    state slow = 1
    state fast = 0
    fast = g / step
    slow = keep * slow + (1 - keep) * abs(fast)
    w = w - rate * fast / slow
}
"""


def decayed(formula: Formula, decay: float) -> Formula:
    """Weight decay comes to the gradient before the updater."""
    return lambda w, g, s, t, rate: formula(w, g + decay * s["decays"] * w, s, t, rate)


def sgd(w: Array, g: Array, s: States, t: int, rate: float) -> Array:
    return w - rate * g


def momentum(w: Array, g: Array, s: States, t: int, rate: float) -> Array:
    s["v"] = 0.9 * s["v"] - rate * g
    return w + s["v"]


def clipped(w: Array, g: Array, s: States, t: int, rate: float) -> Array:
    """By value first, then the decay."""
    return w - rate * (np.clip(g, -0.02, 0.02) + 0.1 * s["decays"] * w)


def shrunk(w: Array, g: Array, s: States, t: int, rate: float) -> Array:
    """By the norm of all gradients first, then the decay."""
    return w - rate * (g * min(1.0, 0.3 / float(s["norm"])) + 0.1 * s["decays"] * w)


def nesterov(w: Array, g: Array, s: States, t: int, rate: float) -> Array:
    old, s["v"] = s["v"], 0.9 * s["v"] + rate * g
    return w - (1.9 * s["v"] - 0.9 * old)


def adagrad(w: Array, g: Array, s: States, t: int, rate: float) -> Array:
    s["v"] = s["v"] + g * g
    return w - rate * g / np.sqrt(s["v"] + 1e-8)


def rmsprop(w: Array, g: Array, s: States, t: int, rate: float) -> Array:
    s["v"] = 0.95 * s["v"] + 0.05 * g * g
    return w - rate * g / np.sqrt(s["v"] + 1e-8)


def adadelta(w: Array, g: Array, s: States, t: int, rate: float) -> Array:
    s["v"] = 0.9 * s["v"] + 0.1 * g * g
    change = g * np.sqrt(s["u"] + 1e-6) / np.sqrt(s["v"] + 1e-6)
    s["u"] = 0.9 * s["u"] + 0.1 * change * change
    return w - rate * change


def moments(g: Array, s: States, t: int) -> tuple[Array, Array]:
    s["v"] = 0.9 * s["v"] + 0.1 * g
    s["u"] = 0.999 * s["u"] + 0.001 * g * g
    return s["v"] / (1 - 0.9**t), s["u"] / (1 - 0.999**t)


def adam(w: Array, g: Array, s: States, t: int, rate: float) -> Array:
    m, v = moments(g, s, t)
    return w - rate * m / (np.sqrt(v) + 1e-8)


def adamax(w: Array, g: Array, s: States, t: int, rate: float) -> Array:
    s["v"] = 0.9 * s["v"] + 0.1 * g
    s["u"] = np.maximum(0.999 * s["u"], np.abs(g))
    return w - rate / (1 - 0.9**t) * s["v"] / (s["u"] + 1e-8)


def adamw(w: Array, g: Array, s: States, t: int, rate: float) -> Array:
    m, v = moments(g, s, t)
    return w - rate * (m / (np.sqrt(v) + 1e-8) + 0.05 * s["decays"] * w)


def remembering(w: Array, g: Array, s: States, t: int, rate: float) -> Array:
    fast = g / t
    s["ones"] = 0.8 * s["ones"] + 0.2 * np.abs(fast)
    return w - rate * fast / s["ones"]


# fmt: off
UPDATERS: dict[str, Formula] = {
    "SGD(rate = 0.05)":                                          sgd,
    "SGD(rate = 0.05, momentum = 0.9, weight_decay = 0.01)":     decayed(momentum, 0.01),
    "SGD(rate = 0.05, clip = 0.02, weight_decay = 0.1)":         clipped,
    "SGD(rate = 0.05, clip_norm = 0.3, weight_decay = 0.1)":     shrunk,
    "Nesterov(rate = 0.05, momentum = 0.9)":                     nesterov,
    "Nesterov(rate = 0.05, momentum = 0.9, weight_decay = 0.1)": decayed(nesterov, 0.1),
    "AdaGrad(rate = 0.05)":                                      adagrad,
    "RMSProp(rate = 0.01, rho = 0.95)":                          rmsprop,
    "RMSProp(rate = 0.01, rho = 0.95, weight_decay = 0.1)":      decayed(rmsprop, 0.1),
    "AdaDelta(rate = 1)":                                        adadelta,
    "Adam(rate = 0.01)":                                         adam,
    "AdaMax(rate = 0.01)":                                       adamax,
    "AdamW(rate = 0.01, weight_decay = 0.05)":                   adamw,
    "Remembering(rate = 0.05)":                                  remembering,
}
RATES: dict[str, Rate] = {
    "fixed(0.05)":                                       lambda t: 0.05,
    "step(0.1, gamma = 0.5, every = 30)":                lambda t: 0.1 * 0.5 ** (t // 30),
    "fixed_step(0.1, 40, 0.01, 70, 0.02)":
        lambda t: 0.1 if t < 40 else 0.01 if t < 70 else 0.02,
    "linear(0.1, final = 0.02, every = 80)":             lambda t: 0.1 - 0.08 * min(t / 80, 1),
    "exponential(0.1, every = 25)":                      lambda t: 0.1 * 2 ** (-t / 25),
    "inverse(0.1, gamma = 0.05, power = 0.75)":          lambda t: 0.1 * (1 + 0.05 * t) ** -0.75,
    "inverse_t(0.1, every = 20)":                        lambda t: 0.1 / (1 + t / 20),
    "cosine(0.1, every = 90, final = 0.01)":
        lambda t: 0.01 + 0.09 * (1 + math.cos(math.pi * min(t / 90, 1))) / 2,
    "warmup(10, then = step(0.1, gamma = 0.5, every = 30))":
        lambda t: 0.1 * (t + 1) / 10 if t < 10 else 0.1 * 0.5 ** ((t - 10) // 30),
}
# fmt: on


def test_every_updater_and_schedule_has_its_formula_here() -> None:
    _, updaters = built_in()
    tested = dict.fromkeys(text.partition("(")[0] for text in UPDATERS)
    assert list(updaters) == [name for name in tested if name != "Remembering"]
    assert list(SCHEDULES) == [text.partition("(")[0] for text in RATES]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("updater", "formula"), UPDATERS.items(), ids=UPDATERS)
def test_updater_follows_its_formula(updater: str, formula: Formula, workers: int) -> None:
    rate = float(updater.partition("rate = ")[2].split(",")[0].rstrip(")"))
    follows(updater, formula, lambda _: rate, workers)


@pytest.mark.parametrize(("schedule", "rate"), RATES.items(), ids=RATES)
def test_schedule_follows_its_formula(schedule: str, rate: Rate) -> None:
    follows(f"SGD(rate = {schedule}, momentum = 0.9)", momentum, rate, 1)


def follows(updater: str, formula: Formula, rate: Rate, workers: int) -> None:
    """All params after 100 steps with gradients drawn anew in each."""
    train = f"train small {{ updater = {updater}  batch = 6  steps = {STEPS} }}\n"
    made = programs.plan(programs.small(NET, train, extra=OWN), Choices(np=workers))
    serving, random = Serving(made), np.random.default_rng(0)
    values = {p.name: serving.param(p.name) for p in made.params}
    states = {name: fresh(name, w) for name, w in values.items()}
    for step in range(STEPS):
        given = [{name: drawn(random, w) for name, w in values.items()} for _ in range(workers)]
        assert serving.step(step, given)
        sums = {name: sum(g[name] for g in given) for name in values}
        norm = np.sqrt(sum(np.sum(np.square(g)) for g in sums.values()))
        for name, g in sums.items():
            states[name]["norm"] = norm
            scale, _ = SCALES.get(name, (1.0, 1.0))
            values[name] = formula(values[name], g, states[name], step + 1, rate(step) * scale)
    for name, w in values.items():
        assert np.linalg.norm(serving.param(name) - w) <= 1e-6 * np.linalg.norm(w), name


def fresh(name: str, w: Array) -> States:
    _, decays = SCALES.get(name, (1.0, 1.0))
    zeros = {"v": np.zeros_like(w), "u": np.zeros_like(w)}
    return zeros | {"ones": np.ones_like(w), "decays": np.array(decays)}


def drawn(random: np.random.Generator, w: Array) -> Array:
    """Values that float32 has, so that both sides see the same."""
    return (random.standard_normal(w.shape) * 0.1).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_not_finite_is_noticed(value: float) -> None:
    made = programs.plan(programs.small(NET), Choices(np=2))
    for place in (("fc1.weight", (3, 6)), ("fc2.bias", (0,))):
        given = [{p.name: np.ones(p.shape) for p in made.params} for _ in range(2)]
        assert Serving(made).step(0, given)
        given[1][place[0]][place[1]] = value
        assert not Serving(made).step(0, given)
