"""What a plan says its processes send and receive is what they count when they do it, exactly."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from runtime.transport.stub import prefers_messages
from singac.compile import compile_file
from singac.model.choices import Choices
from singac.verbs.trial import time_steps
from tests.partition.nets import Case, case
from tests.partition.test_real_runs import (
    APART,
    ASIDE,
    CHAIN,
    DATA,
    FEWER,
    HYBRID,
    THREADS,
    program,
)

STEPS = 6


def check(text: str, choices: Choices, folder: Path) -> None:
    """Runs a program and compares process by process; threads of one together."""
    file = folder / "program.singa"
    file.write_text(text, encoding="utf-8")
    (compiled,) = compile_file(str(file), choices, str(folder / "data"))
    run = time_steps(compiled, STEPS, str(folder / "data"))
    plan, steps = run.plan, run.plan.training.steps
    for rank, moved in enumerate(run.moved):
        own = [p for p in plan.processes if p.rank == rank]
        sent, received = sum(p.bytes_sent for p in own), sum(p.bytes_received for p in own)
        if prefers_messages():
            sent -= sum(p.narrower_sent for p in own)
            received -= sum(p.narrower_received for p in own)
        assert (moved.sent, moved.received) == (sent * steps, received * steps), f"process {rank}"


GROUPS = "2 worker groups of 2  1 server group of 2  staleness = 1"
SEVERAL = "3 worker groups of 1  2 server groups of 1  servers = separate  wire = bf16"
NARROW = "1 worker group of 3  1 server group of 2  wire = bf16"

# fmt: off
RUNS = [
    # net   rules    processes  cluster
    (CHAIN, HYBRID,  3,         ""),
    (CHAIN, HYBRID,  3,         FEWER),
    (CHAIN, HYBRID,  2,         THREADS),
    (APART, ASIDE,   3,         ""),
    (CHAIN, HYBRID,  4,         GROUPS),
    (CHAIN, "",      5,         SEVERAL),
    (CHAIN, HYBRID,  3,         NARROW),
]
# fmt: on


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["shared", "messages"])
@pytest.mark.parametrize(("net", "rules", "processes", "cluster"), RUNS)
def test_counted_bytes_are_those_of_the_plan(
    net: str,
    rules: str,
    processes: int,
    cluster: str,
    transport: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SINGAC_TRANSPORT", transport)
    check(program(net, rules, cluster), Choices(np=processes, partition="cut"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["shared", "messages"])
@pytest.mark.parametrize("seed", range(6))
def test_of_random_nets_too(
    seed: int, transport: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SINGAC_TRANSPORT", transport)
    drawn = point_case(seed)
    text = drawn.text.replace('"data/points.csv"', f'"{DATA}"')
    check(text, Choices(np=drawn.workers, partition="cut"), tmp_path)


def point_case(seed: int) -> Case:
    """The first random case from a seed on that has data to train on, and few workers."""
    numbers = count(seed * 100)
    drawn = map(case, numbers)
    return next(c for c in drawn if "points" in c.data and c.workers <= 4)
