"""Many steps: nothing grows."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import nets
import psutil
import pytest
from running import Running

from runtime.supervisor.remains import mapped_files
from singac.plan.plan import Every
from singac.saved import listed

STEPS = 10_000
GROWTH = 1 << 20


@pytest.mark.slow
def test_ten_thousand_steps_grow_nothing(tmp_path: Path) -> None:
    shows, saves = Every(500), Every(250, keep=2)
    plan = nets.plan(4, 4, steps=10 * STEPS, display=shows, test=shows, checkpoint=saves)
    running = Running(plan, tmp_path)
    running.wait_for_step(STEPS // 2)
    processes = running.ranks()
    assert len(processes) == 4
    before = [held(p) for p in processes]
    running.wait_for_step(STEPS // 2 + STEPS)
    after = [held(p) for p in processes]
    running.send(signal.SIGTERM)
    assert running.finish().code == 143
    assert len(listed(tmp_path / "checkpoints")) == 2
    for (memory, *others), (memory_then, *others_then) in zip(before, after, strict=True):
        assert memory_then - memory < GROWTH
        assert others_then == others


def held(process: psutil.Process) -> tuple[int, int, int]:
    """Bytes of memory, number of open files, bytes in files of shared memory.

    The file of a checkpoint that is just being written does not count.
    """
    shared = sum(Path(name).stat().st_size for name in mapped_files(process.pid))
    files = min(process.num_fds() for _ in range(20) if time.sleep(0.01) is None)
    return process.memory_info().rss, files, shared
