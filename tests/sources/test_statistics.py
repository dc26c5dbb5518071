"""Mean and deviation computed of the training part."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_files import Block

from singac.settings import SettingValue
from singac.sources import statistics
from singac.sources.prepare import read

MakeBlock = Callable[..., Block]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Features far from zero, and labels that would change both figures if they counted."""
    rows = np.random.default_rng(0).normal(50.0, 3.0, (40, 3))
    text = "".join(f"{a},{b},{c},{n % 4}\n" for n, (a, b, c) in enumerate(rows))
    (tmp_path / "t.csv").write_text(text)
    return tmp_path


def test_one_number_over_the_scaled_training_part(
    table: Path, block: MakeBlock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "_ROWS", 7)
    data = block("csv", path="t.csv", test=0.25, scale=-0.5, mean="computed", std="computed")
    values = -0.5 * read(data.request)["train"]["features"].astype(np.float64)
    features, label = data.facts.fields
    assert len(values) == 30
    assert features.mean == pytest.approx(values.mean(), rel=1e-12)
    assert features.std == pytest.approx(values.std(), rel=1e-12)
    assert (label.scale, label.mean, label.std) == (1.0, 0.0, 1.0)


# fmt: off
EITHER: list[tuple[dict[str, SettingValue], float, float]] = [
    ({"mean": "computed"},               2.0, 1.0),
    ({"std": "computed"},                0.0, math.sqrt(2.5)),
    ({"mean": 7.0, "std": "computed"},   7.0, math.sqrt(2.5)),
    ({"mean": "computed", "std": 3.0},   2.0, 3.0),
]
# fmt: on


@pytest.mark.parametrize(("settings", "mean", "std"), EITHER)
def test_either_is_computed_alone(
    tmp_path: Path, block: MakeBlock, settings: dict[str, SettingValue], mean: float, std: float
) -> None:
    (tmp_path / "t.csv").write_text("0,9\n1,9\n3,9\n4,9\n")
    field = block("csv", path="t.csv", **settings).facts.fields[0]
    assert (field.mean, field.std) == (pytest.approx(mean), pytest.approx(std))


def test_values_that_are_all_the_same_have_no_deviation(tmp_path: Path, block: MakeBlock) -> None:
    (tmp_path / "t.csv").write_text("5,0\n5,1\n")
    fault = block("csv", path="t.csv", std="computed").fault
    assert (fault.code, fault.message) == ("SG0217", "std cannot be computed: every value is 5")
    assert fault.place is not None
    assert fault.place.span.text == "std"
