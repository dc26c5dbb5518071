"""A peer's side of a contest: JSON lines in, JSON lines out.

in    {"steps": 20, "losses": true}
out   {"seconds": 0.31, "losses": [2.30, ...]}      losses only where they are asked for
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

# A step of training, given its number: the loss, or what `float` makes it of.
Step = Callable[[int], Any]
# What waits until all that was begun is done.
Wait = Callable[[Any], object]

# As the works have it. Where a relu or a maximum may flip, a small rate keeps losses comparable.
RATES = {"mnist_mlp": 0.01, "lenet": 0.001, "cifar_quick": 0.001, "char_gru": 0.1, "rbm": 0.1}
MOMENTUM = 0.9
CYCLE = 10
T = TypeVar("T")


class Given:
    """What `bench/given.py` has written: params by name, batches by field."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        paths = sorted(self._folder.glob("params.*.npy"))
        self.params = {p.name.removeprefix("params.")[: -len(".npy")]: np.load(p) for p in paths}

    def batches(self, field: str) -> np.ndarray:
        """[steps][batch][columns]; mapped, so that only what is read takes memory."""
        batches: np.ndarray = np.load(self._folder / f"batches.{field}.npy", mmap_mode="r")
        return batches


def kept(make: Callable[[int], T]) -> Callable[[int], T]:
    """Batches as `make` makes them. Those that come again and again are made once, the others come
    once and are not kept."""
    found: dict[int, T] = {}

    def batch(number: int) -> T:
        if number >= CYCLE:
            return make(number)
        if number not in found:
            found[number] = make(number)
        return found[number]

    return batch


def serve(step: Step, wait: Wait | None = None) -> None:
    """Answer every line of stdin. The first turns may ask for the losses of all batches there are;
    later ones go round the first few, as if they had been loaded ahead.
    """
    done = 0
    for line in sys.stdin:
        asked = json.loads(line)
        steps, tells = asked["steps"], asked.get("losses", False)
        losses: list[float] = []
        loss: Any = None
        start = time.perf_counter()
        for _ in range(steps):
            loss = step(done if tells else done % CYCLE)
            if tells:
                losses.append(float(loss))
            done += 1
        if wait is not None:
            wait(loss)
        answer: dict[str, object] = {"seconds": time.perf_counter() - start}
        if tells:
            answer["losses"] = losses
        print(json.dumps(answer), flush=True)
