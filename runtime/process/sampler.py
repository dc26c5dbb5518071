"""A net that reads a token a step and scores the next: text drawn from it, on and on.

    reads    p  r  o  m  p  t  .  .  .        the prompt, then what was drawn
    draws                   a  b  c  ...      each by the scores of all before it

States go on from token to token as they do from batch to batch in training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from runtime.checkpoints.packing import Floats
from runtime.process.alone import worker_of
from runtime.process.data import Values
from runtime.process.worker import TEST
from singac.plan.plan import Plan


class Sampler:
    """A plan that tests, of one example and one step, with the params of a checkpoint."""

    def __init__(self, plan: Plan, folder: Path, scores: str) -> None:
        self._typed = _Typed()
        self._worker = worker_of(plan, folder, lambda part, once: self._typed)
        (self._scores,) = self._worker.tensor(scores)

    def tokens(self, prompt: Sequence[int], length: int, choice: Choice) -> Iterator[int]:
        """`length` tokens that come after those of the prompt, which has one at least."""
        read = iter(prompt[1:])
        self._typed.token = prompt[0]
        for _ in self._worker.batches(TEST, 0, len(prompt) - 1 + length):
            following = next(read, None)
            if following is None:
                following = choice.of(self._scores[0])
                yield following
            self._typed.token = following


class Choice:
    """Draws a token by its scores, the softmax of `scores / temperature`; at 0 the highest.

    The draws follow from the seed alone (Philox).
    """

    def __init__(self, temperature: float, seed: int) -> None:
        self._temperature = temperature
        self._random = np.random.Generator(np.random.Philox(seed))

    def of(self, scores: Floats) -> int:
        if self._temperature == 0.0:
            return int(scores.argmax())
        above = (scores.astype(np.float64) - scores.max()) / self._temperature
        reached = np.exp(above).cumsum()
        return int(np.searchsorted(reached, self._random.random() * reached[-1], side="right"))


class _Typed:
    """One example of one token for ever; it is set between two batches."""

    examples = batch = batches = 1

    def __init__(self) -> None:
        self.token = 0

    def fill(
        self, step: int, first_row: int, rows: int, views: Mapping[str, Values], first: int = 0
    ) -> int:
        for view in views.values():
            view[...] = self.token
        return rows

    def begins(self, step: int) -> bool:
        return step == 0
