"""What a plan says that its processes take of memory is what they are seen to grow by."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.transport.stub import TRANSPORT_VARIABLE
from singac.compile import compile_file
from singac.model.choices import Choices
from singac.verbs.trial import time_steps
from tests.partition.test_real_runs import program

NET = """
    features -> a: dense({width}) -> h: tanh -> b: dense({width}) -> r: relu -> c: dense(3)
    [c, label] -> loss: softmax_loss"""
STEPS = 4
FEATURE = "a .. r on feature"
SUMS = "a .. h on feature  b on input"
SEPARATE = "1 worker group of 2  1 server group of 1  servers = separate"
GROUPS = "2 worker groups of 2  1 server group of 2"
THREADS = "2 worker groups of 2  1 server group of 1  workers_per_process = 2"

# fmt: off
RUNS = [
    # width  rules    processes  cluster    transport
    (3000,   "",      1,         "",        "shared"),
    (3000,   "",      2,         "",        "shared"),
    (3000,   FEATURE, 2,         "",        "shared"),
    (3000,   SUMS,    3,         "",        "shared"),
    (1500,   "",      3,         SEPARATE,  "shared"),
    (1500,   "",      4,         GROUPS,    "shared"),
    (1500,   "",      2,         THREADS,   "shared"),
    (500,    "",      2,         "",        "shared"),
    (1500,   "",      2,         "",        "messages"),
    (1500,   SUMS,    3,         "",        "messages"),
    (1500,   "",      3,         SEPARATE,  "messages"),
]
# fmt: on


@pytest.mark.slow
@pytest.mark.parametrize(("width", "rules", "processes", "cluster", "transport"), RUNS)
def test_memory_grows_as_planned(
    width: int,
    rules: str,
    processes: int,
    cluster: str,
    transport: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(TRANSPORT_VARIABLE, transport)
    file = tmp_path / "program.singa"
    file.write_text(program(NET.format(width=width), rules, cluster), encoding="utf-8")
    choices = Choices(np=processes, partition="cut")
    (compiled,) = compile_file(str(file), choices, str(tmp_path / "data"))
    found = time_steps(compiled, STEPS, str(tmp_path / "data"))
    for rank, left in enumerate(found.timings):
        own = [p.memory for p in found.plan.processes if p.rank == rank]
        planned = sum(m.messages if transport == "messages" else m.steps for m in own)
        assert left.grown_bytes == pytest.approx(planned, rel=0.1), f"process {rank}: {own}"
