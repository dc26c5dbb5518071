"""Examples that the next batch will need -> in memory by then, off the training thread.

    training   | copy 1 | compute 1 ......... | copy 2 | compute 2
    a thread            | ask for 2 |                  | ask for 3 |
    disk                  2 ~~~~~~~~~~~~        ...      3 ~~~~~~~~~~~~

Nothing is read here: the kernel is told what will be, and reads it at once, all examples of a batch
side by side. The training thread then finds in memory what it would wait for one by one. Numbers
and their order are the same whether this is quick, late or fails to help.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Examples = slice | NDArray[np.intp]

# A smaller file is asked for as a whole when it is opened, and stays in memory.
LARGE = 1 << 28
_AT_ONCE = 1 << 17  # bytes; the kernel cuts a longer wish short


class ExampleFile:
    """A file with a row of `width` bytes for each example, from byte `start` on."""

    def __init__(self, path: str, start: int, width: int) -> None:
        self.size = os.path.getsize(path)
        self._start, self._width = start, width
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)

    def want(self, examples: Examples) -> None:
        """Tell the kernel that these will be read."""
        if not isinstance(examples, slice):
            for example in examples.tolist():
                self._want_rows(example, 1)
        else:
            self._want_rows(examples.start, examples.stop - examples.start)

    def want_all(self) -> None:
        """Tell the kernel that the whole file will be read."""
        self._want(0, self.size)

    def _want_rows(self, first: int, count: int) -> None:
        start = self._start + first * self._width
        self._want(start, start + count * self._width)

    def _want(self, start: int, stop: int) -> None:
        for at in range(start, stop, _AT_ONCE):
            length = min(_AT_ONCE, stop - at)
            os.posix_fadvise(self._descriptor, at, length, os.POSIX_FADV_WILLNEED)


class Ahead:
    """The thread that asks, and the large files it asks of."""

    def __init__(self, files: Sequence[ExampleFile]) -> None:
        from concurrent.futures import ThreadPoolExecutor  # slow to load, and seldom needed

        self._files = files
        self._thread = ThreadPoolExecutor(1, "ahead")
        self._asked = self._thread.submit(int)

    def want(self, examples: Sequence[Examples]) -> None:
        """Have the thread ask for these, unless the disk is still behind with those before."""
        if self._asked.done():
            self._asked.result()  # raises what has gone wrong there
            self._asked = self._thread.submit(self._ask, examples)

    def _ask(self, examples: Sequence[Examples]) -> int:
        for file in self._files:
            for some in examples:
                file.want(some)
        return 0


def ahead_of(files: Sequence[ExampleFile]) -> Ahead | None:
    """Small files are wanted as a whole; for large ones, who asks for them batch by batch."""
    large = [file for file in files if file.size > LARGE]
    for file in files:
        if file not in large:
            file.want_all()
    return Ahead(large) if large else None
