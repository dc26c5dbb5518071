"""What a plan says that its processes take of memory is what they are seen to grow by."""

from __future__ import annotations

from pathlib import Path

import pytest

from singac.compile import compile_file
from singac.model.choices import Choices
from singac.verbs.trial import time_steps
from tests.partition.test_real_runs import program

NET = """
    features -> a: dense(3000) -> h: tanh -> b: dense(3000) -> r: relu -> c: dense(3)
    [c, label] -> loss: softmax_loss"""
STEPS = 4


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("rules", ["", "a .. r on feature", "a .. h on feature  b on input"])
def test_memory_grows_as_planned(rules: str, processes: int, tmp_path: Path) -> None:
    file = tmp_path / "program.singa"
    file.write_text(program(NET, rules), encoding="utf-8")
    choices = Choices(np=processes, partition="cut")
    (compiled,) = compile_file(str(file), choices, str(tmp_path / "data"))
    found = time_steps(compiled, STEPS, str(tmp_path / "data"))
    for process, left in zip(found.plan.processes, found.timings, strict=True):
        assert left.grown_bytes == pytest.approx(process.memory.total, rel=0.1), process.memory
