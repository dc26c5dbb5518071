"""Mean and deviation, computed of the training part or read from files."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_files import Block

from singac.diagnostics import Exit
from singac.settings import SettingValue
from singac.sources import statistics
from singac.sources.prepare import prepare, prepared, read

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


# -- files -----------------------------------------------------------------------------------------

VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Four examples of three values, and a mean and a deviation of each value."""
    np.savez(tmp_path / "d.npz", features=VALUES, label=np.arange(4))
    np.save(tmp_path / "mean.npy", np.array([1.0, 2.0, 3.0]))
    np.save(tmp_path / "std.npy", np.array([[2.0], [4.0], [8.0]]))
    return tmp_path


# fmt: off
FILES: list[tuple[dict[str, SettingValue], list[float] | float, list[float] | float]] = [
    ({"mean": "mean.npy"},                     [1, 2, 3], 1.0),
    ({"mean": "mean.npy", "std": "std.npy"},   [1, 2, 3], [2, 4, 8]),
    ({"mean": 5.0, "std": "std.npy"},          5.0,       [2, 4, 8]),
    ({"mean": "mean.npy", "std": "computed"},  [1, 2, 3], float((0.5 * VALUES[1:]).std())),
]
# fmt: on


@pytest.mark.parametrize(("given", "mean", "std"), FILES)
def test_a_file_has_a_value_for_each_value(
    files: Path,
    block: MakeBlock,
    given: dict[str, SettingValue],
    mean: list[float] | float,
    std: list[float] | float,
) -> None:
    held_out = block("npz", path="d.npz", scale=0.5, test=0.25, **given)
    folder = prepare(held_out.request, held_out.facts, str(files / "cache"))
    rows = read(held_out.request)
    if "computed" in given.values():
        std = float((0.5 * rows["train"]["features"].astype(np.float64)).std())
    for part in ("train", "test"):
        wanted = (0.5 * rows[part]["features"] - np.array(mean)) / np.array(std)
        found = np.load(f"{folder}/{part}.features.npy")
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
        np.testing.assert_array_equal(np.load(f"{folder}/{part}.label.npy"), rows[part]["label"])
    field = held_out.facts.fields[0]
    assert (field.scale, field.mean, field.std) == (1.0, 0.0, 1.0)


def test_another_mean_is_prepared_anew(files: Path, block: MakeBlock) -> None:
    data = block("npz", path="d.npz", mean="mean.npy")
    prepare(data.request, data.facts, str(files / "cache"))
    assert prepared(data.request, str(files / "cache")) is not None
    np.save(files / "mean.npy", np.zeros((3, 1, 1)))
    assert prepared(data.request, str(files / "cache")) is None


# fmt: off
FAULTS = {
    "other size": ([1.0, 2.0],      "mean", "SG0212", Exit.FAILED,  "`mean` of 2 values does not"),
    "zero":       ([1.0, 0.0, 1.0], "std",  "SG0248", Exit.DAMAGED, "value 2 is 0; what divides"),
    "negative":   ([1.0, 1.0, -2],  "std",  "SG0248", Exit.DAMAGED, "value 3 is -2"),
    "nan":        ([1.0, math.nan], "mean", "SG0227", Exit.DAMAGED, "is not finite"),
    "text":       (["a"],           "mean", "SG0236", Exit.DAMAGED, "holds no numbers"),
}
# fmt: on


@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_a_file(files: Path, block: MakeBlock, name: str) -> None:
    values, setting, code, exit, message = FAULTS[name]
    np.save(files / "m.npy", np.array(values))
    fault = block("npz", path="d.npz", **{setting: "m.npy"}).fault
    assert (fault.code, fault.exit, fault.file) == (code, exit, str(files / "m.npy"))
    assert message in fault.message
    assert fault.place is not None
    assert fault.place.span.text == setting


def test_a_file_that_is_missing(files: Path, block: MakeBlock) -> None:
    fault = block("npz", path="d.npz", mean="meen.npy").fault
    assert (fault.code, fault.help) == ("SG0210", f"did you mean {files / 'mean.npy'}?")
