"""What the parts of a plan are expected to cost: floating-point operations, bytes and seconds.

By the rates of `partition/machine.py`; `plan --analyze` holds them against a real machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from singac.layers.access import reads, writes
from singac.layers.operations import Operation
from singac.layers.work import flops
from singac.partition.machine import BUILT_IN, Machine
from singac.plan.plan import LANES, Buffer, Plan, Stretch

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Cost:
    """Floating-point operations, and bytes of the tensors that are read and written."""

    flops: int = 0
    bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.flops + other.flops, self.bytes + other.bytes)

    def seconds(self, machine: Machine) -> float:
        """By whichever of arithmetic and memory takes longer."""
        return max(self.flops / machine.arithmetic, self.bytes / machine.memory)


def operation_cost(operation: Operation, stretch: Stretch) -> Cost:
    """One operation of a stretch."""
    buffers = {b.name: b for b in stretch.buffers}
    touched = [buffers[n] for n in (*reads(operation), *writes(operation)) if n in buffers]
    return Cost(flops(operation, buffers, stretch.rows), sum(map(_bytes, touched)))


def _bytes(buffer: Buffer) -> int:
    return buffer.floats * FLOAT_BYTES if buffer.columns >= LANES else 0


def stretch_cost(stretch: Stretch) -> Cost:
    """All operations of a stretch."""
    return sum((operation_cost(o, stretch) for o in stretch.operations), Cost())


def machine_of(plan: Plan) -> Machine:
    """The machine whose rates a plan was chosen by, else the usual one."""
    return BUILT_IN if plan.chosen is None else plan.chosen.machine


def duration(seconds: float) -> str:
    """In the unit a reader wants: `85 us`, `3.2 ms`, `1.5 s`."""
    for unit, most in (("us", 1e-3), ("ms", 1.0)):
        if seconds < most:
            return f"{seconds * 1e3 / most:.3g} {unit}"
    return f"{seconds:,.3g} s"


class Owners:
    """Which layer an operation of the plan belongs to, by the tensors it names."""

    def __init__(self, plan: Plan) -> None:
        self._layers = {layer.name for layer in plan.layers}
        self._of_param = {p: layer.name for layer in reversed(plan.layers) for p in layer.params}

    def layer(self, operation: Operation) -> str | None:
        """The layer that has the param it works with; else the one it gives, or goes back through.

        Of operations that were fused, the one that carries the others counts.
        """
        touched = (*writes(operation), *reads(operation))
        for name in touched:
            if (owner := self._of_param.get(_plain(name))) is not None:
                return owner
        given = [n for n in writes(operation) if not n.startswith("d(")]
        gradients = [n for n in reads(operation) if n.startswith("d(")]
        return next(self._known((*given, *gradients, *touched)), None)

    def _known(self, names: tuple[str, ...]) -> Iterator[str]:
        """Names of layers among names of tensors; `name/role` is kept by a layer for itself."""
        for name in map(_plain, names):
            for layer in (name, name.partition("/")[0]):
                if layer in self._layers:
                    yield layer


def _plain(name: str) -> str:
    """`d(fc1)` and `d(fc1)/relu1.0` are about `fc1`."""
    return name[2:].partition(")")[0] if name.startswith("d(") else name
