"""Tensors over time in NumPy: all steps of a tensor, those of a delay, or one inside a loop.

A tensor is held whole, [steps x rows, columns]; what lies before its first step or behind its last
is held apart, under the name that means it (`singac/layers/time.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping

import numpy as np

from singac.layers.time import base_of, window
from tests.reference.expressions import Array


class Tensors(MutableMapping[str, Array]):
    """Buffers by name. While `t` is set, a tensor over time has the rows of that step alone."""

    def __init__(self, held: dict[str, Array], steps: Mapping[str, int]) -> None:
        self.held, self.steps = held, steps
        self.t: int | None = None

    def __getitem__(self, name: str) -> Array:
        if name == base_of(name) and (self.t is None or not self._over_time(name)):
            return self.held[name]
        part = window(name, self.steps.get(base_of(name), 1))
        if self.t is not None and part.steps == self.steps[part.base]:
            return self._step(part.base, self.t + part.start)
        return np.concatenate([self._step(part.base, s) for s in range(part.start, part.stop)])

    def __setitem__(self, name: str, value: Array) -> None:
        part = window(name, self.steps.get(base_of(name), 1))
        if name == part.base and (self.t is None or not self._over_time(name)):
            self.held[name] = value
        elif self.t is not None:
            assert name == part.base, f"a loop writes {name}, another step than its own"
            whole = (len(value) * part.steps, value.shape[1])
            held = self.held.setdefault(name, np.full(whole, np.nan))
            held[self.t * len(value) :][: len(value)] = value
        elif part.start >= 0 and part.stop <= self.steps[part.base]:
            rows = len(value) // part.steps
            self.held[part.base][part.start * rows : part.stop * rows] = value
        else:
            self.held[name] = value

    def __delitem__(self, name: str) -> None:
        del self.held[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.held)

    def __len__(self) -> int:
        return len(self.held)

    def _over_time(self, name: str) -> bool:
        return self.steps.get(name, 1) > 1

    def _step(self, base: str, step: int) -> Array:
        steps = self.steps[base]
        if 0 <= step < steps:
            rows = len(self.held[base]) // steps
            return self.held[base][step * rows : (step + 1) * rows]
        for name, values in self.held.items():
            part = window(name, steps)
            if part.base == base != name and part.start <= step < part.stop:
                rows = len(values) // part.steps
                return values[(step - part.start) * rows :][:rows]
        raise KeyError(f"{base} has no step {step}")
