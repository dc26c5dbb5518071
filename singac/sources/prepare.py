"""A request -> a folder of raw arrays that every rank can map.

    <cache>/<key>/train.image.npy   [examples][values]  bytes or float32
                  train.label.npy   [examples][1]
                  test.image.npy    ...
                  facts.json        what compiling needs to know of them

The key covers the paths, sizes and times of the files, the settings and the reader. A folder
appears under its name only when it is complete.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from typing import TYPE_CHECKING

from singac.diagnostics import Diagnostic, Exit, Failed
from singac.sources.damage import placed
from singac.sources.kind import Facts, Request, facts_from_json
from singac.sources.parts import held_out_counts, held_out_rows
from singac.sources.statistics import files_of, standardise
from singac.sources.table import SOURCES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

READER_VERSION = 3  # raised when the same file would be read to other arrays or facts
_FACTS = "facts.json"
_DIGEST = "digest"


def prepared(request: Request, cache: str) -> str | None:
    """The folder of an earlier `prepare`, found by a few stat calls; None where there is none."""
    folder = os.path.join(cache, key_of(request))
    return folder if os.path.isdir(folder) else None


def known_facts(request: Request, cache: str) -> Facts | None:
    """The facts of an earlier `prepare`, which spare reading the data; raises `Failed`."""
    folder = prepared(request, cache)
    if folder is None:
        return None
    with open(os.path.join(folder, _FACTS), encoding="utf-8") as file:
        return facts_from_json(file.read())


def prepare(request: Request, facts: Facts, cache: str) -> str:
    """Read and check every byte of the data; the folder of the arrays.

    `facts` are those `probe` gave; they are kept beside the arrays. Raises `Failed` with exit code
    DAMAGED for damaged data, ENVIRONMENT where the cache cannot be written.
    """
    folder = os.path.join(cache, key_of(request))
    if os.path.isdir(folder):
        return folder
    arrays = read(request)
    if files_of(request):
        standardise(request, arrays)
    try:
        _write(arrays, facts, folder)
    except OSError as error:
        message = f"the prepared data cannot be written: {error.strerror or error}"
        raise Failed([Diagnostic("SG0240", message, file=cache, exit=Exit.ENVIRONMENT)]) from None
    return folder


def read(request: Request) -> dict[str, dict[str, Array]]:
    """Raw values of every field of every part, one row an example; raises `Failed`."""
    kind = SOURCES[request.kind]
    arrays = {}
    for part in kind.locate(request):
        with placed(request.span_of(part.setting)):
            arrays[part.name] = kind.load(request, part)
    whole = arrays["train"]
    examples = len(next(iter(whole.values())))
    counts = held_out_counts(request, examples)
    if counts:
        for name, rows in held_out_rows(counts, examples, kind.is_text).items():
            arrays[name] = {field: values[rows] for field, values in whole.items()}
    return arrays


def key_of(request: Request) -> str:
    """Name of the folder for this request and the files as they are now; raises `Failed`."""
    files = [f for part in SOURCES[request.kind].locate(request) for f in part.files]
    files += files_of(request).values()
    text = json.dumps([READER_VERSION, request.as_json(), [_state(f) for f in files]])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def digest(folder: str) -> str:
    """SHA-256 over all arrays of a folder: the same where the same data was prepared."""
    kept = os.path.join(folder, _DIGEST)
    with contextlib.suppress(OSError), open(kept, encoding="utf-8") as file:
        return file.read()
    found = hashlib.sha256()
    for name in sorted(n for n in os.listdir(folder) if n.endswith(".npy")):
        found.update(name.encode() + b"\0")
        with open(os.path.join(folder, name), "rb") as array:
            while block := array.read(1 << 20):
                found.update(block)
    with contextlib.suppress(OSError):
        _put(kept, found.hexdigest())
    return found.hexdigest()


def _put(path: str, text: str) -> None:
    """The text whole or not at all."""
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)


def _state(path: str) -> tuple[str, int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return (os.path.abspath(path), 0, 0)  # reading it will say what is wrong
    return (os.path.abspath(path), status.st_size, status.st_mtime_ns)


def _write(arrays: dict[str, dict[str, Array]], facts: Facts, folder: str) -> None:
    import shutil
    import tempfile

    import numpy as np

    cache = os.path.dirname(folder)
    os.makedirs(cache, exist_ok=True)
    unfinished = tempfile.mkdtemp(prefix=".unfinished-", dir=cache)
    try:
        for part, fields in arrays.items():
            for field, values in fields.items():
                np.save(os.path.join(unfinished, f"{part}.{field}.npy"), values)
        with open(os.path.join(unfinished, _FACTS), "w", encoding="utf-8") as file:
            file.write(facts.as_json())
        _publish(unfinished, folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _publish(unfinished: str, folder: str) -> None:
    try:
        os.replace(unfinished, folder)
    except OSError:
        if not os.path.isdir(folder):  # another process was first with the same arrays
            raise
