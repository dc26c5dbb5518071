"""Results of a layer -> a table in a file: one line, or one entry of an array, an example.

F.csv    a head line, then a line an example; values that read back to the same float32
F.npz    an array of the layer's name, [examples][shape of the layer]
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO
from zipfile import ZipFile

import numpy as np
from numpy.lib.format import write_array
from numpy.typing import NDArray

from runtime.transport.stub import Floats
from singac.diagnostics import Diagnostic, Exit, Failed
from singac.layers.kind import Answer

ENDINGS = (".csv", ".npz")
SAME_FLOAT = "%.9g"


def answered(batches: Iterable[Floats], answer: Answer | None, scores: int) -> Iterator[Floats]:
    """What a loss or metric predicts, by its scores [examples][steps x `scores` columns]."""
    for batch in batches:
        yield batch if answer is None else _answer(answer, batch.reshape(-1, scores), len(batch))


def _answer(answer: Answer, scores: Floats, examples: int) -> Floats:
    match answer:
        case Answer.SOFTMAX:
            powers = np.exp((scores - scores.max(axis=1, keepdims=True)).astype(np.float64))
            found: NDArray[np.generic] = powers / powers.sum(axis=1, keepdims=True)
        case Answer.SIGMOID:
            found = 0.5 + 0.5 * np.tanh(0.5 * scores.astype(np.float64))
        case Answer.HIGHEST:
            found = scores.argmax(axis=1)
    return found.reshape(examples, -1).astype(np.float32)


def write(path: Path, layer: str, shape: Sequence[int], batches: Iterable[Floats]) -> int:
    """Write the file whole or not at all; gives the examples. Raises Failed."""
    assert path.suffix in ENDINGS, "the command line takes no other"
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            examples = _WRITERS[path.suffix](file, layer, shape, batches)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        message = f"the file cannot be written: {error.strerror}"
        diagnostic = Diagnostic("SG0904", message, file=str(path), exit=Exit.ENVIRONMENT)
        raise Failed([diagnostic]) from None
    return examples


def _write_csv(file: IO[bytes], layer: str, shape: Sequence[int], batches: Iterable[Floats]) -> int:
    width, examples = int(np.prod(shape)), 0
    names = [layer] if not shape else [f"{layer}.{k}" for k in range(width)]
    file.write((",".join(names) + "\n").encode())
    for batch in batches:
        np.savetxt(file, batch, SAME_FLOAT, delimiter=",")
        examples += len(batch)
    return examples


def _write_npz(file: IO[bytes], layer: str, shape: Sequence[int], batches: Iterable[Floats]) -> int:
    values = np.concatenate(list(batches))
    # Not `savez`, whose own arguments may have the name of a layer.
    with ZipFile(file, "w") as archive, archive.open(f"{layer}.npy", "w") as member:
        write_array(member, values.reshape(-1, *shape), allow_pickle=False)
    return len(values)


_WRITERS = {".csv": _write_csv, ".npz": _write_npz}
