"""Initial values: their statistics, and what they depend on."""

from __future__ import annotations

import math

import numpy as np
import pytest

from runtime.checkpoints.initialise import initial
from singac.diagnostics import Report, Source, Span
from singac.initialisers import INITIALISERS, Fan, check_initialiser, fan_of
from singac.plan.plan import Initialiser, Layout, Param

SHAPE = (200, 300)
SPAN = Span(Source("net.singa", "uniform"), 0, 7)
Settings = dict[str, float]


def param(
    kind: str, settings: Settings, name: str = "fc1.weight", shape: tuple[int, ...] = SHAPE
) -> Param:
    how = Initialiser(kind, tuple(settings.items()))
    return Param(name, shape, Layout.PANELS, 0, math.prod(shape), how)


LECUN, GLOROT = math.sqrt(3 / 200), math.sqrt(6 / (200 + 300))

# Of each distribution: mean, standard deviation, and the bound where it has one.
# fmt: off
STATISTICS: list[tuple[str, Settings, float, float, float]] = [
    ("constant",             {"value": 0.25},             0.25, 0.0,                   0.25),
    ("gaussian",             {"mean": 1.0, "std": 0.5},   1.0,  0.5,                   math.inf),
    ("uniform",              {"low": -0.2, "high": 0.6},  0.2,  0.8 / math.sqrt(12),   0.6),
    ("gaussian_sqrt_fan_in", {"std": 2.0},                0.0,  2 / math.sqrt(200),    math.inf),
    ("uniform_sqrt_fan_in",  {"scale": 2.0},              0.0,  2 / math.sqrt(200),    2 * LECUN),
    ("glorot",               {"scale": 1.0},              0.0,  math.sqrt(2 / 500),    GLOROT),
    ("he",                   {},                          0.0,  math.sqrt(2 / 200),    math.inf),
]
# fmt: on


@pytest.mark.parametrize(("kind", "settings", "mean", "std", "bound"), STATISTICS)
def test_statistics(kind: str, settings: Settings, mean: float, std: float, bound: float) -> None:
    assert list(settings) == [s.name for s in INITIALISERS[kind].settings]
    values = initial(param(kind, settings), seed=5)
    assert values.shape == SHAPE
    assert values.dtype == np.float32
    error = std / math.sqrt(values.size)  # of the mean; that of the deviation is smaller
    assert values.mean(dtype=np.float64) == pytest.approx(mean, abs=4 * error)
    assert values.std(dtype=np.float64) == pytest.approx(std, abs=4 * error)
    assert np.abs(values).max() <= np.float32(bound)
    if math.isfinite(bound):
        assert np.abs(values).max() > 0.999 * bound


def test_every_initialiser_is_tested() -> None:
    assert [kind for kind, *_ in STATISTICS] == list(INITIALISERS)


def test_gaussians_are_gaussian() -> None:
    values = initial(param("gaussian", {"mean": 0.0, "std": 1.0}), seed=5).astype(np.float64)
    assert (np.abs(values) < 1).mean() == pytest.approx(0.6827, abs=0.006)
    assert (np.abs(values) < 2).mean() == pytest.approx(0.9545, abs=0.004)


def test_values_depend_on_seed_and_name_alone() -> None:
    draw = {"mean": 0.0, "std": 1.0}
    first = initial(param("gaussian", draw), seed=5)
    np.testing.assert_array_equal(first, initial(param("gaussian", draw), seed=5))
    for other in (
        initial(param("gaussian", draw), seed=6),
        initial(param("gaussian", draw, name="fc2.weight"), seed=5),
    ):
        assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.02


def test_fans_of_canonical_shapes() -> None:
    assert fan_of((784, 256)) == Fan(784, 256)
    assert fan_of((96, 3, 11, 11)) == Fan(363, 11616)
    assert fan_of((256,)) == Fan(1, 1)


def _refused(kind: str, settings: Settings, shape: tuple[int, ...]) -> list[str]:
    report = Report()
    fine = check_initialiser(kind, settings, shape, SPAN, report)
    assert fine is not bool(report.found)
    return [d.code for d in report.found]


def test_distributions_that_do_not_suit() -> None:
    assert _refused("glorot", {"scale": 1.0}, (10,)) == ["SG0204"]
    assert _refused("glorot", {"scale": 1.0}, (10, 10)) == []
    assert _refused("uniform", {"low": 1.0, "high": -1.0}, (10,)) == ["SG0205"]
    assert _refused("uniform", {"low": 1.0, "high": 1.0}, (10,)) == []
