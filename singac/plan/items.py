"""What a phase does in order: operations, and params that are needed or complete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from singac.layers.operations import Operation


@dataclass(frozen=True, slots=True)
class PullParam:
    """Param `param` is needed from here on."""

    param: str


@dataclass(frozen=True, slots=True)
class PushParam:
    """The gradient of param `param` is complete."""

    param: str


Item = Operation | PullParam | PushParam


def gradient_of(name: str) -> str:
    """Name of the gradient of a tensor."""
    return f"d({name})"


def operations_of(items: Sequence[Item]) -> list[Operation]:
    return [i for i in items if not isinstance(i, PullParam | PushParam)]
