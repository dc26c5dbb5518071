"""A disk that is full, or can no longer be written, while a real job runs."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import nets
import pytest
from running import Running

from runtime.checkpoints import checkpoint
from singac.plan.plan import Every
from singac.saved import listed

pytestmark = pytest.mark.slow

LONG = 10_000_000


@contextlib.contextmanager
def mounted(folder: Path, *words: str) -> Iterator[None]:
    done = subprocess.run(["mount", *words, str(folder)], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def begun(folder: Path) -> Running:
    plan = nets.plan(2, 2, steps=LONG, display=Every(100), checkpoint=Every(200, keep=2))
    running = Running(plan, folder, json=False)
    running.wait_for(lambda: told(running, "checkpoint") > 0)
    return running


def told(running: Running, event: str) -> int:
    return sum(e["event"] == event for e in running.written())


def fill(file: Path) -> None:
    """Take all the room there is."""
    with file.open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(1 << 12))


def test_training_goes_on_with_a_full_disk_and_saves_when_there_is_room(tmp_path: Path) -> None:
    with mounted(tmp_path, "-t", "tmpfs", "-o", "size=4m", "tmpfs"):
        running = begun(tmp_path / "run")
        fill(tmp_path / "ballast")
        step = max(e.get("step", 0) for e in running.written())
        running.wait_for(lambda: not any(running.folder.glob("checkpoints/*.tmp")))
        kept = listed(tmp_path / "run" / "checkpoints")
        assert kept
        checkpoint.verify(kept[0])
        (tmp_path / "ballast").unlink()
        running.wait_for_step(step + 2000)
        saved = told(running, "checkpoint")
        running.wait_for(lambda: told(running, "checkpoint") > saved)
        running.send(signal.SIGTERM)
        finished = running.finish()
        assert finished.code == 143
        assert "Traceback" not in finished.stderr


def test_a_job_that_cannot_save_at_its_end_says_so(tmp_path: Path) -> None:
    with mounted(tmp_path, "-t", "tmpfs", "-o", "size=4m", "tmpfs"):
        running = begun(tmp_path / "run")
        fill(tmp_path / "ballast")
        running.send(signal.SIGTERM)
        finished = running.finish()
        assert finished.code == 3
        told = "error[SG0900]: the last checkpoint cannot be written: No space left on device"
        assert told in finished.stderr
        assert "Traceback" not in finished.stderr
        (newest, *_) = listed(tmp_path / "run" / "checkpoints")
        checkpoint.verify(newest)
        assert not list((tmp_path / "run").glob("checkpoints/*.tmp"))


def test_a_folder_that_becomes_read_only_keeps_its_last_checkpoint(tmp_path: Path) -> None:
    running = begun(tmp_path)
    folder = tmp_path / "checkpoints"
    with mounted(folder, "--bind", str(folder)):
        subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
        running.wait_for(lambda: told(running, "warning") > 1)
        (newest, *_) = listed(folder)
        checkpoint.verify(newest)
        running.send(signal.SIGTERM)
        finished = running.finish()
    assert finished.code == 3
    assert "the last checkpoint cannot be written: Read-only file system" in finished.stderr
