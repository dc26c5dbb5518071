"""Synthetic data of the shapes of MNIST, CIFAR-10 and a text: what they teach takes no time off."""

from __future__ import annotations

import string
import struct
from pathlib import Path

import numpy as np

CLASSES = 10
EXAMPLES = 20_000
UNSIGNED_BYTE = 0x08
VOCABULARY = 101
CHARACTERS = 1_000_000


def pictures(folder: Path, *shape: int) -> None:
    """Two IDX files: of each class a pattern, and on every picture noise of its own."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, EXAMPLES, np.uint8)
    patterns = rng.integers(0, 128, (CLASSES, *shape), np.uint8)
    noise = rng.integers(0, 128, (EXAMPLES, *shape), np.uint8)
    _write_idx(folder / "train-images-idx3-ubyte", patterns[labels] + noise)
    _write_idx(folder / "train-labels-idx1-ubyte", labels)


def _write_idx(path: Path, values: np.ndarray) -> None:
    head = struct.pack(">BBBB", 0, 0, UNSIGNED_BYTE, values.ndim)
    sizes = struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(head + sizes + values.tobytes())


def text(folder: Path) -> None:
    """Characters each of which has a few that it likes to be followed by; all of them occur."""
    rng = np.random.default_rng(0)
    letters = (string.printable.strip() + "äöüßéñøçåœ")[:VOCABULARY]
    assert len(letters) == VOCABULARY, "every number has a character"
    follows = rng.integers(0, VOCABULARY, (VOCABULARY, 8))
    choices = rng.integers(0, 8, CHARACTERS)
    numbers = [*range(VOCABULARY)]
    for choice in choices:
        numbers.append(follows[numbers[-1], choice])
    (folder / "text.txt").write_text("".join(letters[n] for n in numbers), encoding="utf-8")
