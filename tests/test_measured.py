"""Plans that are run to be measured: each operation apart, and measured beside expected."""

from __future__ import annotations

import pytest

from singac.cli import main
from singac.plan.plan import Plan, Run
from singac.verbs.measured import apart
from tests.plan.test_plan import MLP, mlp


def operations(plan: Plan, rank: int) -> list[object]:
    steps = plan.processes[rank].train.steps
    return [o for s in steps if isinstance(s, Run) for o in plan.stretches[s.stretch].operations]


def test_operations_apart_are_the_same_in_the_same_order() -> None:
    made = mlp(2)
    split = apart(made)
    assert all(len(stretch.operations) == 1 for stretch in split.stretches)
    for rank in (0, 1):
        assert operations(split, rank) == operations(made, rank)
        before, after = (
            [s for s in p.processes[rank].train.steps if not isinstance(s, Run)]
            for p in (made, split)
        )
        assert before == after


@pytest.mark.slow
def test_measured_beside_expected(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(MLP), "-np", "2", "--analyze"]) == 0
    told = capsys.readouterr().out
    for word in ("fc1", "fc2", "fc3", "measured", "expected", "memory grown"):
        assert word in told
