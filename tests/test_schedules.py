"""Learning rates against their formulas."""

from __future__ import annotations

import math

import pytest

from singac.diagnostics import Report, Source, Span
from singac.schedules import SCHEDULES, Schedule, check_alternation, rate
from singac.settings import Given

SPAN = Span(Source("net.singa", "fixed_step"), 0, 10)

# fmt: off
RATES: list[tuple[str, dict[str, tuple[float, ...]], dict[int, float]]] = [
    ("fixed",       {"rate": (0.1,)},                                    {0: 0.1, 10**9: 0.1}),
    ("step",        {"rate": (0.1,), "gamma": (0.5,), "every": (200.0,)},
                    {0: 0.1, 199: 0.1, 200: 0.05, 399: 0.05, 400: 0.025, 2000: 0.1 * 0.5**10}),
    ("fixed_step",  {"rates": (0.001, 60000.0, 0.0001, 65000.0, 0.00001)},
                    {0: 1e-3, 59999: 1e-3, 60000: 1e-4, 64999: 1e-4, 65000: 1e-5, 10**6: 1e-5}),
    ("fixed_step",  {"rates": (0.3,)},                                   {0: 0.3, 7: 0.3}),
    ("linear",      {"rate": (0.8,), "final": (0.2,), "every": (100.0,)},
                    {0: 0.8, 25: 0.65, 50: 0.5, 100: 0.2, 101: 0.2, 10**6: 0.2}),
    ("exponential", {"rate": (0.8,), "every": (10.0,)},
                    {0: 0.8, 5: 0.8 / math.sqrt(2), 10: 0.4, 30: 0.1}),
    ("inverse",     {"rate": (0.5,), "gamma": (0.1,), "power": (2.0,)},
                    {0: 0.5, 10: 0.125, 30: 0.03125}),
    ("inverse_t",   {"rate": (0.6,), "every": (4.0,)},                   {0: 0.6, 4: 0.3, 8: 0.2}),
    ("cosine",      {"rate": (0.8,), "every": (90.0,), "final": (0.2,)},
                    {0: 0.8, 30: 0.65, 45: 0.5, 60: 0.35, 90: 0.2, 91: 0.2, 10**6: 0.2}),
]
# fmt: on


@pytest.mark.parametrize(("kind", "settings", "rates"), RATES)
def test_formulas(
    kind: str, settings: dict[str, tuple[float, ...]], rates: dict[int, float]
) -> None:
    assert list(settings) == [s.name for s in SCHEDULES[kind].settings]
    schedule = Schedule(kind, tuple(settings.items()))
    for step, wanted in rates.items():
        assert rate(schedule, step) == pytest.approx(wanted, rel=1e-14), step


STEP = Schedule("step", (("rate", (0.8,)), ("gamma", (0.5,)), ("every", (3.0,))))
WARMUP = Schedule("warmup", (("steps", (4.0,)),), STEP)


def test_a_warmup_rises_to_the_schedule_that_follows_and_then_starts_it() -> None:
    rising, following = [0.2, 0.4, 0.6, 0.8], [0.8, 0.8, 0.8, 0.4, 0.4, 0.4, 0.2]
    assert [rate(WARMUP, k) for k in range(11)] == pytest.approx(rising + following, rel=1e-14)


def test_a_warmup_in_a_warmup() -> None:
    twice = Schedule("warmup", (("steps", (2.0,)),), WARMUP)
    rising = [0.1, 0.2]
    rates = [rate(twice, k) for k in range(7)]
    assert rates == pytest.approx([*rising, *(rate(WARMUP, k) for k in range(5))], rel=1e-14)


def test_every_schedule_is_tested() -> None:
    tested = dict.fromkeys([*(kind for kind, _, _ in RATES), WARMUP.kind])
    assert list(tested) == list(SCHEDULES)


def _alternates(*numbers: float) -> list[str]:
    report = Report()
    fine = check_alternation(tuple(Given(n, SPAN) for n in numbers), SPAN, report)
    assert fine is not bool(report.found)
    return [f"{d.code} {d.place.label if d.place else ''}" for d in report.found]


def test_fixed_steps_alternate_and_rise() -> None:
    assert _alternates(0.1) == _alternates(0.1, 10, 0.2, 20, 0.3) == []
    assert _alternates(0.1, 10) == ["SG0203 2 arguments end with a step"]
    assert _alternates(0.1, 10, 0.2, 10, 0.3) == ["SG0203 10 comes after 10"]
