"""A stretch as calls of kernels; a kernel is an operation without the places of its tensors.

    product of fc1   out fc1 at 4096, left image at 0, right fc1.weight at 0    64 x 784 x 2500
    product of fc2   ...                                                        64 x 784 x 2500
    one kernel       out t0, left t1, right t2                                  64 x 784 x 2500

Operations that differ in nothing but names and places are calls of one kernel: those of training
and of testing, of layers alike, of other processes, and of any plan that the cache has seen.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from singac.layers.expression import Call as Applied
from singac.layers.operations import Loop, Operation
from singac.plan.plan import Buffer, Space, Stretch, metric_buffer


@dataclass(frozen=True, slots=True)
class Kernel:
    """An operation on tensors that are called by numbers.

    It is given a place for each buffer, at which that begins, or where it has `spaces` for each of
    these: buffers then lie at their offsets from the place of their space. What `buffers` does not
    have is never in memory. `rows` and `batch` are those of its stretch.
    """

    operation: Operation
    buffers: tuple[Buffer, ...]
    spaces: tuple[Space, ...]
    rows: int
    batch: int


@dataclass(frozen=True, slots=True)
class Place:
    """Bytes from the beginning of a space."""

    space: Space
    offset: int


@dataclass(frozen=True, slots=True)
class Call:
    """A kernel with the places of its working memory and of its buffers or spaces, in that order.

    `name` is that of the kernel's function: it tells apart whatever is not written alike, as 0.0
    and -0.0, which are equal.
    """

    name: str
    kernel: Kernel
    places: tuple[Place, ...]


def calls_of(stretch: Stretch) -> tuple[Call, ...]:
    """The operations of a stretch, in order."""
    buffers = {buffer.name: buffer for buffer in stretch.buffers}
    scratch = Place(Space.ARENA, stretch.scratch)
    calls = []
    for operation in stretch.operations:
        numbers: dict[str, str] = {}
        numbered = _numbered(operation, numbers)
        own = {number: buffers[name] for name, number in numbers.items() if name in buffers}
        # A loop has many tensors: as many pointers do not fit the registers, which costs 5 %.
        shapes, spaces, places = (_together if isinstance(operation, Loop) else _apart)(own)
        kernel = Kernel(numbered, shapes, spaces, stretch.rows, stretch.batch)
        calls.append(Call(_name(kernel), kernel, (scratch, *places)))
    return tuple(calls)


Placed = tuple[tuple[Buffer, ...], tuple[Space, ...], list[Place]]


def _apart(own: Mapping[str, Buffer]) -> Placed:
    """Buffers by their numbers, wherever they lie."""
    shapes = (_shape(number, buffer, Space.ARENA, 0) for number, buffer in own.items())
    return tuple(shapes), (), [Place(buffer.space, buffer.offset) for buffer in own.values()]


def _together(own: Mapping[str, Buffer]) -> Placed:
    """Buffers by their numbers, which lie so from the first of their space."""
    first: dict[Space, int] = {}
    for buffer in own.values():
        first[buffer.space] = min(buffer.offset, first.get(buffer.space, buffer.offset))
    shapes = (_shape(n, b, b.space, b.offset - first[b.space]) for n, b in own.items())
    return tuple(shapes), tuple(first), [Place(space, at) for space, at in first.items()]


def _shape(number: str, buffer: Buffer, space: Space, offset: int) -> Buffer:
    return replace(buffer, name=number, space=space, offset=offset, first=0, last=0)


def _name(kernel: Kernel) -> str:
    digest = hashlib.sha256(repr(kernel).encode()).hexdigest()[:24]
    return f"{type(kernel.operation).__name__}_{digest}"


def _numbered(value: Any, numbers: dict[str, str], field: str = "") -> Any:
    """An operation, or a part of one, whose tensors and metrics are called by their numbers.

    All its texts are names of tensors, but for metrics and functions.
    """
    match value:
        case StrEnum():
            return value
        case str() if field == "metric":
            number = str(len(numbers))
            numbers[metric_buffer(value)] = metric_buffer(number)
            return number
        case str():
            return numbers.setdefault(value, str(len(numbers)))
        case tuple():
            return tuple(_numbered(part, numbers) for part in value)
        case Applied(function, arguments):
            return Applied(function, _numbered(arguments, numbers))
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = dataclasses.fields(value)
            parts = {f.name: _numbered(getattr(value, f.name), numbers, f.name) for f in fields}
            return type(value)(**parts)
    return value
