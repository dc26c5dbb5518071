"""The prelude's updaters against their papers, written out in NumPy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from singac.layers.expression import Constant, variables
from singac.model.definitions import built_in
from singac.model.types import CLIP_SCALE, Update
from tests.programs import TRAIN, model, small
from tests.reference.updates import apply, states_of

NET = "features -> fc: dense(3)\n[fc, label] -> softmax_loss"
RATE = 0.05
Array = np.ndarray


def update_of(written: str) -> Update:
    return model(small(NET, train=TRAIN.replace("SGD(rate = 0.1)", written))).train.update


def gradients(steps: int) -> list[Array]:
    random = np.random.default_rng(5)
    return [random.normal(size=7) for _ in range(steps)]


def trained(update: Update, steps: int, decay: float = 0.0) -> Array:
    w = np.linspace(-1.0, 1.0, 7)
    states = states_of(update, w)
    for step, g in enumerate(gradients(steps), 1):
        w = apply(update, w, g, states, RATE, decay, step)
    return w


# Each rule gives w after step t, counted from 1, by its gradient g; s are its states.


def sgd(w: Array, g: Array, s: dict[str, Array], t: int) -> Array:
    return w - RATE * g


def momentum(w: Array, g: Array, s: dict[str, Array], t: int) -> Array:
    s["v"] = 0.9 * s.get("v", 0.0) + RATE * g
    return w - s["v"]


def nesterov(w: Array, g: Array, s: dict[str, Array], t: int) -> Array:
    """Sutskever et al. 2013 written for the point looked ahead to, w = theta + 0.9 v."""
    before = s.get("v", np.zeros_like(w))
    s["v"] = 0.9 * before - RATE * g
    theta = w - 0.9 * before + s["v"]
    return theta + 0.9 * s["v"]


def adagrad(w: Array, g: Array, s: dict[str, Array], t: int) -> Array:
    s["h"] = s.get("h", 0.0) + g**2
    return w - RATE * g / np.sqrt(s["h"] + 1e-8)


def rmsprop(w: Array, g: Array, s: dict[str, Array], t: int) -> Array:
    s["h"] = 0.9 * s.get("h", 0.0) + 0.1 * g**2
    return w - RATE * g / np.sqrt(s["h"] + 1e-8)


def adadelta(w: Array, g: Array, s: dict[str, Array], t: int) -> Array:
    s["h"] = 0.9 * s.get("h", 0.0) + 0.1 * g**2
    change = np.sqrt(s.get("u", 0.0) + 1e-6) / np.sqrt(s["h"] + 1e-6) * g
    s["u"] = 0.9 * s.get("u", 0.0) + 0.1 * change**2
    return w - RATE * change


def adam(w: Array, g: Array, s: dict[str, Array], t: int) -> Array:
    return w - RATE * _adam_change(g, s, t)


def _adam_change(g: Array, s: dict[str, Array], t: int) -> Array:
    s["m"] = 0.9 * s.get("m", 0.0) + 0.1 * g
    s["v"] = 0.999 * s.get("v", 0.0) + 0.001 * g**2
    return s["m"] / (1 - 0.9**t) / (np.sqrt(s["v"] / (1 - 0.999**t)) + 1e-8)


def adamax(w: Array, g: Array, s: dict[str, Array], t: int) -> Array:
    s["m"] = 0.9 * s.get("m", 0.0) + 0.1 * g
    s["u"] = np.maximum(0.999 * s.get("u", 0.0), np.abs(g))
    return w - RATE / (1 - 0.9**t) * s["m"] / (s["u"] + 1e-8)


def adamw(w: Array, g: Array, s: dict[str, Array], t: int) -> Array:
    return w - RATE * (_adam_change(g, s, t) + 0.01 * w)


# fmt: off
RULES = {
    "SGD(rate = 1)":                 sgd,
    "SGD(rate = 1, momentum = 0.9)": momentum,
    "Nesterov(rate = 1)":            nesterov,
    "AdaGrad(rate = 1)":             adagrad,
    "RMSProp(rate = 1)":             rmsprop,
    "AdaDelta":                      adadelta,
    "Adam":                          adam,
    "AdaMax":                        adamax,
    "AdamW":                         adamw,
}
# fmt: on


@pytest.mark.parametrize("written", RULES)
def test_five_steps(written: str) -> None:
    update = update_of(written)
    w = np.linspace(-1.0, 1.0, 7)
    states: dict[str, Array] = {}
    for step, g in enumerate(gradients(5), 1):
        w = RULES[written](w, g, states, step)
    decay = 0.01 if written == "AdamW" else 0.0
    np.testing.assert_allclose(trained(update, 5, decay), w, rtol=1e-12)


def test_every_updater_of_the_prelude_is_tested() -> None:

    assert list(built_in()[1]) == list(dict.fromkeys(w.split("(")[0] for w in RULES))


def test_clipping_comes_before_decay() -> None:
    update = update_of("SGD(rate = 1, clip = 0.5, weight_decay = 0.1)")
    w = np.linspace(-1.0, 1.0, 7)
    g = gradients(1)[0]
    expected = w - RATE * (np.clip(g, -0.5, 0.5) + 0.1 * w)
    np.testing.assert_allclose(trained(update, 1, 0.1), expected)


def test_the_norm_acts_before_all_else() -> None:
    """The factor is 1 where nobody has set it; here it is set by hand."""
    update = update_of("SGD(rate = 1, clip = 0.5, clip_norm = 3, weight_decay = 0.1)")
    assert update.clip_norm == 3.0
    assert trained(update, 1, 0.1) == pytest.approx(
        trained(update_of("SGD(rate = 1, clip = 0.5, weight_decay = 0.1)"), 1, 0.1)
    )
    halved = tuple((n, Constant(0.5) if n == CLIP_SCALE else e) for n, e in update.scalars)
    w = np.linspace(-1.0, 1.0, 7)
    g = gradients(1)[0]
    expected = w - RATE * (np.clip(g * 0.5, -0.5, 0.5) + 0.1 * w)
    np.testing.assert_allclose(trained(replace(update, scalars=halved), 1, 0.1), expected)


def test_what_no_element_changes_is_computed_once_a_step() -> None:
    """1 - beta^t stands among the scalars, in double, and no assign reads `step` itself."""
    update = update_of("Adam")
    assert len(update.scalars) <= 4
    late = dict(zip((n for n, _ in update.scalars), update.values(0.1, 0.0, 10**6), strict=True))
    assert "step" not in late
    assert late["rate"] == 0.1
    assert set(update.states) == {("m", 0.0), ("v", 0.0)}
    assert all(variables(e) for _, e in update.assigns)
