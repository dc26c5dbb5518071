"""Names of tensors over time: an unrolled tensor has the rows of all its steps, one after another.

A tensor that is read at other steps lies in a memory that begins before step 0 or ends behind the
last one, so that a delay is no copy but the same rows, counted from another place:

    step        -1    0     1     2     3         T = 4
    memory    |  .  |  .  |  .  |  .  |  .  |
    h               |---- h ----------------|
    h[t-1]    |---- h[t-1] -----------|           what step t reads of the one before
    h[-1:0]   |-----|                             the state a batch begins with
    h[3:4]                            |-----|     the state it ends with
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SHIFTED = re.compile(r"(.+)\[t([+-]\d+)\]")
_RANGE = re.compile(r"(.+)\[(-?\d+):(-?\d+)\]")


@dataclass(frozen=True, slots=True)
class Window:
    """Steps `start` to `stop` of tensor `base`; `shift` tells one that moves along with t."""

    base: str
    start: int
    stop: int
    shift: int = 0

    @property
    def steps(self) -> int:
        return self.stop - self.start


def shifted(name: str, by: int) -> str:
    """What tensor `name` holds `by` steps later; -1 is the step before."""
    return f"{name}[t{by:+d}]" if by else name


def steps_of(name: str, start: int, stop: int) -> str:
    """Steps `start` to `stop` of tensor `name`; those below 0 are before its first."""
    return f"{name}[{start}:{stop}]"


def base_of(name: str) -> str:
    """The tensor whose memory a name means."""
    found = _SHIFTED.fullmatch(name) or _RANGE.fullmatch(name)
    return found[1] if found else name


def shift_of(name: str) -> int:
    """By how many steps a name is later than the tensor it is of."""
    found = _SHIFTED.fullmatch(name)
    return int(found[2]) if found else 0


def window(name: str, steps: int) -> Window:
    """What a name means of a tensor of so many steps."""
    if found := _RANGE.fullmatch(name):
        return Window(found[1], int(found[2]), int(found[3]))
    shift = shift_of(name)
    return Window(base_of(name), shift, steps + shift, shift)
