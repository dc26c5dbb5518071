"""The trace of a real run: valid, in order, exchanges overlapping with computing in it."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from runtime.timeline import MOST_ARROWS, Row
from singac.cli import main

pytestmark = pytest.mark.slow

MLP = Path(__file__).resolve().parents[2] / "models/mlp.singa"
STEPS = 6
WORDS = ("-np", "2", "--set", f"train.steps={STEPS}")


@pytest.fixture(scope="module", params=["shared", "messages"])
def events(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list:
    folder = tmp_path_factory.mktemp("trace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SINGAC_TRANSPORT", request.param)
        run = ["run", str(MLP), *WORDS, "--run-dir", str(folder / "run")]
        assert main([*run, "--trace", str(folder / "trace.json")]) == 0
    assert not list((folder / "run/logs").glob("*.notes"))
    told = json.loads((folder / "trace.json").read_text())
    assert told["otherData"]["net"] == "mlp"
    return told["traceEvents"]


def slices(events: list, rank: int, row: Row) -> list:
    return [e for e in events if (e["ph"], e["pid"], e["tid"]) == ("X", rank, row)]


def test_events_have_what_the_format_asks_for(events: list) -> None:
    for event in events:
        assert event["ph"] in ("M", "X", "b", "e", "s", "f")
        assert event["pid"] in (0, 1)
        assert event["tid"] in list(Row)
        assert event["ts"] >= 0
        assert event["ph"] != "X" or event["dur"] > 0
        assert event["ph"] not in ("b", "e", "s", "f") or "id" in event
    assert len([e for e in events if e["name"] == "process_name"]) == 2


def test_a_process_does_one_thing_at_a_time(events: list) -> None:
    for rank in (0, 1):
        rows = (Row.COMPUTE, Row.EXCHANGE, Row.WAIT)
        own = sorted((e for r in rows for e in slices(events, rank, r)), key=lambda e: e["ts"])
        for one, following in pairwise(own):
            assert one["ts"] + one["dur"] <= following["ts"] + 1e-3


def test_every_step_has_all_it_consists_of(events: list) -> None:
    for rank in (0, 1):
        steps = [e for e in slices(events, rank, Row.STEPS) if e["name"].startswith("step ")]
        assert [e["name"] for e in steps] == [f"step {k}" for k in range(STEPS)]
        for k in range(STEPS):
            computed = [
                e["name"] for e in slices(events, rank, Row.COMPUTE)
                if e["args"]["step"] == k and e["args"]["program"] == "train"
            ]  # fmt: skip
            assert computed[0] == "feed features, label"
            assert "fc1 .. dropout1" in computed
            assert "d(fc1.weight) .. d(fc1.bias)" in computed


def test_a_push_is_before_the_serve_on_the_clock_of_both(events: list) -> None:
    """Arrows lead from one process to another: times of both are of one clock."""
    left = {e["id"]: e for e in events if e["ph"] == "s"}
    came = {e["id"]: e for e in events if e["ph"] == "f"}
    assert list(left) == list(came)
    assert 0 < len(left) <= MOST_ARROWS
    for number, start in left.items():
        assert start["ts"] <= came[number]["ts"]
        assert start["pid"] != came[number]["pid"]


def test_params_are_in_flight_while_others_are_computed(events: list) -> None:
    """fc3 is pushed first and pulled last: all the backward of fc1 lies between."""
    begun = {e["id"]: e["ts"] for e in events if e["ph"] == "b"}
    ended = {e["id"]: e["ts"] for e in events if e["ph"] == "e"}
    assert list(begun) == list(ended)
    computed = [e for e in slices(events, 0, Row.COMPUTE) if e["name"].startswith("d(fc1.weight)")]
    flights = [(begun[k], ended[k]) for k in begun if k.startswith("0:fc3.weight:")]
    assert len(flights) == STEPS - 1
    for (left, back), work in zip(flights, computed, strict=False):
        assert left <= work["ts"]
        assert work["ts"] + work["dur"] <= back


def test_a_trace_that_cannot_be_written_is_told_before_anything_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["run", str(MLP), *WORDS, "--run-dir", str(tmp_path / "run")]
    assert main([*run, "--trace", str(tmp_path / "nowhere" / "trace.json")]) == 3
    assert "SG0904" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
