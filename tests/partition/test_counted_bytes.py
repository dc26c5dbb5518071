"""What a plan says its processes send and receive is what they count when they do it, exactly."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.transport.tally import Moved
from singac.compile import compile_file
from singac.model.choices import Choices
from singac.verbs.trial import time_steps
from tests.partition.nets import case
from tests.partition.test_real_runs import APART, ASIDE, CHAIN, FEWER, HYBRID, THREADS, program

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
        sent, received = (
            sum(bytes_of) * steps
            for bytes_of in ([p.bytes_sent for p in own], [p.bytes_received for p in own])
        )
        assert moved == Moved(steps, sent, received), f"process {rank}"


# fmt: off
RUNS = [
    # net   rules    processes  cluster
    (CHAIN, HYBRID,  3,         ""),
    (CHAIN, HYBRID,  3,         FEWER),
    (CHAIN, HYBRID,  2,         THREADS),
    (APART, ASIDE,   3,         ""),
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
    net, rules, workers = point_case(seed)
    check(program(net, rules), Choices(np=workers, partition="cut"), tmp_path)


def point_case(seed: int) -> tuple[str, str, int]:
    """The first random case from a seed on that has data to train on, and few workers."""
    seed *= 100
    while True:
        net, data, rules, workers = case(seed)
        if "points" in data and workers <= 4:
            return net, rules, workers
        seed += 1
