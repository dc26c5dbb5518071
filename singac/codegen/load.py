"""A plan's native functions, from the object cache; generated only where the cache has none."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from singac.codegen import native
from singac.plan.encode import to_json
from singac.plan.plan import FOLLOW, Plan, Process, Run, Stretch, Update

PART = 64  # operations that are compiled together


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

    `stretches[k](arena, params, gradients, metrics, scalars)` runs stretch k of the plan;
    `update(w, gradient, gradient_stride, workers, state, state_stride, floats, scalars)` updates
    part of a slice and gives 1 when its gradient is not finite, else 0; `follow` does so for a
    param that is measured, by the same arguments, its share the only scalar. All arguments are
    addresses or integers, strides in bytes.
    """

    stretches: Mapping[int, Callable[..., int]]
    update: Callable[..., int]
    clip: Clip | None
    moves: Moves | None = None
    follow: Callable[..., int] | None = None


def load(plan: Plan, process: Process) -> Native:
    """The functions one process needs."""
    stretches = {k: stretch(plan.stretches[k]) for k in stretches_of(process)}
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


def parts_of(stretch: Stretch) -> range:
    """Numbers of the parts that a stretch is compiled in."""
    return range(-(-len(stretch.operations) // PART) or 1)


def part_of(stretch: Stretch, part: int) -> range:
    """Numbers of the operations of a part."""
    return range(len(stretch.operations))[part * PART : (part + 1) * PART]


def stretch_ir(stretch: Stretch, part: int = 0) -> str:
    """IR text of a part of a stretch for this host."""
    from singac.codegen import host
    from singac.codegen import stretch as generator

    with _no_collection():
        return generator.build(stretch, host.current(), part)


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
    from singac.codegen import host
    from singac.codegen import update as generator

    return generator.build(update, host.current())


def clip_ir() -> str:
    """IR text of what finds the norm of a gradient."""
    from singac.codegen import clip as generator
    from singac.codegen import host

    return generator.build(host.current())


def move_ir() -> str:
    """IR text of what moves rectangles in exchanges."""
    from singac.codegen import host
    from singac.codegen import move as generator

    return generator.build(host.current())


def moves() -> Moves:
    names = ("copy", "add", "clear")
    library = native.load("move", names, move_ir)
    return Moves(*(library.function(name, 6) for name in names))


def clip() -> Clip:
    library = native.load("clip", ["squares", "factor"], clip_ir)
    return Clip(library.function("squares", 5), library.function("factor", 6))


def key_of(stretch: Stretch) -> str:
    """What decides the native code of a stretch."""
    return to_json(stretch)


def stretch(stretch: Stretch) -> Callable[..., int]:
    builds = [partial(stretch_ir, stretch, part) for part in parts_of(stretch)]
    library = native.load(key_of(stretch), ["stretch"], *builds)
    return library.function("stretch", 5)


def updater(update: Update) -> Callable[..., int]:
    key = to_json((update.states, update.assigns, update.scalars))
    return native.load(key, ["update"], lambda: update_ir(update)).function("update", 8)
