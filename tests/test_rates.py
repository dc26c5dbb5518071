"""The rates that decide what is on auto: measured, kept, read, refused."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from singac.cli import main
from singac.diagnostics import Failed
from singac.partition.machine import BUILT_IN, Machine
from singac.plan.encode import from_json
from singac.verbs import rates

MLP = str(Path(__file__).parent.parent / "models/mlp.singa")
SLOW_NETWORK = Machine("by hand", exchange=1e6, latency=1e-3)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A calibration, while the user has none."""
    monkeypatch.setenv("SINGAC_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "rates.json"
    rates.write(SLOW_NETWORK, path)
    return path


def test_what_is_written_is_read(file: Path) -> None:
    assert rates.machine(str(file)) == SLOW_NETWORK
    assert rates.machine(None) == BUILT_IN


def test_the_users_own_is_taken_unless_another_is_asked_for(file: Path) -> None:
    rates.write(replace(SLOW_NETWORK, source="own"), rates.own_file())
    assert rates.machine(None).source == "own"
    assert rates.machine(str(file)).source == "by hand"
    assert rates.machine("built-in") == BUILT_IN


GOOD = {"format_version": "1.0", **asdict(BUILT_IN)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        json.dumps(GOOD | {"format_version": "2.0"}),
        json.dumps(GOOD | {"arithmetic": 0}),
        json.dumps(GOOD | {"memory": "fast"}),
        json.dumps(GOOD | {"latency": -1.0}),
        json.dumps(GOOD | {"exchange": float("inf")}),
        json.dumps({k: v for k, v in GOOD.items() if k != "room"}),
    ],
)
def test_what_is_no_calibration_is_told(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(Failed) as failed:
        rates.machine(str(file))
    (found,) = failed.value.diagnostics
    assert (found.code, found.file) == ("SG0607", str(file))


def test_a_file_that_is_not_there_is_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", MLP, "--calibration", str(file.parent / "none.json")]) == 2
    assert "error[SG0607]: rates cannot be read: No such file" in capsys.readouterr().err


def test_a_check_goes_by_the_rates_too(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rates.write(replace(SLOW_NETWORK, room=1000), file)
    words = ["check", MLP, "-np", "2", "--partition", "auto", "--calibration"]
    assert main([*words, str(file)]) == 1
    assert "error[SG0306]: `mlp` does not fit in 1,000 bytes a worker" in capsys.readouterr().err
    assert main([*words, "built-in"]) == 0


def test_a_plan_names_the_rates_it_was_chosen_by(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "plan.json"
    words = ["plan", MLP, "-np", "2", "--partition", "auto", "--format", "json", "-o", str(out)]
    found = []
    for more in ([], ["--calibration", str(file)]):
        assert main([*words, *more]) == 0
        plan = from_json(out.read_text(encoding="utf-8"))
        assert plan.chosen is not None
        found.append(plan.chosen)
    assert [chosen.machine for chosen in found] == [BUILT_IN, SLOW_NETWORK]
    cuts = [{c.layer: c.cut for c in chosen.choices} for chosen in found]
    assert cuts[0]["fc1"] == "feature"
    assert cuts[1]["fc1"] == "at 0", "nothing is worth handing over"


@pytest.mark.slow
def test_a_machine_is_measured(file: Path) -> None:
    assert main(["calibrate"]) == 0
    found = rates.machine(None)
    assert found.source.startswith("measured ")
    assert 1e8 < found.arithmetic < 1e13
    assert 1e8 < found.memory < 1e12
    assert 1e7 < found.exchange < 1e12
    assert 1e-7 < found.latency < 1
