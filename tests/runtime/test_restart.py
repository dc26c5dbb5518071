"""A job that fails begins again from its last checkpoint and ends with the same bits."""

from __future__ import annotations

import signal
from pathlib import Path

import nets
import numpy as np
import pytest
from running import Running, fault, run
from safetensors.numpy import load_file

from runtime.checkpoints import checkpoint
from singac.plan.plan import Every, Plan

INJECTED = "runtime.process.faults.InjectedFault: a fault was asked for"

pytestmark = pytest.mark.slow

STEPS = 20
LONG = 10_000_000
Tensors = dict[str, np.ndarray]


def plan(steps: int = STEPS, save: int = 4) -> Plan:
    return nets.plan(2, 2, steps=steps, checkpoint=Every(save, keep=2), display=Every(1))


def tensors(folder: Path, step: int = STEPS) -> Tensors:
    path = folder / "checkpoints" / checkpoint.folder_name(step)
    return load_file(path / "params.safetensors") | load_file(path / "states.safetensors")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Tensors:
    """What an uninterrupted run ends with."""
    folder = tmp_path_factory.mktemp("whole")
    assert run(plan(), folder).code == 0
    return tensors(folder)


@pytest.mark.parametrize(
    ("kind", "step", "goes_on_from", "reason"),
    [
        ("kill", 10, 8, "failed at step 10: killed by SIGKILL"),
        ("raise", 3, 0, f"failed at step 3: {INJECTED}"),
        ("stop", 14, 12, "has stalled at step 14: suspended by a signal, no sign of life for 2 s"),
    ],
)
def test_a_restarted_job_ends_with_the_same_bits(
    kind: str,
    step: int,
    goes_on_from: int,
    reason: str,
    tmp_path: Path,
    whole: dict[str, np.ndarray],
) -> None:
    stranger = tmp_path / "checkpoints" / checkpoint.folder_name(15)
    stranger.mkdir(parents=True)
    settings = {"SINGAC_STALL_SECONDS": "2", **fault(1, step, kind, once=True)}
    finished = run(plan(), tmp_path, max_restarts=2, **settings)
    assert finished.code == 0, finished.stderr
    (restart,) = finished.of("restart")
    who = "process 1 (worker 1, server 1)"
    if kind == "kill" and restart["step"] == goes_on_from - 4:
        goes_on_from -= 4  # the end of one process is that of all, also of who was still writing
    assert restart == {"event": "restart", "step": goes_on_from, "reason": f"{who} {reason}"}
    assert f"warning[SG091{'1' if kind == 'stop' else '0'}]: {who} {reason}" in finished.stderr
    after = finished.events[finished.events.index(restart) + 1 :]
    assert [e["step"] for e in after if e["event"] == "step"] == [*range(goes_on_from + 1, 21)]
    assert finished.of("end")[0]["restarts"] == 1
    found = tensors(tmp_path)
    assert all(np.array_equal(found[name], whole[name]) for name in whole)
    if kind == "stop":
        frames = finished.stderr.splitlines()
        assert f"{who}, computing:" in frames
        assert "in strike" in finished.stderr
        assert (tmp_path / "checkpoints-1" / stranger.name).is_dir(), "it is not of this job"
        assert "process 0 (worker 0, server 0), waiting for gradients:" in frames


def test_a_step_that_fails_every_time_ends_the_job(tmp_path: Path) -> None:
    finished = run(plan(), tmp_path, max_restarts=9, **fault(0, 10, "kill"))
    assert finished.code == 1
    assert len(finished.of("restart")) == 2
    assert finished.last_line.strip() == (
        "help: step 10 has failed 3 times in a row: another restart is useless"
    )


def test_restarts_are_counted(tmp_path: Path) -> None:
    finished = run(plan(), tmp_path, max_restarts=1, **fault(0, "start", "exit"))
    assert finished.code == 1
    assert len(finished.of("restart")) == 1
    assert "the job was restarted once, as often as --max-restarts allows" in finished.stderr


@pytest.mark.parametrize("which", ["mpiexec", "hydra_pmi_proxy"])
def test_the_launcher_may_be_killed_too(which: str, tmp_path: Path) -> None:
    running = Running(plan(LONG, 50), tmp_path, max_restarts=1)
    running.wait_for_step(50)
    running.launchers(which)[0].kill()
    running.wait_for(lambda: any(e["event"] == "restart" for e in running.written()))
    running.send(signal.SIGTERM)
    finished = running.finish()
    assert finished.code == 143
    (restart,) = finished.of("restart")
    assert str(restart["reason"]).startswith("the launcher failed at step ")
    assert finished.of("checkpoint")[-1]["step"] > restart["step"]  # type: ignore[operator]
