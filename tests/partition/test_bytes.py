"""What partitions of `mnist_mlp` move in a step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from singac.diagnostics import Source
from singac.model.program import Change
from singac.model.resolve import Choices, resolve
from singac.partition.partition import partition
from singac.plan.project import project
from singac.syntax.parse import parse

MODEL = Path(__file__).resolve().parents[2] / "models" / "mnist_mlp.singa"
BATCH = Change("set", "train.batch", "64")


def bytes_of(name: str | None) -> int:
    """All that moves in a step of 4 workers; cut on batch without a name."""
    choices = Choices(np=4, partition=name or "hybrid", changes=(BATCH,))
    (model,) = resolve(parse(Source(str(MODEL), MODEL.read_text(encoding="utf-8"))), choices)
    if name is None:
        model = replace(model, rules=None)
    plan = project(partition(model), model, "digest", lambda *_: 0)
    return sum(process.bytes_sent for process in plan.processes)


@pytest.mark.parametrize("name", ["hybrid", "pairs"])
def test_pieces_that_stay_move_ten_times_less(name: str) -> None:
    assert bytes_of(name) * 10 <= bytes_of(None)
