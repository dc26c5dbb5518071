"""Prepared arrays -> the rows of a batch, in the buffers of the fields.

Training reads an endless stream of epochs, each in an order of its own; a batch may straddle two:

    position   0 1 2 3 4 5 6 | 7 8 9 ...        batches of 4, epochs of 7
    batch      0 0 0 0 1 1 1 | 1 2 2 ...
    example    3 0 6 1 5 2 4 | 2 6 0 ...

Where states are carried, a row goes on where the same row of the batch before ended, as if each had
a piece of the text to itself (`runtime/process/lanes.py`). While a batch is computed, the next one
is brought into memory (`runtime/process/ahead.py`).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.random import Philox
from numpy.typing import NDArray

from runtime.process.ahead import ExampleFile, Examples, ahead_of
from runtime.process.lanes import Lanes
from singac.plan.plan import Data, Field

Values = NDArray[np.float32]

_EPOCHS_KEPT = 2  # a batch straddles two epochs; more only where it holds whole ones
_ORDER_STREAM = int.from_bytes(b"epochs", "little")


class Feeder:
    """One part of prepared data, `train` or another, read in batches of `batch` examples.

    Training examples are read without end, unless `once` asks for them in the order of the data.
    With `lanes` the rows of a batch have lanes to go along, and no order is drawn.
    With G worker groups, group g reads batch `step * G + g`: together they read every example of
    an epoch once, and each batch is `stride` after the one before. The stream is `ahead` examples
    further than its batches tell.
    """

    def __init__(
        self,
        folder: str,
        data: Data,
        part: str,
        batch: int,
        seed: int,
        once: bool = False,
        ahead: int = 0,
        lanes: Lanes | None = None,
        stride: int = 1,
    ) -> None:
        self.examples = data.examples(part)
        self.batch, self._further, self._stride = batch, ahead, stride
        self._endless = part == "train" and not once
        shuffles = self._endless and data.shuffle and lanes is None
        self._order = _Order(self.examples, seed) if shuffles else None
        self._lanes = lanes
        self._columns = tuple(_Column(folder, part, f, self.examples) for f in data.fields)
        self._ahead = ahead_of([column.file() for column in self._columns if self.examples])

    @property
    def batches(self) -> int:
        """Batches that hold every example once, the last maybe partial."""
        return -(-self.examples // self.batch)

    def fill(
        self, step: int, first_row: int, rows: int, views: Mapping[str, Values], first: int = 0
    ) -> int:
        """Rows `first_row` to `first_row + rows` of batch `step` into `views`; the valid ones.

        A view is [rows][columns] and takes the field's columns from `first` on; it may have pads
        behind the last. A field without a view is not read. In another part than `train` the last
        batch may have fewer valid rows; the others are zeros.
        """
        valid = self._copy(self._examples(step, first_row, rows), views, first)
        self._blank(views, valid, rows, first)
        if self._ahead is not None:
            self._ahead.want(self._examples(step + self._stride, first_row, rows))
        return valid

    def fill_ahead(
        self,
        step: int,
        steps: int,
        first_row: int,
        rows: int,
        views: Mapping[str, Values],
        first: int = 0,
    ) -> None:
        """What `fill` does of `steps` batches of training, the rows of one behind the other's.

        Not for lanes, which need to be told where they begin.
        """
        self._copy(self._endless_examples(step, steps, first_row, rows), views, first)
        if self._ahead is not None:
            self._ahead.want(self._endless_examples(step + steps, steps, first_row, rows))

    def begins(self, step: int) -> bool:
        """Whether the lanes of batch `step` are at their start."""
        return self._lanes is not None and self._lanes.at(step) == 0

    def _examples(self, step: int, first_row: int, rows: int) -> Sequence[Examples]:
        """What stands in rows of a batch, in their order; less than all rows at an end."""
        if self._lanes is not None:
            return [self._lanes.examples(step, first_row, rows)]
        if self._endless:
            return self._endless_examples(step, 1, first_row, rows)
        start = step * self.batch + first_row
        return [slice(start, start + min(max(self.examples - start, 0), rows))]

    def _endless_examples(self, step: int, steps: int, first_row: int, rows: int) -> list[Examples]:
        """The same of `steps` batches of training, epoch by epoch."""
        starts = np.arange(step, step + steps) * self.batch + first_row + self._further
        positions = (starts[:, np.newaxis] + np.arange(rows)).reshape(-1)
        epochs, places = np.divmod(positions, self.examples)
        found: list[Examples] = []
        for epoch in range(int(epochs[0]), int(epochs[-1]) + 1) if rows else ():
            start, stop = np.searchsorted(epochs, (epoch, epoch + 1)).tolist()
            own: NDArray[np.intp] = places[start:stop]
            found.append(own if self._order is None else self._order.of(epoch)[own])
        return found

    def _blank(self, views: Mapping[str, Values], start: int, stop: int, first: int) -> None:
        for column in self._columns if start < stop else ():
            if column.name in views:
                views[column.name][start:stop, : column.width - first] = 0.0

    def _copy(self, found: Sequence[Examples], views: Mapping[str, Values], first: int) -> int:
        """One behind the other into the rows of the views; how many there were."""
        done = 0
        for examples in found:
            rows = slice(done, done + _count(examples))
            for column in self._columns:
                view = views.get(column.name)
                if view is not None:
                    column.read(examples, view[rows, : column.width - first], first)
            done = rows.stop
        return done


def _count(examples: Examples) -> int:
    return examples.stop - examples.start if isinstance(examples, slice) else len(examples)


class _Column:
    """The raw values of one field, mapped, and how they are scaled on reading."""

    def __init__(self, folder: str, part: str, field: Field, examples: int) -> None:
        path = self._path = os.path.join(folder, f"{part}.{field.name}.npy")
        mapped = np.load(path, mmap_mode="r") if examples else np.empty((0, 1), np.float32)
        self._raw = mapped.view(np.ndarray)  # slices of a memmap are slow to make
        values = math.prod(field.shape)
        assert not examples or self._raw.shape == (examples, values), (
            f"{path}: not this plan's data"
        )
        self.name = field.name
        self.width = int(self._raw.shape[1])
        self._scale = np.float32(field.scale)
        self._mean = np.float32(field.mean)
        self._std = np.float32(field.std)
        self._plain = field.scale == 1.0
        self._centred = field.mean == 0.0 and field.std == 1.0

    def file(self) -> ExampleFile:
        """The file of the examples, where there are any."""
        whole, (width, _) = self._raw.nbytes, self._raw.strides
        return ExampleFile(self._path, os.path.getsize(self._path) - whole, width)

    def read(self, which: Examples, out: Values, first: int) -> None:
        """`(raw * scale - mean) / std` of some examples, columns from `first` on, in float32."""
        raw = self._raw[which]
        if out.shape[1] < self.width:
            raw = raw[:, first : first + out.shape[1]]
        if self._plain:
            out[...] = raw
        else:
            np.multiply(raw, self._scale, out=out)
        if not self._centred:
            out -= self._mean
            out /= self._std


class _Order:
    """The order of the examples in each epoch; it follows from the seed and the epoch alone."""

    def __init__(self, examples: int, seed: int) -> None:
        self._examples = examples
        self._key = np.array([seed, _ORDER_STREAM], dtype=np.uint64)
        self._kept: dict[int, NDArray[np.intp]] = {}

    def of(self, epoch: int) -> NDArray[np.intp]:
        """A permutation of the examples; the last ones asked for are kept."""
        order = self._kept.get(epoch)
        if order is None:
            if len(self._kept) >= _EPOCHS_KEPT:
                del self._kept[min(self._kept)]
            order = self._kept[epoch] = self._permutation(epoch)
        return order

    def _permutation(self, epoch: int) -> NDArray[np.intp]:
        """Sorting Philox's raw numbers keeps it the same in every version of numpy.

        Two that are equal would come in any order, unless they are sorted by the slower way.
        """
        counter = np.array([0, 0, 0, epoch], dtype=np.uint64)
        raw = Philox(counter=counter, key=self._key).random_raw(self._examples)
        order = np.argsort(raw)
        ordered = raw[order]
        alike = bool((ordered[1:] == ordered[:-1]).any())
        return np.argsort(raw, kind="stable") if alike else order
