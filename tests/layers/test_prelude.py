"""Every layer and updater of the prelude against its mathematics."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from singac.diagnostics import Report, Source
from singac.layers.equation import X, slope_by_result
from singac.layers.expression import Expression, derivative, variables
from singac.model import equations
from singac.model.definitions import prelude
from singac.model.equations import PointwiseLayer, with_settings
from singac.model.program import gather
from singac.syntax.parse import parse
from singac.syntax.tree import LayerDef
from tests.reference.expressions import evaluate


def layers() -> dict[str, PointwiseLayer]:
    report = Report()
    blocks = gather(parse(prelude()), (), report)
    found = {n: equations.layer(d, {}, report) for n, d in blocks.layers.items()}
    assert not report.found
    return {n: layer for n, layer in found.items() if layer is not None}


LAYERS = layers()
AT = np.array([-30.0, -3.1, -1.1, -0.2, 0.3, 0.9, 2.4, 30.0])
CORNERED = ("relu", "leaky_relu", "selu", "abs")  # at 0
FROM_ZERO = ("log", "sqrt")  # of positive numbers alone
SELU, SELU_LOW = 1.05070099, 1.75809934
_erf = np.vectorize(math.erf)

# fmt: off
EXPECTED = {
    "identity":     lambda x: x,
    "relu":         lambda x: np.where(x > 0, x, 0.0),
    "leaky_relu":   lambda x: np.where(x > 0, x, 0.01 * x),
    "sigmoid":      lambda x: 1 / (1 + np.exp(-x)),
    "hard_sigmoid": lambda x: np.clip((x + 3) / 6, 0, 1),
    "tanh":         np.tanh,
    "hard_tanh":    lambda x: np.clip(x, -1, 1),
    "stanh":        lambda x: 1.7159047 * np.tanh(0.66666667 * x),
    "elu":          lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "selu":         lambda x: np.where(x > 0, SELU * x, SELU_LOW * np.expm1(np.minimum(x, 0))),
    "softplus":     lambda x: np.logaddexp(0.0, x),
    "swish":        lambda x: x / (1 + np.exp(-x)),
    "gelu":         lambda x: x * 0.5 * (1 + _erf(x * 0.70710678)),
    "mish":         lambda x: x * np.tanh(np.logaddexp(0.0, x)),
    "softsign":     lambda x: x / (1 + np.abs(x)),
    "square":       np.square,
    "abs":          np.abs,
    "exp":          np.exp,
    "log":          np.log,
    "sqrt":         np.sqrt,
}
# fmt: on


def y_of(name: str) -> Expression:
    layer = LAYERS[name]
    defaults = {f.name: f.default for f in layer.formals}
    assert None not in defaults.values()
    return with_settings(layer.y, {n: v for n, v in defaults.items() if v is not None})


def at_of(name: str) -> np.ndarray:
    """Where a layer is defined."""
    return AT[AT > 0] if name in FROM_ZERO else AT


def test_every_layer_is_expected() -> None:
    assert list(LAYERS) == list(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_values(name: str) -> None:
    np.testing.assert_allclose(
        evaluate(y_of(name), {"x": at_of(name)}),
        EXPECTED[name](at_of(name)),
        rtol=1e-12,
        atol=1e-15,
    )


@pytest.mark.parametrize("name", EXPECTED)
def test_slope_by_result(name: str) -> None:
    """What backward computes, of source and result, is the derivative."""
    y = y_of(name)
    # 0 is where zeros in the data lead.
    at = at_of(name)[1:-1]
    at = at if name in (*CORNERED, *FROM_ZERO) else np.array([*at, 0.0])
    known = {"x": at, "y": evaluate(y, {"x": at})}
    slope = np.broadcast_to(evaluate(slope_by_result(y), known), at.shape)
    high, low = evaluate(y, {"x": at + 1e-6}), evaluate(y, {"x": at - 1e-6})
    np.testing.assert_allclose(slope, (high - low) / 2e-6, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(slope, np.broadcast_to(evaluate(derivative(y, X), known), at.shape))


@pytest.mark.parametrize("name", ["relu", "sigmoid", "tanh", "stanh", "exp", "sqrt"])
def test_backward_needs_no_source(name: str) -> None:
    assert variables(slope_by_result(y_of(name))) == ("y",)


@pytest.mark.parametrize("name", [n for n in EXPECTED if n not in ("exp", *FROM_ZERO)])
def test_far_from_zero_nothing_overflows(name: str) -> None:
    """As float32 computes it: y and its slope are finite at plus and minus a thousand."""
    y = y_of(name)
    at = np.array([-1000.0, 1000.0])
    known = {"x": at, "y": evaluate(y, {"x": at})}
    assert np.isfinite(known["y"]).all()
    assert np.isfinite(evaluate(slope_by_result(y), known)).all()


@pytest.mark.parametrize(
    ("text", "core"),
    [
        ("-tanh(x / 4) * 2 + 1", np.tanh),
        ("3 + sigmoid(x / 4) / 5", lambda x: 1 / (1 + np.exp(-x))),
        ("2 * exp(x / 4) - 1", np.exp),
    ],
)
def test_affine_steps_are_peeled(text: str, core: Callable[[np.ndarray], np.ndarray]) -> None:
    """The slope of a function scaled and shifted is written by its result too."""
    (item,) = parse(Source("odd.singa", f"layer odd {{ y = {text} }}")).items
    assert isinstance(item, LayerDef)
    layer = equations.layer(item, {}, Report())
    assert layer is not None
    assert variables(slope_by_result(layer.y)) == ("y",)
    at = np.array([-1.0, 0.5])
    known = {"x": at, "y": evaluate(layer.y, {"x": at})}
    factor = {"-": -2.0, "3": 0.2, "2": 2.0}[text[0]]
    expected = factor * (core((at + 1e-4) / 4) - core((at - 1e-4) / 4)) / 2e-4
    np.testing.assert_allclose(evaluate(slope_by_result(layer.y), known), expected, rtol=1e-6)
