"""Who ended first, and how: what the kernel queues and what the launcher tells."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from runtime.job import Job
from runtime.supervisor import endings
from runtime.supervisor.remains import Belongings

HOSTS = (("a", 2), ("b", 3))
TOLD = "some words\n[mpiexec@a] Exit codes: [a] 0,9\n[b] 768,139,15\nAPPLICATION TERMINATED\n"


def test_processes_are_told_in_the_order_in_which_they_ended() -> None:
    started = [subprocess.Popen(["sleep", "60"]) for _ in range(5)]
    own = Belongings(os.getpid(), "NONE=none")
    for rank, process in enumerate(started):
        own.add(process.pid, rank)
    for rank in (3, 0, 4):
        started[rank].kill()
        started[rank].wait()
    assert own.ended() == [3, 0, 4]
    assert own.ended() == []
    late = subprocess.Popen(["true"])
    os.waitid(os.P_PID, late.pid, os.WEXITED | os.WNOWAIT)
    own.add(late.pid, 5)
    assert own.watched == {0, 1, 2, 3, 4}
    unasked = started[1]
    unasked.terminate()
    os.waitid(os.P_PID, unasked.pid, os.WEXITED | os.WNOWAIT)
    assert own.ended() == [5, 1]
    assert own.statuses[1] == signal.SIGTERM
    # New kernels tell it of those too that somebody has waited for.
    assert {own.statuses.get(rank, signal.SIGKILL) for rank in (3, 0, 4)} == {signal.SIGKILL}
    started[2].kill()
    for process in (*started, late):
        process.wait()
    assert own.ended() == [2]


def test_the_launcher_tells_how_each_ended(tmp_path: Path) -> None:
    log = tmp_path / "launcher.log"
    log.write_text(TOLD)
    far = Job("plan", "data", "/run", 5, hosts=HOSTS)
    assert endings.statuses(log, far) == {0: 0, 1: 9, 2: 768, 3: 139, 4: 15}
    log.write_text(TOLD.replace("[b] 768,139,15\n", ""))  # b is gone
    assert endings.statuses(log, far) == {0: 0, 1: 9}
    log.write_text("[mpiexec@vm] Exit codes: [vm] 9,256,9\n")
    assert endings.statuses(log, Job("plan", "data", "/run", 3)) == {0: 9, 1: 256, 2: 9}
    assert endings.statuses(tmp_path / "none", far) == {}


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (0, "exited with code 0"),
        (768, "exited with code 3"),
        (9, "killed by SIGKILL"),
        (139, "segmentation fault"),
        (40, "killed by signal 40"),
    ],
)
def test_how_a_process_ended_is_told(status: int, cause: str) -> None:
    assert endings.cause(status) == cause


def test_the_first_is_the_one_the_launcher_did_not_end() -> None:
    assert endings.first([0, 1, 2], {0: 9, 1: 256, 2: 9}) == [1]
    assert endings.first([0, 2], {0: 9, 1: 256, 2: 9}) == [0, 2]
