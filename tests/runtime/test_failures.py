"""Whatever happens to a process, the run ends soon, says why, and leaves nothing."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import nets
import pytest
from running import Running, fault, run

from singac.plan.plan import Every

LONG = 10_000_000
# fmt: off
CAUSES = {
    "raise": "runtime.process.faults.InjectedFault: a fault was asked for",
    "exit":  "exited with code 3",
    "segv":  "segmentation fault",
    "abort": "killed by SIGABRT",
    "kill":  "killed by SIGKILL",
}
PLACINGS = {  # workers, servers, separate, the process that fails, its role
    "alone":   (1, 1, False, 0, "process 0 (worker 0, server 0)"),
    "worker":  (2, 2, False, 1, "process 1 (worker 1, server 1)"),
    "server":  (2, 2, True,  3, "process 3 (server 1)"),
    "chief":   (3, 1, True,  0, "process 0 (worker 0)"),
}
PAIRS = (
    ("raise", "alone"), ("exit", "worker"), ("segv", "server"), ("kill", "chief"),
    ("raise", "chief"), ("kill", "worker"), ("exit", "server"), ("segv", "alone"),
    ("kill", "server"), ("abort", "worker"),
)
EARLY = (("raise", "start"), ("kill", "start"), ("exit", "connected"), ("segv", "connected"))
# fmt: on


@pytest.mark.parametrize(("kind", "placing"), PAIRS)
def test_the_first_process_to_fail_is_named(kind: str, placing: str, tmp_path: Path) -> None:
    workers, servers, separate, rank, who = PLACINGS[placing]
    plan = nets.plan(workers, servers, separate, steps=LONG, display=Every(1))
    running = Running(plan, tmp_path, **fault(rank, 5, kind))
    running.wait_for_step(3)  # of the step before the failing one the chief may not have told yet
    seen = time.monotonic()
    finished = running.finish()
    assert time.monotonic() - seen < 5
    assert finished.code == 1
    assert finished.last_line == f"error[SG0910]: {who} failed at step 5: {CAUSES[kind]}"
    assert ("in strike" in finished.stderr) == (kind in ("raise", "segv", "abort"))
    assert finished.of("end")[0]["status"] == "failed"


@pytest.mark.parametrize(("kind", "moment"), EARLY)
def test_a_process_that_fails_before_training_is_named(
    kind: str, moment: str, tmp_path: Path
) -> None:
    finished = run(nets.plan(2, 2), tmp_path, **fault(1, moment, kind))
    assert finished.code == 1
    expected = f"process 1 (worker 1, server 1) failed at step 0: {CAUSES[kind]}"
    assert finished.last_line == f"error[SG0910]: {expected}"


def test_a_killed_process_is_named_at_any_moment(tmp_path: Path) -> None:
    for number, delay in enumerate((0, 0.05, 0.2, 0.4)):
        running = Running(nets.plan(2, 2, steps=LONG), tmp_path / str(number))
        running.wait_for(lambda r=running: len(r.ranks()) == 2)  # type: ignore[misc]
        killed = running.ranks()[1]
        rank = killed.environ()["PMI_RANK"]
        time.sleep(delay)
        killed.kill()
        finished = running.finish()
        assert finished.code == 1
        assert finished.last_line.startswith(f"error[SG0910]: process {rank} (worker {rank}, ")
        assert finished.last_line.endswith("killed by SIGKILL")


def test_a_suspended_process_is_reported(tmp_path: Path) -> None:
    plan = nets.plan(2, 2, steps=LONG)
    finished = run(plan, tmp_path, SINGAC_STALL_SECONDS="2", **fault(1, 7, "stop"))
    assert finished.code == 124
    expected = "process 1 (worker 1, server 1) has stalled at step 7: suspended by a signal"
    assert expected in finished.last_line
    assert finished.of("end")[0]["status"] == "stalled"


def test_ctrl_c_ends_the_run_within_two_seconds(tmp_path: Path) -> None:
    running = Running(nets.plan(2, 2, steps=LONG, display=Every(10)), tmp_path)
    running.wait_for_step(10)
    sent = time.monotonic()
    running.send(signal.SIGINT)
    finished = running.finish()
    assert finished.code == 130
    assert time.monotonic() - sent < 2
    assert finished.of("end")[0]["status"] == "interrupted"


def test_ctrl_c_at_the_very_start_ends_the_run_too(tmp_path: Path) -> None:
    running = Running(nets.plan(2, 2, steps=LONG), tmp_path)
    running.wait_for(lambda: len(running.ranks()) > 0)
    running.send(signal.SIGINT)
    assert running.finish().code == 130


@pytest.mark.parametrize("transport", ["shared", "messages"])
def test_sigterm_saves_first(transport: str, tmp_path: Path) -> None:
    plan = nets.plan(2, 2, steps=LONG, display=Every(10))
    running = Running(plan, tmp_path, SINGAC_TRANSPORT=transport)
    running.wait_for_step(10)
    running.send(signal.SIGTERM)
    finished = running.finish()
    assert finished.code == 143
    (saved,) = finished.of("checkpoint")
    assert Path(str(saved["path"]), "manifest.json").exists()
    assert finished.of("end")[0]["steps"] == saved["step"]


def test_the_processes_go_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    running = Running(nets.plan(2, 2, steps=LONG, display=Every(10)), tmp_path)
    running.wait_for_step(10)
    running.send(signal.SIGKILL)
    running.wait_for(lambda: running.ranks() == [], seconds=5)
    time.sleep(0.2)
    running.nothing_is_left()
