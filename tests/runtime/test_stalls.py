"""Whoever is suspended is reported, with the stacks of those who wait for it."""

from __future__ import annotations

import signal
from pathlib import Path

import nets
import pytest
from running import Running

from singac.plan.plan import Every

pytestmark = pytest.mark.slow

LONG = 10_000_000
# fmt: off
SUSPENDED = {  # workers, servers, separate, the process, its role
    "worker": (2, 2, False, 1, "process 1 (worker 1, server 1)"),
    "chief":  (2, 1, True,  0, "process 0 (worker 0)"),
    "server": (2, 2, True,  3, "process 3 (server 1)"),
}
# fmt: on


@pytest.mark.parametrize("name", SUSPENDED)
def test_any_process_may_be_suspended(name: str, tmp_path: Path) -> None:
    workers, servers, separate, rank, who = SUSPENDED[name]
    plan = nets.plan(workers, servers, separate, steps=LONG, display=Every(10))
    running = Running(plan, tmp_path, SINGAC_STALL_SECONDS="2")
    running.wait_for_step(10)
    (process,) = (p for p in running.ranks() if p.environ()["PMI_RANK"] == str(rank))
    process.suspend()
    finished = running.finish(15)
    assert finished.code == 124
    assert f"error[SG0911]: {who} has stalled at step " in finished.last_line
    assert finished.last_line.endswith("suspended by a signal, no sign of life for 2 s")
    for other in range(len(plan.processes)):
        assert f"process {other} (" in finished.stderr
    assert finished.stderr.count("in _run_module_as_main") == len(plan.processes)


@pytest.mark.parametrize("which", ["mpiexec", "hydra_pmi_proxy"])
def test_the_launcher_may_be_suspended(which: str, tmp_path: Path) -> None:
    plan = nets.plan(2, 2, steps=LONG, display=Every(10))
    running = Running(plan, tmp_path, SINGAC_STALL_SECONDS="2")
    running.wait_for_step(10)
    running.launchers(which)[0].suspend()
    finished = running.finish(15)
    assert finished.code == 124
    assert "error[SG0911]: the launcher has stalled at step " in finished.last_line
    assert finished.stderr.count("in _run_module_as_main") == len(plan.processes)


def test_a_process_suspended_while_it_starts_is_the_one_that_is_named(tmp_path: Path) -> None:
    plan = nets.plan(2, 2, steps=LONG)
    running = Running(plan, tmp_path, SINGAC_STALL_SECONDS="2")
    running.wait_for(lambda: len(running.ranks()) == 2)
    (process,) = (p for p in running.ranks() if p.environ()["PMI_RANK"] == "1")
    process.send_signal(signal.SIGSTOP)
    finished = running.finish(15)
    assert finished.code == 124
    assert "process 1 (worker 1, server 1) has stalled at step 0: suspended" in finished.last_line


def test_a_launcher_suspended_while_processes_start_is_the_one_that_is_named(
    tmp_path: Path,
) -> None:
    running = Running(nets.plan(2, 2, steps=LONG), tmp_path, SINGAC_STALL_SECONDS="2")
    running.wait_for(lambda: len(running.ranks()) == 2)
    running.launchers("hydra_pmi_proxy")[0].suspend()
    finished = running.finish(15)
    assert finished.code == 124
    assert "the launcher has stalled at step 0: suspended by a signal" in finished.last_line
