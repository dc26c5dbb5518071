"""What the hybrid partition of `mnist_mlp` moves in a step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from singac.diagnostics import Source
from singac.model.choices import Choices
from singac.model.program import Change
from singac.model.resolve import resolve
from singac.partition.partition import partition
from singac.plan.project import project
from singac.syntax.parse import parse

MODEL = Path(__file__).resolve().parents[2] / "models" / "mnist_mlp.singa"
BATCH = Change("set", "train.batch", "64")


def bytes_of(*, hybrid: bool) -> int:
    """All that moves in a step of 4 workers."""
    choices = Choices(np=4, partition="hybrid", changes=(BATCH,))
    (model,) = resolve(parse(Source(str(MODEL), MODEL.read_text(encoding="utf-8"))), choices)
    if not hybrid:
        model = replace(model, rules=None)
    plan = project(partition(model), model, "digest", lambda *_: 0)
    return sum(process.bytes_sent for process in plan.processes)


def test_pieces_that_stay_move_ten_times_less() -> None:
    assert bytes_of(hybrid=True) * 10 <= bytes_of(hybrid=False)
