"""Many steps: nothing grows."""

from __future__ import annotations

from pathlib import Path

import nets
import psutil
import pytest
from running import Running

from singac.plan.plan import Every

STEPS = 10_000
GROWTH = 1 << 20


@pytest.mark.slow
def test_ten_thousand_steps_grow_nothing(tmp_path: Path) -> None:
    plan = nets.plan(2, 2, steps=STEPS + STEPS * 6 // 10, display=Every(500), test=Every(500))
    running = Running(plan, tmp_path)
    running.wait_for_step(STEPS // 2)
    processes = running.ranks()
    before = [held(p) for p in processes]
    running.wait_for_step(STEPS // 2 + STEPS)
    after = [held(p) for p in processes]
    assert running.finish().code == 0
    for (memory, files), (memory_then, files_then) in zip(before, after, strict=True):
        assert memory_then - memory < GROWTH
        assert files_then == files


def held(process: psutil.Process) -> tuple[int, int]:
    """Bytes of memory and number of open files."""
    return process.memory_info().rss, process.num_fds()
