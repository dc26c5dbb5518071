"""Contestants take turns; what is told are medians of paired ratios and how sure they are.

    round 1    probe  ours  probe  A  probe  B  probe
    round 2    probe  B  probe  A  probe  ours  probe      the other way round, and so on

One is active at a time, and waits for a moment in which the machine gives about its best. A round
in which a look at it was far below what it usually gives is left out: it was somebody else's then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

import numpy as np

TURN_SECONDS = 0.3
PAUSE_SECONDS = 0.01  # threads of whoever had its turn stop spinning
LEAST_PROBE = 0.85
MOST_LOOKS, LOOK_AGAIN_SECONDS = 20, 0.05
RESAMPLED = 2000


class Runner(Protocol):
    """Who takes turns."""

    name: str

    def turn(self, steps: int) -> float:
        """Seconds that so many steps took."""
        ...


@dataclass(frozen=True, slots=True)
class Turn:
    """Seconds a step of one contestant in one round, and the lower of the probes around it."""

    seconds: float
    probe: float


Turns = Mapping[str, list[Turn]]


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast: the median of pairs, and its 95 % interval."""

    median: float
    low: float
    high: float


def take_turns(
    runners: Sequence[Runner],
    rounds: int,
    probe: Callable[[], float],
    turn_seconds: float = TURN_SECONDS,
) -> dict[str, list[Turn]]:
    """So many rounds, each in the order of the one before turned round."""
    steps = {r.name: _steps_of_a_turn(r, turn_seconds) for r in runners}
    found: dict[str, list[Turn]] = {r.name: [] for r in runners}
    best = probe()
    for number in range(rounds):
        for runner in runners if number % 2 == 0 else reversed(runners):
            before = _settled(probe, best)
            seconds = runner.turn(steps[runner.name])
            time.sleep(PAUSE_SECONDS)
            after = probe()
            found[runner.name].append(Turn(seconds / steps[runner.name], min(before, after)))
            best = max(best, before, after)
    return found


def _settled(probe: Callable[[], float], best: float) -> float:
    """Wait for a while for a moment in which the machine gives about its best; the last look."""
    for _ in range(MOST_LOOKS - 1):
        look = probe()
        if look >= LEAST_PROBE * best:
            return look
        time.sleep(LOOK_AGAIN_SECONDS)
    return probe()


def _steps_of_a_turn(runner: Runner, seconds: float) -> int:
    """As many as fill a turn; finding out warms up what has slept."""
    runner.turn(2)
    return max(1, round(seconds / (runner.turn(3) / 3)))


def sound(turns: Turns) -> tuple[dict[str, list[Turn]], int]:
    """The rounds in which the machine was itself throughout, and how many were not.

    What it usually gives is the median of all looks. Where that leaves less than a third of the
    rounds, they are those with the best worst look: the machine was never itself for long.
    """
    usual = median(turn.probe for own in turns.values() for turn in own)
    rounds = list(zip(*turns.values(), strict=True))
    worst = sorted((min(turn.probe for turn in r) for r in rounds), reverse=True)
    least = min(LEAST_PROBE * usual, worst[(len(worst) - 1) // 3])
    kept = [r for r in rounds if min(turn.probe for turn in r) >= least]
    by_name = map(list, zip(*kept, strict=True))
    return dict(zip(turns, by_name, strict=True)), len(rounds) - len(kept)


def told(turns: Turns) -> str:
    """What the looks at the machine were like."""
    looks = [turn.probe for own in turns.values() for turn in own]
    return f"probes: {min(looks):.0f} to {max(looks):.0f} GFLOP/s, median {median(looks):.0f}"


def step_seconds(own: Sequence[Turn]) -> float:
    return median(turn.seconds for turn in own)


def ratio(ours: Sequence[Turn], theirs: Sequence[Turn]) -> Ratio:
    """Their time over ours, round by round; the interval by the bootstrap (Efron, 1979)."""
    pairs = np.array([b.seconds / a.seconds for a, b in zip(ours, theirs, strict=True)])
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(pairs, (RESAMPLED, len(pairs))), axis=1)
    low, high = np.quantile(medians, (0.025, 0.975))
    return Ratio(float(np.median(pairs)), float(low), float(high))
