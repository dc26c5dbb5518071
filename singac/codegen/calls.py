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
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from singac.layers.expression import Call as Applied
from singac.layers.operations import Operation
from singac.plan.plan import Buffer, Space, Stretch, metric_buffer


@dataclass(frozen=True, slots=True)
class Kernel:
    """An operation on tensors that are called by numbers, each a buffer without a place.

    What `buffers` does not have is never in memory. `rows` and `batch` are those of its stretch.
    """

    operation: Operation
    buffers: tuple[Buffer, ...]
    rows: int
    batch: int

    @property
    def name(self) -> str:
        """Of its function, the same for equal kernels and for no others."""
        digest = hashlib.sha256(repr(self).encode()).hexdigest()[:24]
        return f"{type(self.operation).__name__}_{digest}"


@dataclass(frozen=True, slots=True)
class Place:
    """Bytes from the beginning of a space."""

    space: Space
    offset: int


@dataclass(frozen=True, slots=True)
class Call:
    """A kernel with the places of its working memory and of its buffers, in that order."""

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
        there = [(buffers[name], number) for name, number in numbers.items() if name in buffers]
        shapes = tuple(
            replace(buffer, name=number, space=Space.ARENA, offset=0, first=0, last=0)
            for buffer, number in there
        )
        places = (scratch, *(Place(buffer.space, buffer.offset) for buffer, _ in there))
        calls.append(Call(Kernel(numbered, shapes, stretch.rows, stretch.batch), places))
    return tuple(calls)


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
