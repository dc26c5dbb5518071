"""Learning rates as functions of the step, which counts from 0."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from singac.diagnostics import Report, Span
from singac.settings import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, Given, Setting, Sort

Settings = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class ScheduleKind:
    """A schedule: its settings, its formula as it is documented, and the formula computed."""

    name: str
    settings: tuple[Setting, ...]
    formula: str
    rate: Callable[[Settings, int], float]


def rate(kind: str, settings: Settings, step: int) -> float:
    """Learning rate of step `step`; `settings` has every setting of the kind, defaults filled in.

    A setting is a tuple of one number, or of many where it is variadic.
    """
    return SCHEDULES[kind].rate(settings, step)


def check_alternation(given: tuple[Given, ...], span: Span, report: Report) -> bool:
    """Whether the arguments of `fixed_step` are rate, step, rate ... with rising steps (SG0203)."""
    steps = given[1::2]
    if len(given) % 2 == 0:
        report.error(
            "SG0203",
            "fixed_step takes rates with a step between each two",
            span,
            f"{len(given)} arguments end with a step",
            help="write fixed_step(0.001, 60000, 0.0001): 0.001 until step 60000, then 0.0001",
        )
        return False
    for earlier, later in pairwise(steps):
        if _number(later) <= _number(earlier):
            report.error(
                "SG0203",
                "the steps of fixed_step must rise",
                later.span,
                f"{_number(later):g} comes after {_number(earlier):g}",
            )
            return False
    return True


def _number(given: Given) -> float:
    assert isinstance(given.value, int | float), "values were checked to be numbers"
    return given.value


def _fixed(s: Settings, step: int) -> float:
    return s["rate"][0]


def _step(s: Settings, step: int) -> float:
    return float(s["rate"][0] * s["gamma"][0] ** (step // int(s["every"][0])))


def _fixed_step(s: Settings, step: int) -> float:
    rates, starts = s["rates"][::2], s["rates"][1::2]
    return rates[sum(step >= start for start in starts)]


def _linear(s: Settings, step: int) -> float:
    r = min(step / s["every"][0], 1.0)
    return (1.0 - r) * s["rate"][0] + r * s["final"][0]


def _exponential(s: Settings, step: int) -> float:
    return float(s["rate"][0] * 2.0 ** -(step / s["every"][0]))


def _inverse(s: Settings, step: int) -> float:
    return float(s["rate"][0] * (1.0 + s["gamma"][0] * step) ** -s["power"][0])


def _inverse_t(s: Settings, step: int) -> float:
    return s["rate"][0] / (1.0 + step / s["every"][0])


_RATE = Setting("rate", "the rate at step 0", positional=True, within=NOT_NEGATIVE)
_RATES = Setting(
    "rates",
    "a rate, the step from which the next holds, that rate, and so on",
    positional=True,
    variadic=True,
    within=NOT_NEGATIVE,
)
_GAMMA = Setting("gamma", "the factor of each change", within=POSITIVE)
_GROWTH = Setting("gamma", "how fast the divisor grows", within=NOT_NEGATIVE)
_FINAL = Setting("final", "the rate after `every` steps and from then on", within=NOT_NEGATIVE)
_POWER = Setting("power", "the exponent of the divisor", within=NOT_NEGATIVE)


def _every(doc: str) -> Setting:
    return Setting("every", doc, sorts=(Sort.INTEGER,), within=AT_LEAST_ONE)


# The formulas are those of the original system (LRGenProto), except that its linear schedule went
# on past `final` to negative rates and its fixed steps lagged behind after a resume.
# fmt: off
_KINDS = (
    ScheduleKind("fixed", (_RATE,),
                 "rate", _fixed),
    ScheduleKind("step", (_RATE, _GAMMA, _every("steps between two changes")),
                 "rate gamma^floor(step / every)", _step),
    ScheduleKind("fixed_step", (_RATES,),
                 "the last rate whose step is reached", _fixed_step),
    ScheduleKind("linear", (_RATE, _FINAL, _every("steps from `rate` to `final`")),
                 "(1 - r) rate + r final, r = min(step / every, 1)", _linear),
    ScheduleKind("exponential", (_RATE, _every("steps in which the rate halves")),
                 "rate / 2^(step / every)", _exponential),
    ScheduleKind("inverse", (_RATE, _GROWTH, _POWER),
                 "rate (1 + gamma step)^-power", _inverse),
    ScheduleKind("inverse_t", (_RATE, _every("steps in which the rate halves for the first time")),
                 "rate / (1 + step / every)", _inverse_t),
)
# fmt: on
SCHEDULES: dict[str, ScheduleKind] = {kind.name: kind for kind in _KINDS}
