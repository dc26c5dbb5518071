"""A process's stub: what its worker and its server ask of the other processes.

In step t a worker pulls every param with t updates and pushes its gradient; the server of a slice
sums what was pushed, updates and publishes update t + 1:

    worker     pull(p, t) .. forward, backward .. push(p, t)
    server                                        gradients(s, t) .. update .. publish(s, t)

Of a param a worker pulls and pushes what it has: all, or the piece that belongs to its piece of a
layer. Nobody reads a param between its last push and the next pull, so servers update in place.
There are two stubs: `shared` within a node, `messages` between nodes. Both give the same bits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from runtime.transport.tally import Tally
from singac.codegen.load import Moves
from singac.plan.plan import Buffer, Step

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Sums = list[float]

TRANSPORT_VARIABLE = "SINGAC_TRANSPORT"
# Metrics of step t go to slot t % RING. No worker is more than one step ahead of another and the
# chief reads at most one step late, so four slots are enough. Tests and validations have their own.
RING = 4
TEST_SLOT, VALIDATE_SLOT = RING, RING + 1
SLOTS = RING + 2


@dataclass(frozen=True, slots=True)
class Gathered:
    """Gradients of a slice in worker order: address of the first, the stride, how many."""

    address: int
    stride: int
    count: int


@dataclass(frozen=True, slots=True)
class NativeCall:
    """A native function and its arguments, addresses and integers."""

    function: Callable[..., int]
    arguments: tuple[int, ...]

    def __call__(self, step: int) -> int:
        """Called alike in every step."""
        return self.function(*self.arguments)


@dataclass(frozen=True, slots=True)
class Kernels:
    """The native calls a process makes: of a stretch, and those of a server for a slice.

    `squares` has the address of a double to write, `factor` that of all slices' doubles to read.
    `place` gives the address of a buffer of the arena.
    """

    stretch: Callable[[int], NativeCall]
    update: Callable[[int, Gathered], NativeCall]
    squares: Callable[[int, Gathered, int], NativeCall]
    factor: Callable[[int], NativeCall]
    moves: Moves | None
    place: Callable[[Buffer], int]


Call = Callable[[int], object]  # takes the step


class Arrays(Protocol):
    """Memory of a worker, a server or both.

    `params` is the param space, `gradients` this worker's slot of the same layout (empty without
    a worker), `states` one row a state of the updater. Rows and slices this process neither reads
    nor serves may hold anything.
    """

    params: Floats
    gradients: Floats
    states: Floats


class Spaces(Arrays, Protocol):
    """Memory of a process that its programs run on."""

    def lower(self, steps: Sequence[Step], kernels: Kernels) -> list[Call]:
        """Steps of a program, none of them `Feed`, as calls that do them in order."""


class Stub(Spaces, Protocol):
    """Memory of a process and its exchanges; `tally` has what was moved, tests included."""

    tally: Tally

    def begin(self, step: int) -> None:
        """Say that a step begins and all of those before is saved (said by the chief alone)."""

    def pull(self, param: int, step: int) -> None:
        """Wait until the slices of the param that this process sees have had `step` updates."""

    def post(self, slot: int, round_: int, given: Doubles) -> None:
        """Give this worker's sums to the chief, and the states it carries on behind them.

        `round_` counts the uses of the slot from 0.
        """

    def posted(self, slot: int, round_: int) -> bool:
        """Whether all workers have given their sums (asked by the chief alone)."""

    def sums(self, slot: int, round_: int) -> Sums:
        """Wait for all workers' sums; the total in worker order (asked by the chief alone)."""

    def carried(self, slot: int) -> Doubles:
        """What all workers gave behind their sums, until the slot is used again."""

    def announce(self, round_: int, stop: bool) -> None:
        """Say whether training ends here (said by the chief alone, to be heard by all others)."""

    def heard(self, round_: int) -> bool:
        """Wait for what the chief announces for the `round_`-th time, counted from 0."""

    def gather(self, step: int) -> None:
        """Bring the chief all states, and the params it has no gradient of, after `step` updates.

        It must have pulled all params and begun no other step.
        """

    def owns_memory_of_node(self) -> bool:
        """Whether this process fills params and states that others see."""

    def ready(self, step: int) -> None:
        """Wait until the memory of all processes is filled; `step` updates have been done."""

    def finish(self) -> None:
        """Wait until every process has come here."""

    def free(self) -> None:
        """Free what the others used; done by all processes together."""


@runtime_checkable
class Meeting(Protocol):
    """What the stub of a worker can do that has other groups beside its own."""

    def meet(self, step: int) -> None:
        """Come together after `step` steps: the params are then those of all that was done."""

    def part(self) -> None:
        """Go on from a meeting, when the chief does."""

    def steps_of_all(self, own: int) -> int:
        """Steps that all groups together have done, as far as is known (asked by the chief)."""


def prefers_messages() -> bool:
    """Whether the environment asks for messages where memory could be shared."""
    return os.environ.get(TRANSPORT_VARIABLE) == "messages"


def total(board: Doubles) -> Sums:
    """Sums over the workers, in worker order, of a board [workers][metrics]."""
    return [sum(column) for column in zip(*board.tolist(), strict=True)]
