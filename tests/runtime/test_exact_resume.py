"""Interrupted in any way and resumed: metrics, params and states to the bit of a run that was not.

whole     1 2 3 4 5 6 7 8 9 ...................... 17
resumed                 7 | 8 9 .................. 17      dropout, epochs, tests, validations
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from runtime.checkpoints import checkpoint
from singac.cli import main

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
STEPS, STOP = 17, 7
PROGRAM = f"""
data digits = csv("{ROOT}/models/data/digits.csv.gz", scale = 1/16, test = 0.5, validate = 0.4)
updater Counting(rate) {{
    state first  = 1
    state second = 0
    second = 0.9 * second + g / step
    first  = first + abs(second)
    w = w - rate * second / first
}}
net small on digits {{
    features -> dense(20) -> relu -> dropout(0.3) -> a: dense(10)
    [a, label] -> softmax_loss
}}
train small {{
    updater    = UPDATER
    batch      = 150
    steps      = {STEPS}
    display    = every(1)
    test       = every(5, steps = 1)
    validate   = every(3, after = 6)
    early_stop = after(50)
    checkpoint = every({STOP}, keep = 3)
}}
"""
# fmt: off
UPDATERS = {
    "Adam":     "Adam(rate = step(0.01, gamma = 0.5, every = 4), clip_norm = 0.5)",
    "Counting": "Counting(rate = warmup(10, then = 0.1), weight_decay = 0.01)",
    "SGD":      "SGD(rate = cosine(0.1, every = 12), momentum = 0.9)",
    "Nesterov": "Nesterov(rate = linear(0.1, final = 0.01, every = 12))",
    "AdaGrad":  "AdaGrad(rate = exponential(0.1, every = 5))",
    "RMSProp":  "RMSProp(rate = inverse(0.01, gamma = 0.1, power = 0.5))",
    "AdaDelta": "AdaDelta(rate = inverse_t(1, every = 5))",
    "AdaMax":   "AdaMax(rate = fixed_step(0.01, 5, 0.001, 9, 0.01))",
    "AdamW":    "AdamW(rate = 0.01)",
}
# fmt: on
QUICK = ("Adam",)
NAMES = [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in UPDATERS]


def program(folder: Path, updater: str = UPDATERS["Adam"]) -> Path:
    path = folder / "net.singa"
    path.write_text(PROGRAM.replace("UPDATER", updater), encoding="utf-8")
    return path


def train(path: Path, run: Path, *words: str) -> int:
    return main(["run", str(path), "-np", "2", "--run-dir", str(run), "--json", *words])


def told(run: Path) -> dict[tuple[str, int], object]:
    """What was measured after each step; what was told again is in its place again."""
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    measured = [e for e in events if e["event"] in ("step", "test", "validate")]
    return {(e["event"], e["step"]): (e["loss"], e["metrics"]) for e in measured}


def tensors(run: Path, step: int) -> dict[str, np.ndarray]:
    folder = run / "checkpoints" / checkpoint.folder_name(step)
    files = sorted(folder.glob("*.safetensors"))
    return {name: values for file in files for name, values in load_file(file).items()}


def same(run: Path, whole: Path, step: int = STEPS, after: int = STOP) -> None:
    expected, found = tensors(whole, step), tensors(run, step)
    assert list(found) == list(expected)
    assert [n for n in expected if not np.array_equal(found[n], expected[n])] == []
    measured = told(whole)
    again = {place: values for place, values in told(run).items() if place[1] > after}
    assert again == {place: values for place, values in measured.items() if place[1] > after}


@pytest.mark.parametrize("name", NAMES)
def test_every_state_of_an_updater_is_resumed(name: str, tmp_path: Path) -> None:
    path, whole = program(tmp_path, UPDATERS[name]), tmp_path / "whole"
    assert train(path, whole) == 0
    steps = sorted(step for kind, step in told(whole) if kind != "step")
    assert steps == [5, 6, 9, 10, 12, 15, 15, STEPS, STEPS], "tests and validations as asked for"
    saved = whole / "checkpoints" / checkpoint.folder_name(STOP)
    assert train(path, tmp_path / "again", "--resume", str(saved)) == 0
    same(tmp_path / "again", whole)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole")
    assert train(program(folder), folder) == 0
    return folder


def test_more_steps_go_on_as_if_they_had_been_asked_for_at_once(
    whole: Path, tmp_path: Path
) -> None:
    path, run = program(tmp_path), tmp_path / "run"
    assert train(path, run, "--set", f"train.steps={STOP}") == 0
    assert train(path, run, "--resume") == 0
    same(run, whole)
    # Those saved only for being the best on the way are gone, and took no place of the three.
    assert [p.name for p in checkpoint.listed(run / "checkpoints")] == [
        checkpoint.folder_name(step) for step in (STEPS, 14, STOP)
    ]


@pytest.fixture(scope="module")
def saved_often(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run with a checkpoint of every step."""
    folder = tmp_path_factory.mktemp("often")
    assert train(program(folder), folder, "--set", "train.checkpoint=every(1)") == 0
    return folder


