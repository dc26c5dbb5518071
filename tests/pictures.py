"""Nets on images of any shape: programs, batches, and random windows over them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.inprocess import Array
from tests.programs import TRAIN, small
from tests.sources.data_files import idx_bytes

CLASSES = 3
Shape = tuple[int, int, int]


def text_of(net: str, shape: Shape, folder: Path, batch: int) -> str:
    """A program around a net whose `image` has a shape; a loss on three classes ends it."""
    values = np.zeros((batch, *shape), np.uint8)
    (folder / "train-images-idx3-ubyte").write_bytes(idx_bytes(values))
    labels = np.arange(batch, dtype=np.uint8) % CLASSES
    (folder / "train-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    ended = f"{net} -> out: dense({CLASSES})\n[out, label] -> softmax_loss"
    train = TRAIN.replace("batch = 6", f"batch = {batch}")
    return small(ended, train=train, data=f'data pictures = idx("{folder}")\n')


def batch_of(shape: Shape, rows: int, seed: int = 1) -> dict[str, Array]:
    """Values with many ties, so that pooling has to choose."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(rows, int(np.prod(shape))))
    ties = random.random(values.shape) < 0.3
    labels = random.integers(0, CLASSES, (rows, 1)).astype(float)
    return {"image": np.where(ties, 0.5, values), "label": labels}


def some_windows(random: np.random.Generator, most_pad: int) -> tuple[Shape, str]:
    """A shape of images and the settings of windows that fit it: kernel, stride and pad."""
    channels = int(random.choice([1, 2, 3, 6]))
    kernel = random.integers(1, 6, 2)
    pad = np.minimum(random.integers(0, most_pad + 1, 2), kernel - 1)
    stride = random.integers(1, 4, 2) if random.random() < 0.5 else np.ones(2, int)
    height, width = np.maximum(kernel - 2 * pad, 1) + random.integers(0, 20, 2)
    sides = f"pad = {pad[0]}x{pad[1]}"
    settings = f"{kernel[0]}x{kernel[1]}, stride = {stride[0]}x{stride[1]}, {sides}"
    return (channels, int(height), int(width)), settings
