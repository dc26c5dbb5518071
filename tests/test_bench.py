"""`singac bench` and `singac new`: figures of real steps, and a program to start from."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from runtime.process.timing import WARM_UP, Timer, Timings, read
from runtime.transport.tally import Moved
from singac.cli import main
from singac.compile import compile_file
from singac.model.choices import Choices
from singac.verbs.timed import figures, timed

KEYS = [
    "format_version", "net", "processes", "steps", "step_seconds", "examples_per_second",
    "gflop_per_step", "gflops", "fma_peak_gflops", "peak_fraction", "bytes_per_step", "data_share",
    "peak_rss_bytes",
]  # fmt: skip


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what `singac new arms` writes."""
    monkeypatch.chdir(tmp_path)
    assert main(["new", "arms"]) == 0
    return tmp_path


def test_the_program_to_start_from_is_formatted_and_trains(
    started: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", "arms.singa"]) == main(["fmt", "--check", "arms.singa"]) == 0
    assert main(["run", "arms.singa", "--json", "--set", "train.steps=300"]) == 0
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    (tested,) = (e for e in events if e["event"] == "test")
    assert tested["metrics"]["accuracy"] > 0.9


def test_nothing_is_overwritten(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (started / "arms.csv").write_text("mine", encoding="utf-8")
    (started / "arms.singa").unlink()
    assert main(["new", "arms"]) == 2
    assert "arms.csv" in capsys.readouterr().err
    assert (started / "arms.csv").read_text(encoding="utf-8") == "mine"
    assert not (started / "arms.singa").exists()


@pytest.mark.parametrize("name", ["3d", "net", "a b", "é"])
def test_a_name_that_is_none_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", name]) == 2
    assert list(tmp_path.iterdir()) == []


def test_bench_tells_what_real_steps_took(started: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert main(["bench", "arms.singa", "-np", "2", "--steps", "30", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert list(told) == KEYS
    assert (told["net"], told["processes"], told["steps"]) == ("arms", 2, 30)
    seconds = told["step_seconds"]
    assert 0 < seconds["min"] <= seconds["median"]
    assert told["examples_per_second"] == pytest.approx(60 / seconds["median"])
    assert 0 < told["data_share"] < 1
    assert 0 < told["peak_fraction"] < 1
    assert told["peak_rss_bytes"] > 10_000_000
    plan = compile_file("arms.singa", Choices(np=2))[0].plan
    assert told["bytes_per_step"] == sum(p.bytes_sent for p in plan.processes) > 0
    assert sorted(p.name for p in started.iterdir()) == ["arms.csv", "arms.singa"]


def test_figures_follow_from_the_plan_and_the_times(started: Path) -> None:
    (compiled,) = compile_file("arms.singa", Choices(np=2))
    plan = timed(compiled.plan, 7)
    assert plan.training.steps == WARM_UP + 7
    first = Timings([0.1, 0.2, 0.3], 0.06, 5)
    moved = [Moved(10, 5000, 3000), Moved(10, 3000, 5000)]
    found = figures(plan, [first, Timings([9.0, 9.0, 9.0], 0.27, 8)], moved, core_peak=1e6)
    gflop = sum(p.flops for p in plan.processes) / 1e9
    assert gflop > 60 * 2 * (2 * 32 + 32 * 32 + 32 * 3) * 2 / 1e9, "forward and most of backward"
    assert found.gflop_per_step == pytest.approx(gflop)
    assert found.gflops == pytest.approx(gflop / 0.2)
    assert found.peak_fraction == pytest.approx(found.gflops / found.fma_peak_gflops)
    assert found.examples_per_second == pytest.approx(60 / 0.2)
    assert found.data_share == pytest.approx(0.1)
    assert found.peak_rss_bytes == 8
    assert found.bytes_per_step == 800


def test_steps_of_one_call_share_its_time(tmp_path: Path) -> None:
    timer = Timer(tmp_path / "timings.json")
    timer.tick(feeding=0.0, steps=WARM_UP)
    time.sleep(0.01)  # beside which the rounding of a clock that has run for days is nothing
    timer.tick(feeding=4.0, steps=4)
    timer.write()
    found = read(tmp_path / "timings.json")
    assert len(found.steps) == 4
    assert found.steps == pytest.approx([found.steps[0]] * 4)
    assert found.feeding == 4.0


def test_the_warm_up_does_not_count(tmp_path: Path) -> None:
    timer = Timer(tmp_path / "timings.json")
    for step in range(WARM_UP + 4):
        timer.tick(feeding=float(step))
    timer.write()
    found = read(tmp_path / "timings.json")
    assert len(found.steps) == 4
    assert found.feeding == 4.0