# After the first step, before and after a test, at the end of an epoch, before the last.
@pytest.mark.parametrize("step", [1, 4, 5, 6, 16])
def test_a_run_resumed_after_any_step(step: int, saved_often: Path, tmp_path: Path) -> None:
    saved = saved_often / "checkpoints" / checkpoint.folder_name(step)
    assert train(program(tmp_path), tmp_path / "run", "--resume", str(saved)) == 0
    same(tmp_path / "run", saved_often, after=step)


def test_a_killed_run_resumed_from_its_last_checkpoint(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, run = program(tmp_path), tmp_path / "run"
    monkeypatch.setenv("SINGAC_FAULT", "rank=1,step=11,kind=kill")
    assert train(path, run) == 1
    monkeypatch.delenv("SINGAC_FAULT")
    assert train(path, run, "--resume") == 0
    same(run, whole)


def test_a_terminated_run_resumed_where_it_was_stopped(tmp_path: Path) -> None:
    path, whole, run = program(tmp_path), tmp_path / "whole", tmp_path / "run"
    command = [sys.executable, "-P", "-m", "singac.cli", "run", str(path), "-np", "2"]
    words = ["--run-dir", str(run), "--set", "train.steps=1000000"]
    with subprocess.Popen([*command, *words], cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while not (run / "metrics.jsonl").exists() or len(told(run)) < 30:
            assert process.poll() is None, "the run has ended by itself"
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
    stopped = checkpoint.read_manifest(checkpoint.listed(run / "checkpoints")[0]).step
    longer = ("--set", f"train.steps={stopped + 5}")
    assert train(path, run, "--resume", *longer) == 0
    assert train(path, whole, *longer) == 0
    same(run, whole, stopped + 5)


# A chain of a net whose layers below learn nothing: its states go on from batch to batch.
CHAINS = f"""
data digits = csv("{ROOT}/models/data/digits.csv.gz", scale = 1/16, test = 0.5)
net machine on digits {{
    features -> dense(20) -> sigmoid -> vis: rbm_visible(20)
    vis <-> hid: rbm_hidden(12, KIND)
}}
train machine {{
    algorithm  = PCD(2)
    updater    = SGD(rate = 0.01, momentum = 0.8)
    batch      = 150
    steps      = {STEPS}
    display    = every(1)
    test       = every(5)
    checkpoint = every({STOP})
}}
"""


@pytest.mark.parametrize("kind", ["binary", "gaussian"])
def test_chains_of_pcd_go_on_where_they_were(kind: str, tmp_path: Path) -> None:
    """On two workers, from a checkpoint in between."""
    path, whole, run = tmp_path / "net.singa", tmp_path / "whole", tmp_path / "run"
    path.write_text(CHAINS.replace("KIND", f"kind = {kind}"), encoding="utf-8")
    assert train(path, whole) == 0
    assert tensors(whole, STEPS)["hid/chain"].shape == (1, 150, 12)
    saved = whole / "checkpoints" / checkpoint.folder_name(STOP)
    assert train(path, run, "--resume", str(saved)) == 0
    same(run, whole)
