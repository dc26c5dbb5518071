"""Checkpoints: written beside the training, whole whatever happens, damage always found."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import resource
from collections.abc import Iterator
from pathlib import Path

import crashes
import damages
import numpy as np
import pytest

from runtime.channel import Message
from runtime.checkpoints import checkpoint
from runtime.checkpoints.saver import Order, Saver
from runtime.environment import EnvironmentFailure
from singac.saved import listed

PLAN = crashes.plan()


class Written:
    """A saver of a folder, and what it has told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[Message] = []
        self.saver = Saver(PLAN, folder, self.told.append, lambda goes_on: None)
        self.params = np.ones(PLAN.param_floats, np.float32)
        self._states = np.ones((1, PLAN.param_floats), np.float32)

    def begin(self, step: int, last: bool = False) -> None:
        self.params.fill(step)
        order = Order(True, last)
        self.saver.begin(order, self.params, self._states, {}, step, 24 * step, None)


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path / "checkpoints")


@contextlib.contextmanager
def disk_full_after(size: int) -> Iterator[None]:
    """No file of this process may be larger: to a writer that is like a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_changes_after_a_checkpoint_was_taken_is_not_in_it(written: Written) -> None:
    for step in range(1, 5):
        written.begin(step)
        written.params.fill(-1)
    written.saver.wait()
    assert [e["step"] for e in written.told] == [1, 2, 3, 4]
    (path,) = listed(written.folder)  # keep = 1
    data = next(data for _, data in checkpoint.tensors(path, checkpoint.verify(path)))
    assert set(np.frombuffer(data, "<f4")) == {4}


@pytest.mark.parametrize("size", [0, 100, 1000])
def test_a_full_disk_leaves_the_last_good_checkpoint(size: int, written: Written) -> None:
    written.begin(1)
    written.saver.wait()
    with disk_full_after(size):
        written.begin(2)
        written.saver.wait()
    written.begin(3)
    written.saver.wait()
    reason = os.strerror(errno.EFBIG)
    assert [e["event"] for e in written.told] == ["checkpoint", "warning", "checkpoint"]
    assert written.told[1]["text"] == f"no checkpoint was written: {reason}"
    assert [p.name for p in written.folder.iterdir()] == [checkpoint.folder_name(3)]


def test_that_the_last_checkpoint_cannot_be_written_is_an_error(written: Written) -> None:
    written.begin(1)
    written.saver.wait()
    with disk_full_after(100):
        written.begin(2, last=True)
        with pytest.raises(EnvironmentFailure, match="the last checkpoint cannot be written"):
            written.saver.wait()
    assert [p.name for p in written.folder.iterdir()] == [checkpoint.folder_name(1)]


def test_a_crash_leaves_the_old_checkpoint_or_the_new_one(tmp_path: Path) -> None:
    seen = crashes.every_crash(tmp_path / "run", stride=170, first=40)
    assert min(seen.values()) > 0, "some crashes come before the new one is there, some after"


def test_damage_is_found_before_anything_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(3)
    for _ in range(150):
        newest = damages.damaged(tmp_path, chance)
        assert f"{newest}" in capsys.readouterr().err
