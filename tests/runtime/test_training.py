"""Training by real processes: the numbers, whatever the placing and the transport."""

from __future__ import annotations

import json
import math
from pathlib import Path

import nets
import numpy as np
import pytest
from running import Finished, run
from safetensors.numpy import load_file

from runtime.checkpoints.initialise import initial
from runtime.process.data import Feeder
from singac.plan.plan import Every

SLOW = [pytest.param(*p, marks=pytest.mark.slow) for p in ((2, 2, False), (4, 1, True))]
PLACINGS = [(1, 1, False), (3, 2, True), (1, 3, False), *SLOW]
STEPS = 12


def params(folder: Path, step: int) -> dict[str, np.ndarray]:
    return load_file(folder / "checkpoints" / f"step-{step:08d}" / "params.safetensors")


def scores(weights: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64) @ weights["fc/w"] + weights["fc/b"]


def softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def numpy_training(steps: int, folder: Path, clip_norm: float = math.inf) -> dict[str, np.ndarray]:
    """The same training in NumPy, float64."""
    plan = nets.plan(1, 1)
    weights = {p.name: initial(p, plan.training.seed).astype(np.float64) for p in plan.params}
    speeds = {name: np.zeros_like(w) for name, w in weights.items()}
    feeder = Feeder(str(folder / "data"), plan.data, "train", nets.BATCH, plan.training.seed)
    x, label = np.zeros((nets.BATCH, nets.FEATURES)), np.zeros((nets.BATCH, 1))
    for step in range(steps):
        feeder.fill(step, 0, nets.BATCH, {"x": x, "label": label})
        error = softmax(scores(weights, x)) - np.eye(nets.CLASSES)[label[:, 0].astype(int)]
        error /= nets.BATCH
        slopes = {"fc/w": x.T @ error, "fc/b": error.sum(axis=0)}
        norm = math.sqrt(sum(np.sum(slope**2) for slope in slopes.values()))
        slopes = {name: slope * min(1.0, clip_norm / norm) for name, slope in slopes.items()}
        for param in plan.params:
            rate = 0.1 * param.lr_scale
            speeds[param.name] = 0.9 * speeds[param.name] - rate * slopes[param.name]
            weights[param.name] = weights[param.name] + speeds[param.name]
    return weights


@pytest.mark.parametrize(("workers", "servers", "separate"), PLACINGS)
def test_both_transports_give_the_same_bits_and_numpy_the_same_numbers(
    workers: int, servers: int, separate: bool, tmp_path: Path
) -> None:
    exchanges = workers > 1
    plan = nets.plan(workers, servers, separate, steps=STEPS, test=Every(5), exchanges=exchanges)
    ends = []
    for transport in ("shared", "messages"):
        finished = run(plan, tmp_path / transport, SINGAC_TRANSPORT=transport)
        assert (finished.code, finished.stderr) == (0, "")
        ends.append(params(tmp_path / transport, STEPS))
    expected = numpy_training(STEPS, tmp_path / "shared")
    for name, tensor in ends[0].items():
        assert np.array_equal(tensor, ends[1][name])
        np.testing.assert_allclose(tensor, expected[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("workers", "servers", "separate"), [(1, 1, False), (2, 3, True)])
def test_the_norm_that_clips_is_that_of_all_servers(
    workers: int, servers: int, separate: bool, tmp_path: Path
) -> None:
    clip_norm = 0.4
    plan = nets.plan(workers, servers, separate, steps=STEPS, clip_norm=clip_norm)
    transports = ("shared", "messages") if separate else ("shared",)
    for transport in transports:
        finished = run(plan, tmp_path / transport, SINGAC_TRANSPORT=transport)
        assert (finished.code, finished.stderr) == (0, "")
    expected = numpy_training(STEPS, tmp_path / "shared", clip_norm)
    free = numpy_training(STEPS, tmp_path / "shared")
    for name, tensor in params(tmp_path / "shared", STEPS).items():
        np.testing.assert_allclose(tensor, expected[name], rtol=1e-4, atol=1e-5)
        assert np.abs(free[name] - expected[name]).max() > 0.01, "clipping must have acted"
        assert np.array_equal(tensor, params(tmp_path / transports[-1], STEPS)[name])


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Finished, Path]:
    folder = tmp_path_factory.mktemp("told")
    plan = nets.plan(2, 2, steps=10, display=Every(2), test=Every(4), checkpoint=Every(4))
    return run(plan, folder), folder


def test_the_events_are_those_of_the_contract(told: tuple[Finished, Path]) -> None:
    finished, folder = told
    start, end = finished.events[0], finished.events[-1]
    seconds = end.pop("seconds")
    assert isinstance(seconds, float)
    assert seconds > 0
    assert end.pop("bytes_sent") % 10 == 0, "as many in each step"
    assert end == {"event": "end", "status": "ok", "net": "regression", "steps": 10}
    assert start == {
        "event": "start", "format_version": "1.0", "net": "regression", "processes": 2,
        "workers": 2, "servers": 2, "framework": "allreduce", "run_dir": str(folder),
    }  # fmt: skip
    keys = {"event", "step", "loss", "metrics", "examples_per_second"}
    assert [set(e) for e in finished.of("step")] == [keys] * 5
    assert [e["step"] for e in finished.of("step")] == [2, 4, 6, 8, 10]
    assert [e["step"] for e in finished.of("test")] == [4, 8, 10]
    assert [e["step"] for e in finished.of("checkpoint")] == [4, 8, 10]
    written = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in written] == [e["event"] for e in finished.events]


def test_a_test_is_over_the_whole_part_with_the_params_of_its_step(
    told: tuple[Finished, Path],
) -> None:
    finished, folder = told
    x, label = (np.load(folder / "data" / f"test.{name}.npy") for name in ("x", "label"))
    right = label[:, 0].astype(int)
    assert nets.TEST % nets.BATCH, "the last batch must be partial for this test to mean anything"
    for event in finished.of("test"):
        chances = softmax(scores(params(folder, int(str(event["step"]))), x))
        loss = -np.log(chances[np.arange(len(x)), right]).mean()
        accuracy = (chances.argmax(axis=1) == right).mean()
        assert event["loss"] == pytest.approx(loss, rel=1e-5)
        assert event["metrics"] == {"accuracy": pytest.approx(accuracy)}


def test_loss_is_the_mean_over_the_group_batch_of_its_step(told: tuple[Finished, Path]) -> None:
    finished, folder = told
    plan = nets.plan(1, 1)
    feeder = Feeder(str(folder / "data"), plan.data, "train", nets.BATCH, plan.training.seed)
    x, label = np.zeros((nets.BATCH, nets.FEATURES)), np.zeros((nets.BATCH, 1))
    for event in finished.of("step"):
        step = int(str(event["step"])) - 1
        feeder.fill(step, 0, nets.BATCH, {"x": x, "label": label})
        chances = softmax(scores(numpy_training(step, folder), x))
        loss = -np.log(chances[np.arange(nets.BATCH), label[:, 0].astype(int)]).mean()
        assert event["loss"] == pytest.approx(loss, rel=1e-4)


def test_without_a_terminal_the_report_is_plain_lines(tmp_path: Path) -> None:
    plan = nets.plan(1, 1, steps=4, display=Every(4))
    finished = run(plan, tmp_path, json=False)
    assert finished.code == 0
    assert finished.events == []
