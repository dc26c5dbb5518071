"""`singac profile`: kernels and waits out of what a run has noted."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from runtime.process.timing import WARM_UP
from runtime.timeline import Row, Span
from runtime.trace import Label
from singac.cli import main
from singac.plan.plan import Feed, Plan, Pull, Run, Serve
from singac.plan.show import words
from singac.verbs import profiled
from singac.verbs.measured import apart
from singac.verbs.profiled import Kernel, Profile, Rates, Wait, as_json, as_text
from tests.plan.test_plan import MLP, mlp
from tests.test_main_example import ROOT

STEPS = 4
RUN, SERVE, WAIT = 1_000_000, 250_000, 500_000  # nanoseconds


def spans(plan: Plan, rank: int) -> Iterator[Span]:
    """Steps whose operations all take RUN, updates SERVE, and which wait for every param."""
    now = 0
    for number in range(WARM_UP + STEPS):
        start = now
        for position, step in enumerate(plan.processes[rank].train.steps):
            label = Label("train", position, *words(plan, step))
            row, took = Row.COMPUTE, RUN
            if isinstance(step, Serve):
                row, took = Row.EXCHANGE, SERVE
            elif isinstance(step, Pull):
                row, took = Row.WAIT, WAIT
            elif not isinstance(step, Feed | Run):
                continue
            name = "waiting for params" if row is Row.WAIT else label.what
            yield Span(rank, row, name, now, now + took, number, label)
            now += took
        yield Span(rank, Row.STEPS, f"step {number}", start, now, number)


@pytest.fixture
def found() -> Profile:
    plan = apart(mlp(2))
    both = [list(spans(plan, rank)) for rank in (0, 1)]
    return profiled.of(plan, both, 0, 0.01, Rates(gflops=100.0, gbytes=20.0))


def test_kernels_are_those_of_the_program(found: Profile) -> None:
    plan = apart(mlp(2))
    steps = [s for s in plan.processes[0].train.steps if isinstance(s, Feed | Run | Serve)]
    assert len(found.kernels) == len(steps)
    by_made = {k.makes: k for k in found.kernels if k.by != "update"}
    gradient = by_made["d(fc1.weight)"]
    assert gradient.by == "product, weight gradient"
    assert gradient.flops == 2 * 96 * 64 * 256
    assert gradient.seconds == pytest.approx(RUN / 1e9)
    updates = [k for k in found.kernels if k.by == "update"]
    assert updates
    assert all(k.seconds == pytest.approx(SERVE / 1e9) for k in updates)
    # Two gradients are read; the param and its momentum are read and written.
    first = next(s for s in steps if isinstance(s, Serve))
    piece = plan.slices[first.slice]
    assert updates[0].bytes == (piece.stop - piece.start) * 4 * 6


def test_waits_are_told_with_what_they_are_before(found: Profile) -> None:
    pulls = [s for s in apart(mlp(2)).processes[1].train.steps if isinstance(s, Pull)]
    waits = [w for w in found.waits if w.process == 1]
    assert len(waits) == len(pulls)
    assert waits[0] == Wait(1, "waiting for params", "pull fc1.weight", WAIT / 1e9)


def test_the_shares_follow(found: Profile) -> None:
    kernel = Kernel("y", "product, forward", 1e-3, 50_000_000, 5_000_000)
    text = as_text(Profile("net", 1, 0, 2e-3, 2e-3, found.rates, (kernel,), ()))
    row = next(line for line in text.splitlines() if line.startswith("y"))
    assert row.split()[-7:] == ["1", "ms", "50.0%", "50.0", "50%", "5.0", "25%"]
    assert "no process waits" in text


def test_json_has_all_of_it(found: Profile) -> None:
    told = json.loads(as_json(found))
    assert told["rates"] == {"gflops": 100.0, "gbytes": 20.0}
    assert len(told["kernels"]) == len(found.kernels)
    assert told["waits"][0]["waits"] == "waiting for params"


@pytest.mark.parametrize("verb", [("profile",), ("plan", "--analyze")])
def test_threads_are_refused(verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    clusters = str(ROOT / "models" / "clusters.singa")
    assert main([verb[0], clusters, "--cluster", "hogwild", *verb[1:]]) == 2
    assert "SG0606" in capsys.readouterr().err


@pytest.mark.slow
def test_a_real_profile(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", str(MLP), "-np", "2", "--json"]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["processes"] == 2
    assert told["rates"]["gflops"] > 0
    assert 0 < sum(k["seconds"] for k in told["kernels"]) < 1.2 * told["apart_seconds"]
