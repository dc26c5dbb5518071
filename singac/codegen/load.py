"""A plan's native functions, from the object cache; generated only where the cache has none."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from singac.codegen import host as hosts
from singac.codegen import native
from singac.codegen.calls import Kernel, calls_of
from singac.codegen.table import RUN, RUN_ARGUMENTS, table_of
from singac.plan.encode import to_json
from singac.plan.plan import FOLLOW, Plan, Process, Run, Stretch, Update


@dataclass(frozen=True, slots=True)
class Routine:
    """A stretch: called with the addresses of arena, params, gradients, metrics and scalars.

    It is `function`, native, with the address of its `table` before these.
    """

    function: Callable[..., int]
    table: NDArray[np.int64]

    @property
    def address(self) -> int:
        return int(self.table.ctypes.data)

    def __call__(self, *addresses: int) -> int:
        return self.function(self.address, *addresses)


@dataclass(frozen=True, slots=True)
class Clip:
    """`squares(gradient, stride, workers, floats, out)` of a slice; of all slices together
    `factor(squares, slices, limit, out, stride, copies)`."""

    squares: Callable[..., int]
    factor: Callable[..., int]


@dataclass(frozen=True, slots=True)
class Moves:
    """`copy`, `add`, `clear`(to, to stride, from, from stride, rows, columns) of floats."""

    copy: Callable[..., int]
    add: Callable[..., int]
    clear: Callable[..., int]


@dataclass(frozen=True, slots=True)
class Native:
    """What a process calls.

    `stretches[k]` runs stretch k of the plan;
    `update(w, gradient, gradient_stride, workers, state, state_stride, floats, scalars)` updates
    part of a slice and gives 1 when its gradient is not finite, else 0; `follow` does so for a
    param that is measured, by the same arguments, its share the only scalar. All arguments are
    addresses or integers, strides in bytes.
    """

    stretches: Mapping[int, Routine]
    update: Callable[..., int]
    clip: Clip | None
    moves: Moves | None = None
    follow: Callable[..., int] | None = None


def load(plan: Plan, process: Process) -> Native:
    """The functions one process needs."""
    numbers = stretches_of(process)
    routines = routines_of([plan.stretches[k] for k in numbers])
    stretches = dict(zip(numbers, routines, strict=True))
    clipping = clip() if plan.update.clip_norm else None
    moving = moves() if plan.exchanges else None
    follow = updater(FOLLOW) if measures(plan) else None
    return Native(stretches, updater(plan.update), clipping, moving, follow)


def measures(plan: Plan) -> bool:
    """Whether a plan has params that are measured and not learnt."""
    return any(param.follows for param in plan.params)


def stretches_of(process: Process) -> tuple[int, ...]:
    """Numbers of the stretches a process runs, each once."""
    programs = [process.train, process.test] if process.test else [process.train]
    steps = [step for program in programs for step in program.steps]
    return tuple(dict.fromkeys(s.stretch for s in steps if isinstance(s, Run)))


def routines_of(stretches: Sequence[Stretch]) -> list[Routine]:
    """Stretches ready to be called; what they have in common is loaded once."""
    calls = [calls_of(stretch) for stretch in stretches]
    kernels = {call.name: call.kernel for each in calls for call in each}
    codes = native.provide(RUN, run_source)
    for name, kernel in kernels.items():
        codes |= native.provide(name, partial(kernel_source, name, kernel))
    library = native.Library([*codes.values()], [RUN, *kernels])
    addresses = {name: library.address(name) for name in kernels}
    run = library.function(RUN, RUN_ARGUMENTS)
    return [Routine(run, table_of(each, addresses)) for each in calls]


def kernels_of(plan: Plan) -> dict[str, Kernel]:
    """The kernels of all processes by their names."""
    calls = (call for stretch in plan.stretches for call in calls_of(stretch))
    return {call.name: call.kernel for call in calls}


def kernel_source(name: str, kernel: Kernel) -> native.Source:
    """What a kernel is compiled from, for this host."""
    from singac.codegen import stretch as generator

    with _no_collection():
        return generator.build(name, kernel, hosts.current())


def run_source() -> native.Source:
    """What the function is compiled from that works off a stretch, for this host."""
    from singac.codegen import run as generator

    return native.Source(generator.build(hosts.current()))


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """A module in the making is many objects, all alive: to look through them doubles the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def update_ir(update: Update) -> str:
    """IR text of an updater for this host."""
    from singac.codegen import update as generator

    return generator.build(update, hosts.current())


def clip_ir() -> str:
    """IR text of what finds the norm of a gradient."""
    from singac.codegen import clip as generator

    return generator.build(hosts.current())


def move_ir() -> str:
    """IR text of what moves rectangles in exchanges."""
    from singac.codegen import move as generator

    return generator.build(hosts.current())


def moves() -> Moves:
    names = ("copy", "add", "clear")
    library = native.load("move", names, move_ir)
    return Moves(*(library.function(name, 6) for name in names))


def clip() -> Clip:
    library = native.load("clip", ["squares", "factor"], clip_ir)
    return Clip(library.function("squares", 5), library.function("factor", 6))


def updater(update: Update) -> Callable[..., int]:
    key = to_json((update.states, update.assigns, update.scalars))
    return native.load(key, ["update"], lambda: update_ir(update)).function("update", 8)
