"""Our side of a race: a job that trains when it is its turn, and peers given the same net."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from bench import given
from bench.contestant import Contestant, Entry
from bench.entries import OURS
from bench.peers.turns import Given
from singac.cli import main
from singac.compile import compile_file
from singac.model.choices import Choices


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "arms"]) == 0
    return tmp_path / "arms.singa"


def test_a_job_trains_turn_by_turn(program: Path) -> None:
    command = (sys.executable, "-m", "bench.ours", str(program), "-np", "2")
    ours = Contestant(Entry("ours", (command,), (OURS,)), program.parent)
    try:
        assert ours.turn(3) > 0
        assert ours.turn(40) > 0
        assert ours.memory() > 50_000_000
    finally:
        assert ours.end() == [0]


def test_peers_are_given_our_params_and_batches(program: Path) -> None:
    (compiled,) = compile_file(str(program), Choices(np=1))
    given.give(compiled, str(program.parent / "data"), program.parent)
    found = Given(str(program.parent))
    assert {name: p.shape for name, p in found.params.items()} == {
        p.name: p.shape for p in compiled.plan.params
    }
    features = found.batches("features")
    batch = compiled.plan.training.batch
    assert features.shape == (given.STEPS, batch, 2)
    # A batch holds examples of the file, and the next one others.
    lines = (program.parent / "arms.csv").read_text().splitlines()[1:]
    told = {tuple(np.float32(line.split(",")[:2])) for line in lines}
    assert {tuple(row) for row in features[0]} <= told
    assert not np.array_equal(features[0], features[1])
