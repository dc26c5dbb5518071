"""Learning rates as functions of the step, which counts from 0.

A process computes them too: nothing here may need the compiler.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from singac.diagnostics import Report, Span
from singac.settings import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, Given, Setting, Sort

Settings = Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Schedule:
    """A learning rate as a function of the step: a row of the table below and its settings.

    `settings` has every setting of the kind, defaults filled in: a tuple of one number, or of many
    where it is variadic. `then` is the schedule inside one that takes such.
    """

    kind: str
    settings: tuple[tuple[str, tuple[float, ...]], ...]
    then: Schedule | None = None


@dataclass(frozen=True, slots=True)
class ScheduleKind:
    """A schedule: its settings, its formula as it is documented, and the formula computed.

    Of a schedule with another one inside, `rate` is the factor on the rate of that one, which
    begins with its own step 0 when `steps` of this one are over.
    """

    name: str
    settings: tuple[Setting, ...]
    formula: str
    rate: Callable[[Settings, int], float]

    @property
    def then(self) -> Setting | None:
        """The setting that is a schedule itself."""
        return next((s for s in self.settings if Sort.SCHEDULE in s.sorts), None)


def rate(schedule: Schedule, step: int) -> float:
    """Learning rate of step `step`."""
    settings = dict(schedule.settings)
    own = SCHEDULES[schedule.kind].rate(settings, step)
    if schedule.then is None:
        return own
    return own * rate(schedule.then, max(step - int(settings["steps"][0]), 0))


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


def _cosine(s: Settings, step: int) -> float:
    r = min(step / s["every"][0], 1.0)
    return s["final"][0] + (s["rate"][0] - s["final"][0]) * (1.0 + math.cos(math.pi * r)) / 2.0


def _warmup(s: Settings, step: int) -> float:
    return min((step + 1) / s["steps"][0], 1.0)


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
_LOWEST = Setting(
    "final", "the rate after `every` steps and from then on", default=0.0, within=NOT_NEGATIVE
)
_STEPS = Setting(
    "steps",
    "steps until the rate is that of `then`",
    sorts=(Sort.INTEGER,),
    positional=True,
    within=AT_LEAST_ONE,
)
_THEN = Setting(
    "then",
    "the rate from then on; its steps count from there",
    sorts=(Sort.NUMBER, Sort.SCHEDULE),
    within=NOT_NEGATIVE,
)
_POWER = Setting("power", "the exponent of the divisor", within=NOT_NEGATIVE)


def _every(doc: str) -> Setting:
    return Setting("every", doc, sorts=(Sort.INTEGER,), within=AT_LEAST_ONE)


# The formulas are those of the original system (LRGenProto), except that its linear schedule went
# on past `final` to negative rates and its fixed steps lagged behind after a resume.
# fmt: off
_KINDS = (
    ScheduleKind("fixed", (_RATE,),
                 "rate in every step", _fixed),
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
    ScheduleKind("cosine", (_RATE, _every("steps from `rate` to `final`"), _LOWEST),
                 "final + (rate - final) (1 + cos(pi r)) / 2, r = min(step / every, 1)", _cosine),
    ScheduleKind("warmup", (_STEPS, _THEN),
                 "then(0) (step + 1) / steps before step `steps`, from there then(step - steps)",
                 _warmup),
)
# fmt: on
SCHEDULES: dict[str, ScheduleKind] = {kind.name: kind for kind in _KINDS}
