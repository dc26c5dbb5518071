"""States that go on from batch to batch: along the text, over workers, through checkpoints."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import run
from safetensors.numpy import load_file

from runtime.checkpoints.checkpoint import folder_name
from runtime.process.lanes import Lanes
from singac.codegen.stretch import scratch_bytes
from singac.diagnostics import Source
from singac.model.choices import Choices
from singac.model.resolve import resolve
from singac.partition.partition import partition
from singac.plan.encode import from_json, to_json
from singac.plan.plan import Plan
from singac.plan.project import project
from singac.plan.verify import verify
from singac.sources.prepare import prepare
from singac.syntax.parse import parse

pytestmark = pytest.mark.slow

TEXT = "the cat sat on the mat, and the dog lay on the log; " * 9
PROGRAM = """
data text = chars("text.txt", length = 6, test = 0.2)
net small on text {
    unroll 6 {
        char -> x: onehot(vocab)
        [x, low[t-1]] -> low: gru(7)
        low -> drop: dropout(0.2)
        [drop, high[t-2]] -> high: lstm(5)
        [high, low] -> both: concat -> o: dense(vocab)
        [o, next] -> softmax_loss
    }
}
train small {
    algorithm = BPTT(carry = CARRY)  updater = Adam(rate = 0.01)
    batch = 4  steps = 20  display = every(1)  checkpoint = every(9)  test = every(20)
}
"""


def plan_of(folder: Path, workers: int, carry: str = "all") -> tuple[Plan, str]:
    (folder / "text.txt").write_text(TEXT)
    text = PROGRAM.replace("CARRY", carry)
    source = Source(str(folder / "program.singa"), text)
    (model,) = resolve(parse(source), Choices(np=workers))
    plan = project(partition(model), model, "digest", scratch_bytes)
    verify(plan)
    return plan, prepare(model.dataset.request, model.dataset.facts, str(folder / "data"))


def trained(folder: Path, workers: int, carry: str = "all", **settings: object) -> list[float]:
    """The loss of every step, then that of the test."""
    plan, data = plan_of(folder, workers, carry)
    shutil.copytree(data, folder / "run" / "data", dirs_exist_ok=True)
    finished = run(plan, folder / "run", **settings)
    assert finished.code == 0, finished.stderr
    events = [*finished.of("step"), *finished.of("test")]
    return [float(str(e["loss"])) for e in events]


def tensors(folder: Path, step: int) -> dict[str, np.ndarray]:
    path = folder / "run" / "checkpoints" / folder_name(step)
    return {n: t for file in sorted(path.glob("*.safetensors")) for n, t in load_file(file).items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[float]]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, trained(folder, 2)


def test_a_resumed_run_ends_with_the_same_bits(whole: tuple[Path, list[float]]) -> None:
    """Step 9 is in the middle of a pass over the text, which has 15 batches."""
    folder, losses = whole
    expected = tensors(folder, 20)
    assert {"carried(low)", "carried(high)", "carried(high/cell)"} < set(expected)
    assert expected["carried(high)"].shape == (2, 4, 5)
    resumed = folder / "run" / "checkpoints" / folder_name(9)
    again = trained(folder, 2, resume=resumed)
    assert again == losses[9:]
    found = tensors(folder, 20)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("transport", ["shared", "messages"])
def test_workers_train_what_one_does(
    transport: str, whole: tuple[Path, list[float]], tmp_path: Path
) -> None:
    workers = 1 if transport == "shared" else 3
    losses = trained(tmp_path, workers, SINGAC_TRANSPORT=transport)
    assert losses == pytest.approx(whole[1], rel=1e-4)
    expected = tensors(whole[0], 20)
    for name, tensor in tensors(tmp_path, 20).items():
        np.testing.assert_allclose(tensor, expected[name], rtol=1e-3, atol=1e-4)


def test_what_is_carried_matters(whole: tuple[Path, list[float]], tmp_path: Path) -> None:
    losses = trained(tmp_path, 1, "none")
    assert "carried(low)" not in tensors(tmp_path, 20)
    assert losses != pytest.approx(whole[1], rel=1e-4)


def test_a_checkpoint_of_another_batch_is_refused(
    whole: tuple[Path, list[float]], tmp_path: Path
) -> None:
    plan, _ = plan_of(tmp_path, 1, "high")
    resumed = whole[0] / "run" / "checkpoints" / folder_name(9)
    finished = run(plan, tmp_path / "run", resume=resumed)
    assert finished.code == 4
    assert "the net has no carried(low)" in finished.stderr


# -- lanes -----------------------------------------------------------------------------------------


def test_lanes_of_the_docstring() -> None:
    once, endless = Lanes(7, 3, 1, once=True), Lanes(7, 3, 1, once=False)
    assert [once.examples(k, 0, 3).tolist() for k in range(3)] == [[0, 3, 5], [1, 4, 6], [2]]
    assert [endless.examples(k, 0, 3).tolist() for k in range(3)] == [
        [0, 2, 4],
        [1, 3, 5],
        [0, 2, 4],
    ]
    assert [endless.at(k) for k in range(4)] == [0, 1, 0, 1]


@given(st.integers(1, 60), st.integers(1, 9), st.integers(0, 8))
def test_every_example_is_tested_once_and_rows_go_on(total: int, batch: int, cut: int) -> None:
    lanes, count = Lanes(total, batch, 1, once=True), -(-total // batch)
    cut = min(cut, batch)
    seen: list[list[int]] = []
    for k in range(count):
        parts = (lanes.examples(k, 0, cut), lanes.examples(k, cut, batch - cut))
        assert not len(parts[1]) or len(parts[0]) == cut, "the valid rows come first"
        seen.append([*parts[0].tolist(), *parts[1].tolist()])
    assert sorted(e for row in seen for e in row) == list(range(total))
    following = (zip(one, other, strict=False) for one, other in pairwise(seen))
    assert all(b == a + 1 for pairs in following for a, b in pairs)


@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 30))
def test_groups_have_lanes_of_their_own(batch: int, groups: int, more: int) -> None:
    total = batch * groups + more
    lanes = Lanes(total, batch, groups, once=False)
    turns = total // (batch * groups)
    rows = [lanes.examples(k, 0, batch).tolist() for k in range(turns * groups)]
    found = sorted(e for row in rows for e in row)
    assert found == list(range(turns * batch * groups))
    assert lanes.at(turns * groups) == 0


def test_a_plan_says_what_is_carried(tmp_path: Path) -> None:
    plan, _ = plan_of(tmp_path, 2)
    assert from_json(to_json(plan)) == plan
    assert [b["name"] for b in json.loads(to_json(plan))["processes"][0]["train"]["carried"]] == [
        "carried(low)", "carried(high)", "carried(high/cell)",
    ]  # fmt: skip
