"""Batches: every example once an epoch, in the right rows, scaled as the data block says."""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.process import ahead
from runtime.process.data import Feeder
from singac.plan.plan import Data, Field

Values = NDArray[np.float32]


class Examples:
    """`count` examples in a folder; each one's first value and its label are its number."""

    def __init__(self, folder: Path, count: int, test: int = 0, shuffle: bool = True) -> None:
        self.folder = str(folder)
        for part, n in (("train", count), ("test", test)):
            numbers = np.arange(n, dtype=np.float32).reshape(n, 1)
            np.save(folder / f"{part}.x.npy", np.hstack([numbers, numbers % 7, numbers % 5]))
            np.save(folder / f"{part}.label.npy", numbers)
        self.data = Data("d", (Field("x", (3,)), Field("label", (1,))), count, test, shuffle)

    def feeder(self, batch: int, part: str = "train", seed: int = 1) -> Feeder:
        return Feeder(self.folder, self.data, part, batch, seed)


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Examples]:
    def make(count: int, test: int = 0, shuffle: bool = True) -> Examples:
        return Examples(tmp_path_factory.mktemp("data"), count, test, shuffle)

    return make


def labels(feeder: Feeder, step: int, first: int, rows: int) -> list[int]:
    """Numbers of the examples in some rows of a batch; their values must agree."""
    views = {"x": np.full((rows, 16), -1, np.float32), "label": np.zeros((rows, 16), np.float32)}
    assert feeder.fill(step, first, rows, views) == rows
    numbers = views["label"][:, 0]
    np.testing.assert_array_equal(views["x"][:, 0], numbers)
    np.testing.assert_array_equal(views["x"][:, 1], numbers % 7)
    np.testing.assert_array_equal(views["x"][:, 3:], -1)
    return [int(n) for n in numbers]


@st.composite
def cuts(draw: st.DrawFn) -> list[int]:
    """Rows of each worker: a batch cut in any way."""
    return draw(st.lists(st.integers(0, 9), min_size=1, max_size=5).filter(any))


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 40), cut=cuts(), shuffle=st.booleans())
def test_every_example_is_seen_once_an_epoch(
    examples: Callable[..., Examples], count: int, cut: list[int], shuffle: bool
) -> None:
    data, batch = examples(count, shuffle=shuffle), sum(cut)
    feeders = [data.feeder(batch) for _ in cut]
    stream: list[int] = []
    for step in range(-(-3 * count // batch)):
        first = 0
        for feeder, rows in zip(feeders, cut, strict=True):
            stream += labels(feeder, step, first, rows)
            first += rows
    for epoch in range(3):
        assert sorted(stream[epoch * count : (epoch + 1) * count]) == list(range(count))


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 20),
    step=st.integers(0, 9),
    steps=st.integers(1, 6),
    rows=st.integers(0, 4),
    shuffle=st.booleans(),
)
def test_several_batches_at_once_are_those_one_by_one(
    examples: Callable[..., Examples], count: int, step: int, steps: int, rows: int, shuffle: bool
) -> None:
    data = examples(count, shuffle=shuffle)
    ahead = np.full((steps, rows, 16), -1, np.float32)
    data.feeder(6).fill_ahead(step, steps, 2, rows, {"label": ahead.reshape(-1, 16)[:, :1]})
    found = ahead[:, :, 0].astype(int).tolist()
    one_by_one = data.feeder(6)
    assert found == [labels(one_by_one, step + k, 2, rows) for k in range(steps)]


def test_the_order_follows_from_the_seed_and_the_epoch(examples: Callable[..., Examples]) -> None:
    data = examples(30)
    first, again, other = data.feeder(30), data.feeder(30), data.feeder(30, seed=2)
    epochs = [labels(first, e, 0, 30) for e in range(4)]
    assert [labels(again, e, 0, 30) for e in (3, 0, 2, 1)] == [epochs[e] for e in (3, 0, 2, 1)]
    assert labels(other, 0, 0, 30) != epochs[0]
    assert len({tuple(e) for e in epochs}) == 4


def test_the_order_is_the_same_everywhere(examples: Callable[..., Examples]) -> None:
    """Pinned: a resumed run must meet the examples that the stopped one had not seen."""
    feeder = examples(8).feeder(8, seed=3)
    assert labels(feeder, 0, 0, 8) == [0, 1, 2, 4, 7, 3, 5, 6]
    assert labels(feeder, 1, 0, 8) == [3, 5, 2, 1, 0, 6, 7, 4]


def test_without_shuffle_the_order_is_the_file_s(examples: Callable[..., Examples]) -> None:
    feeder = examples(5, shuffle=False).feeder(3)
    assert [labels(feeder, s, 0, 3) for s in range(3)] == [[0, 1, 2], [3, 4, 0], [1, 2, 3]]


def test_a_batch_larger_than_an_epoch(examples: Callable[..., Examples]) -> None:
    seen = labels(examples(3).feeder(10), 1, 0, 10)
    assert sorted(seen[2:5]) == sorted(seen[5:8]) == [0, 1, 2]


