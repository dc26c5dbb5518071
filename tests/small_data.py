"""Small made-up data of any kind, for models whose own is not there: a few examples, at random."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from singac.cli import main
from singac.sources.kind import Request
from tests.sources.data_files import idx_bytes

EXAMPLES = 48
TEXT = "".join(f"def square_{k}(x):\n    return x * x + {k}\n\n" for k in range(60))


def _sizes(request: Request) -> tuple[tuple[int, ...], int]:
    """Shape of an example and number of classes, as a block declares them."""
    shape, classes = request.get("shape"), request.get("classes")
    return shape if isinstance(shape, tuple) else (8,), classes if isinstance(classes, int) else 2


def _idx(request: Request, folder: Path) -> str:
    shape, classes = _sizes(request)
    random = np.random.default_rng(0)
    for part in ("train", "t10k"):
        images = random.integers(0, 256, (EXAMPLES, *shape), dtype=np.uint8)
        labels = random.integers(0, classes, EXAMPLES, dtype=np.int32)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    return str(folder)


def _cifar(request: Request, folder: Path) -> str:
    _, classes = _sizes(request)
    random = np.random.default_rng(0)
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"):
        images = random.integers(0, 256, (EXAMPLES, 1 + 3072), dtype=np.uint8)
        images[:, 0] %= classes
        (folder / f"{name}.bin").write_bytes(images.tobytes())
    return str(folder)


def _records(request: Request, folder: Path) -> str:
    """Packed from idx files of the same shape."""
    _idx(request, folder)
    (folder / "pack.singa").write_text('data d = idx(".")\n', encoding="utf-8")
    out = folder / "all.records"
    assert main(["pack", str(folder / "pack.singa"), "-o", str(out)]) == 0
    return str(out)


def _csv(request: Request, folder: Path) -> str:
    shape, classes = _sizes(request)
    random = np.random.default_rng(0)
    labels = random.integers(0, classes, (EXAMPLES, 1))
    values = np.hstack([random.normal(size=(EXAMPLES, math.prod(shape))), labels])
    np.savetxt(folder / "all.csv", values, "%.6g", delimiter=",")
    return str(folder / "all.csv")


def _text(request: Request, folder: Path) -> str:
    (folder / "all.txt").write_text(TEXT, encoding="utf-8")
    return str(folder / "all.txt")


WRITERS: Mapping[str, Callable[[Request, Path], str]] = {
    "idx": _idx,
    "cifar": _cifar,
    "records": _records,
    "csv": _csv,
    "chars": _text,
    "words": _text,
}


def write(request: Request, folder: Path) -> str:
    """Data of the kind, shape and classes of a block; gives its path."""
    folder.mkdir(parents=True)
    return WRITERS[request.kind](request, folder)
