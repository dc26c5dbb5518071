"""Jobs over several hosts, which are namespaces with addresses, names and /dev/shm of their own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nets
import numpy as np
import pytest
from namespaces import Cluster, unavailable
from running import ROOT, Running, run
from safetensors.numpy import load_file

from singac.plan.plan import Every, Plan

STALL = {"SINGAC_STALL_SECONDS": "3"}
WITHOUT = unavailable()
needs_hosts = pytest.mark.skipif(WITHOUT is not None, reason=f"no hosts can be made: {WITHOUT}")
pytestmark = [pytest.mark.slow, needs_hosts]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(("a", "b"), tmp_path)
    yield made
    made.close()


def start(
    cluster: Cluster, plan: Plan, folder: Path, slots: int = 2, **settings: object
) -> Running:
    """A job whose supervisor is on the first host."""
    return Running(
        plan, folder, inside=cluster.on(cluster.names[0], []),
        hosts=tuple((name, slots) for name in cluster.names), launcher_exec=str(cluster.shell),
        **settings,
    )  # type: ignore[arg-type]  # fmt: skip


def params(folder: Path) -> dict[str, np.ndarray]:
    newest = max((folder / "checkpoints").iterdir())
    return load_file(newest / "params.safetensors")


def test_two_hosts_train_the_bits_of_one(cluster: Cluster, tmp_path: Path) -> None:
    plan = nets.plan(4, 4, steps=30)
    far = start(cluster, plan, tmp_path / "far").finish()
    assert far.code == 0, far.stderr
    assert cluster.sent("b") > 30 * plan.param_floats * 4
    near = run(plan, tmp_path / "near")
    assert near.code == 0
    one, other = params(tmp_path / "far"), params(tmp_path / "near")
    assert all(np.array_equal(one[name], other[name]) for name in other)
    assert [cluster.shared_files(name) for name in "ab"] == [[], []]


def long_plan(steps: int = 100_000) -> Plan:
    return nets.plan(4, 4, steps=steps, display=Every(1), checkpoint=Every(20, keep=2))


def at_step(running: Running, step: int) -> Running:
    running.wait_for_step(step)
    assert not running.has_ended(), running.finish().stderr
    return running


def test_a_killed_host_is_told_by_name(cluster: Cluster, tmp_path: Path) -> None:
    running = at_step(start(cluster, long_plan(), tmp_path / "run", **STALL), 20)
    killed = time.monotonic()
    cluster.kill("b")
    finished = running.finish()
    assert finished.code in (1, 124)
    assert "host b was lost at step" in finished.last_line
    assert time.monotonic() - killed < 10
    assert cluster.shared_files("a") == []


def test_a_cut_link_is_told_by_the_host_behind_it(cluster: Cluster, tmp_path: Path) -> None:
    running = at_step(start(cluster, long_plan(), tmp_path / "run", **STALL), 20)
    cut = time.monotonic()
    cluster.link("b", "down")
    running.wait_for(running.has_ended)
    assert time.monotonic() - cut < 10
    # Cut off, the processes there end by themselves.
    running.wait_for(lambda: not cluster.processes("b", "runtime.rank"), 20)
    finished = running.finish()
    assert finished.code == 124
    assert "host b was lost at step" in finished.last_line
    assert "no sign of life for 3 s" in finished.last_line


def test_a_job_goes_on_when_its_host_answers_again(cluster: Cluster, tmp_path: Path) -> None:
    plan = long_plan(3000)
    running = start(cluster, plan, tmp_path / "run", max_restarts=1, **STALL)
    at_step(running, 50)
    cluster.kill("b")
    time.sleep(2)
    cluster.start("b")
    finished = running.finish(100)
    assert finished.code == 0, finished.stderr
    (restart,) = finished.of("restart")
    assert "host b was lost" in str(restart["reason"])
    assert run(plan, tmp_path / "near").code == 0
    one, other = params(tmp_path / "run"), params(tmp_path / "near")
    assert all(np.array_equal(one[name], other[name]) for name in other)


def test_a_job_whose_host_stays_away_ends(cluster: Cluster, tmp_path: Path) -> None:
    settings = STALL | {"SINGAC_HOST_SECONDS": "2"}
    running = start(cluster, long_plan(), tmp_path / "run", max_restarts=5, **settings)
    at_step(running, 20)
    cluster.kill("b")
    finished = running.finish()
    assert finished.code == 3
    assert "host b cannot be used: no answer for 2 s" in finished.stderr
    assert finished.of("end")


def test_a_killed_process_of_another_host_is_named(cluster: Cluster, tmp_path: Path) -> None:
    running = at_step(start(cluster, long_plan(), tmp_path / "run"), 20)
    cluster.end("b", "runtime.rank", signal.SIGKILL)
    finished = running.finish()
    assert finished.code == 1
    assert re.search(r"process [23] .* on b failed at step \d+: killed by SIGKILL", finished.stderr)
    assert [cluster.shared_files(name) for name in "ab"] == [[], []]


def test_a_stopped_process_of_another_host_is_named(cluster: Cluster, tmp_path: Path) -> None:
    running = at_step(start(cluster, long_plan(), tmp_path / "run", **STALL), 20)
    cluster.end("b", "runtime.rank", signal.SIGSTOP)
    finished = running.finish()
    assert finished.code == 124
    assert re.search(r"process [23] .* on b has stalled at step \d+", finished.last_line)
    assert re.search(r"process [23] .* on b, waiting.*:\n +File", finished.stderr)


def test_hosts_with_other_versions_are_refused(cluster: Cluster, tmp_path: Path) -> None:
    own = ROOT / "singac" / "schedules.py"
    (tmp_path / "other.py").write_text(own.read_text() + "# changed\n")
    cluster.put("b", own, tmp_path / "other.py")
    finished = start(cluster, long_plan(), tmp_path / "run").finish()
    assert finished.code == 3
    assert "error[SG0933]: hosts a and b differ in singac" in finished.stderr
    assert finished.seconds < 5
    code, told = doctor(cluster)
    assert code == 3
    assert re.search(r"^BAD  host b +singac is 0.* there and 0.* here$", told, re.MULTILINE)


def doctor(cluster: Cluster) -> tuple[int, str]:
    words = ["doctor", "-H", "a:2,b:2", "--launcher-exec", str(cluster.shell)]
    command = cluster.on("a", [sys.executable, "-m", "singac.cli", *words])
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    return done.returncode, done.stdout


def test_the_doctor_asks_the_hosts(cluster: Cluster) -> None:
    code, told = doctor(cluster)
    assert code == 0, told
    assert re.search(r"^ok   host b +answers, with the same versions$", told, re.MULTILINE)


def test_hosts_with_other_data_are_refused(cluster: Cluster, tmp_path: Path) -> None:
    data = tmp_path / "run" / "data"
    nets_data = tmp_path / "other"
    for folder in (data, nets_data):
        folder.mkdir(parents=True)
        nets.save_data(folder)
    damaged = next(nets_data.glob("*.npy"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x55")
    cluster.put("b", data, nets_data)
    finished = start(cluster, long_plan(), tmp_path / "run").finish()
    assert finished.code == 3
    assert "error[SG0933]: hosts a and b differ in data" in finished.stderr


def test_a_host_that_is_not_there_is_told(cluster: Cluster, tmp_path: Path) -> None:
    cluster.link("b", "down")
    finished = start(cluster, long_plan(), tmp_path / "run").finish()
    assert finished.code == 3
    assert "error[SG0932]: host b cannot be used: connect to host b" in finished.stderr


def test_the_command_line_runs_on_hosts_with_caches_of_their_own(
    cluster: Cluster, tmp_path: Path
) -> None:
    """What a host has not it prepares and compiles for itself."""
    cache, other = tmp_path / "cache", tmp_path / "cache of b"
    for folder in (cache, other):
        folder.mkdir()
    cluster.put("b", cache, other)
    (tmp_path / "machines").write_text("a slots=2   # this one\nb:2\n")
    words = ["run", "models/mlp.singa", "-np", "4", "--hostfile", f"{tmp_path}/machines"]
    words += ["--launcher-exec", str(cluster.shell), "--run-dir", f"{tmp_path}/run"]
    words += ["--set", "train.steps=5"]
    command = cluster.on("a", [sys.executable, "-m", "singac.cli", *words])
    variables = {**os.environ, "SINGAC_CACHE": str(cache)}
    done = subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "ok: 5 steps" in done.stdout
    assert list((other / "data").iterdir())
    assert list(other.glob("*.o"))
