"""What the compiler chose where a partition leaves it the choice, and what it expects of it."""

from __future__ import annotations

from dataclasses import dataclass

from singac.partition.machine import Machine


@dataclass(frozen=True, slots=True)
class Choice:
    """How one layer is cut, and what comes next.

    `seconds` of a step are for computing it, for its params and for the exchanges that it reads.
    With the `runner_up` (empty: there is none), all else as it is but for layers without params
    that hang on it, the whole step would take `seconds_more`.
    """

    layer: str
    cut: str
    seconds: float
    runner_up: str
    seconds_more: float


@dataclass(frozen=True, slots=True)
class Chosen:
    """The choices, in the order of the layers, by the rates of `machine`.

    A step is expected to take `seconds`, and if every layer that is left to the compiler were on
    batch, `on_batch`.
    """

    machine: Machine
    seconds: float
    on_batch: float
    choices: tuple[Choice, ...]
