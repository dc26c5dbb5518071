"""Validation and early stopping by real processes."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import nets
import numpy as np
import pytest
from running import Finished, run
from test_training import params, scores, softmax

from runtime.checkpoints import checkpoint
from runtime.checkpoints.best import Best, judge
from singac.plan.plan import Every, Plan
from singac.saved import listed

PATIENCE, STEPS, RATE = 3, 60, 3.0


def plan(workers: int, servers: int, separate: bool = False, **settings: object) -> Plan:
    """Training that learns too fast to get better for long."""
    given = {"steps": STEPS, "rate": RATE, "validate": Every(2)} | settings
    return nets.plan(workers, servers, separate, **given)  # type: ignore[arg-type]


def test_the_best_is_the_first_of_the_lowest() -> None:
    best, found = None, []
    for step, loss in enumerate((3.0, 2.0, 2.0, 2.5, 1.0)):
        best = judge(best, step, loss)
        found.append((best.step, best.since))
    assert found == [(0, 0), (1, 0), (1, 1), (1, 2), (4, 0)]


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A run that validates and takes no notice of it."""
    return run(plan(2, 2), tmp_path_factory.mktemp("endless"))


def test_a_validation_is_over_its_own_part_with_the_params_of_its_step(tmp_path: Path) -> None:
    finished = run(plan(2, 1, steps=5, rate=0.1, checkpoint=Every(1)), tmp_path)
    assert nets.VALIDATE % nets.BATCH, "the last batch must be partial"
    x, label = (np.load(tmp_path / "data" / f"validate.{name}.npy") for name in ("x", "label"))
    assert [e["step"] for e in finished.of("validate")] == [2, 4, 5]
    for event in finished.of("validate"):
        chances = softmax(scores(params(tmp_path, int(str(event["step"]))), x))
        loss = -np.log(chances[np.arange(len(x)), label[:, 0].astype(int)]).mean()
        assert event["loss"] == pytest.approx(loss, rel=1e-4)
        assert set(event) == {"event", "step", "loss", "metrics"}


def expected_stop(endless: Finished) -> tuple[int, Best]:
    """Where training should stop by the losses of a run that does not."""
    best = None
    for event in endless.of("validate"):
        best = judge(best, int(str(event["step"])), float(str(event["loss"])))
        if best.since == PATIENCE:
            return int(str(event["step"])), best
    raise AssertionError("this training must get worse for the test to mean anything")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Path]:
    folder = tmp_path_factory.mktemp("stopped")
    stopping = plan(2, 2, separate=True, early_stop=PATIENCE, checkpoint=Every(1))
    return run(stopping, folder), folder


def test_all_processes_stop_in_the_step_that_shows_no_progress(
    endless: Finished, stopped: tuple[Finished, Path]
) -> None:
    step, best = expected_stop(endless)
    finished, folder = stopped
    assert (finished.code, finished.stderr) == (0, "")
    (stop,) = finished.of("early_stop")
    assert stop == {
        "event": "early_stop", "step": step, "best_step": best.step,
        "best_loss": pytest.approx(best.loss),
    }  # fmt: skip
    end = finished.events[-1]
    path = folder / "checkpoints" / checkpoint.folder_name(best.step)
    assert (end["status"], end["steps"]) == ("ok", step)
    assert end["best"] == {"step": best.step, "path": str(path)}
    assert finished.of("test")[-1]["step"] == step


def test_a_run_resumed_over_messages_stops_in_the_same_step_with_the_same_bits(
    endless: Finished, stopped: tuple[Finished, Path], tmp_path: Path
) -> None:
    step, best = expected_stop(endless)
    middle = step - 1
    assert middle > best.step + 2, "patience must have begun to run out before the break"
    for kept in (middle, best.step):
        name = checkpoint.folder_name(kept)
        shutil.copytree(stopped[1] / "checkpoints" / name, tmp_path / "checkpoints" / name)
    going_on = plan(2, 2, separate=True, early_stop=PATIENCE, checkpoint=Every(1, keep=1))
    finished = run(going_on, tmp_path, resume=tmp_path, SINGAC_TRANSPORT="messages")
    assert finished.of("early_stop") == stopped[0].of("early_stop")
    assert checkpoints(tmp_path) == [step, best.step], "the newest and the best are kept"
    ends = [params(folder, step) for folder in (tmp_path, stopped[1])]
    assert all(np.array_equal(ends[0][n], ends[1][n]) for n in ends[0])


def checkpoints(folder: Path) -> list[int]:
    found = listed(folder / "checkpoints")
    return [checkpoint.read_manifest(path).step for path in found]


def test_only_the_best_of_those_saved_for_being_best_stays(
    endless: Finished, tmp_path: Path
) -> None:
    step, best = expected_stop(endless)
    finished = run(plan(1, 1, early_stop=PATIENCE), tmp_path)
    saved = [e for e in finished.of("checkpoint") if e.get("best")]
    assert len(saved) > 1
    assert all(int(str(a["step"])) < int(str(b["step"])) for a, b in pairwise(saved))
    assert checkpoints(tmp_path) == [step, best.step]