def test_a_test_part_ends_in_a_partial_batch(examples: Callable[..., Examples]) -> None:
    feeder = examples(1, test=7).feeder(5, "test")
    assert feeder.batches == 2
    views = {"x": np.full((4, 16), 9, np.float32), "label": np.full((4, 16), 9, np.float32)}
    assert feeder.fill(0, 1, 4, views) == 4
    assert views["label"][:, 0].tolist() == [1, 2, 3, 4]
    assert feeder.fill(1, 0, 4, views) == 2
    assert views["label"][:, 0].tolist() == [5, 6, 0, 0]
    assert views["x"][:, :3].tolist() == [[5, 5, 0], [6, 6, 1], [0, 0, 0], [0, 0, 0]]
    assert feeder.fill(1, 4, 4, views) == 0
    assert not views["label"][:, 0].any()


def test_a_field_without_a_view_is_not_read(examples: Callable[..., Examples]) -> None:
    view = np.zeros((4, 1), np.float32)
    assert examples(4, shuffle=False).feeder(4).fill(0, 0, 4, {"label": view}) == 4
    assert view[:, 0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("type", [np.uint8, np.float32])
@pytest.mark.parametrize("field", [(1.0, 0.0, 1.0), (1 / 255, 0.0, 1.0), (0.5, 3.0, 7.0)])
def test_values_are_scaled(tmp_path: Path, type: type, field: tuple[float, float, float]) -> None:
    raw: NDArray[np.number] = np.arange(12, dtype=type).reshape(3, 4)
    np.save(tmp_path / "train.x.npy", raw)
    scale, mean, std = field
    data = Data("d", (Field("x", (2, 2), scale, mean, std),), 3, 0, shuffle=False)
    view = np.zeros((3, 16), np.float32)
    Feeder(str(tmp_path), data, "train", 3, 0).fill(0, 0, 3, {"x": view})
    wanted = (raw.astype(np.float64) * scale - mean) / std
    np.testing.assert_allclose(view[:, :4], wanted, rtol=1e-6, atol=1e-7)
    assert not view[:, 4:].any()


def test_arrays_of_another_plan_are_refused(examples: Callable[..., Examples]) -> None:
    data = examples(3)
    other = Data("d", (Field("x", (4,)),), 3, 0, shuffle=True)
    with pytest.raises(AssertionError, match="not this plan's data"):
        Feeder(data.folder, other, "train", 3, 0)


@pytest.mark.parametrize("examples_of", ["shuffled", "in order", "to test"])
def test_asking_ahead_changes_nothing(
    examples: Callable[..., Examples], monkeypatch: pytest.MonkeyPatch, examples_of: str
) -> None:
    """Past the end of a part as well, where nothing comes next."""
    data = examples(23, test=23, shuffle=examples_of == "shuffled")
    part = "test" if examples_of == "to test" else "train"
    plain = data.feeder(5, part)
    monkeypatch.setattr(ahead, "LARGE", 0)
    asking = data.feeder(5, part)
    for step in range(10):
        views = [{"x": np.full((5, 16), -1, np.float32)} for _ in range(2)]
        counts = [f.fill(step, 0, 5, v) for f, v in zip((plain, asking), views, strict=True)]
        assert counts[0] == counts[1]
        np.testing.assert_array_equal(views[0]["x"], views[1]["x"])


ROWS, ROW = 64, 4 * mmap.PAGESIZE * 40  # bytes of a row: more than a kernel reads at one wish


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[tuple[ahead.ExampleFile, mmap.mmap]]:
    """A file of rows, none of it in memory, and its pages."""
    path = tmp_path / "rows"
    path.write_bytes(bytes(ROWS * ROW))
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            if any(in_memory(mapped)):
                pytest.skip("this file system has its files in memory")
            yield ahead.ExampleFile(str(path), 0, ROW), mapped


def test_what_is_asked_for_is_read_from_the_disk(
    on_disk: tuple[ahead.ExampleFile, mmap.mmap],
) -> None:
    """Those rows come into memory, the others do not."""
    file, mapped = on_disk
    asking = ahead.Ahead([file])
    asking.want([np.array([3, 40]), slice(50, 52), slice(64, 64)])
    wait_for_rows(mapped, [3, 40, 50, 51])


def test_a_small_file_is_asked_for_as_a_whole(
    on_disk: tuple[ahead.ExampleFile, mmap.mmap],
) -> None:
    file, mapped = on_disk
    assert ahead.ahead_of([file]) is None
    wait_for_rows(mapped, list(range(ROWS)))


def wait_for_rows(mapped: mmap.mmap, wanted: list[int]) -> None:
    stop = time.monotonic() + 20
    while (found := rows_in_memory(mapped)) != wanted and time.monotonic() < stop:
        time.sleep(0.01)
    assert found == wanted


def rows_in_memory(mapped: mmap.mmap) -> list[int]:
    pages, size = in_memory(mapped), ROW // mmap.PAGESIZE
    return [row for row in range(ROWS) if all(pages[size * row : size * (row + 1)])]


def in_memory(mapped: mmap.mmap) -> list[bool]:
    """Which pages of a file are in memory."""
    pages = (ctypes.c_ubyte * (len(mapped) // mmap.PAGESIZE))()
    address = np.frombuffer(mapped, np.uint8).ctypes.data
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mincore(ctypes.c_void_p(address), ctypes.c_size_t(len(mapped)), pages) == 0
    return [bool(page & 1) for page in pages]
