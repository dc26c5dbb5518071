"""Four hosts of four processes: the numbers of one worker; a lost host is named within 15 seconds.

    python -m campaign_hosts --count 3

Each round cuts the link of a host, kills it, and kills it again to let it come back, with the
limits that a user has.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nets
import numpy as np
from namespaces import Cluster, unavailable
from running import Running, run
from safetensors.numpy import load_file

from singac.plan.plan import Every, Plan

NAMES, SLOTS = ("a", "b", "c", "d"), 4
PROCESSES = SLOTS * len(NAMES)
ALLOWED_SECONDS = 15.0
LONG = 1_000_000
NEAR = 1e-5
PATIENCE_SECONDS, AWAY_SECONDS = 240.0, 5.0


def plan(processes: int, steps: int) -> Plan:
    shows, saves = Every(1), Every(10, keep=2)
    return nets.plan(processes, processes, steps=steps, display=shows, checkpoint=saves)


def start(cluster: Cluster, steps: int, folder: Path, restarts: int = 0) -> Running:
    return Running(
        plan(PROCESSES, steps), folder, json=True, max_restarts=restarts,
        inside=cluster.on(NAMES[0], []), hosts=tuple((name, SLOTS) for name in NAMES),
        launcher_exec=str(cluster.shell),
    )  # fmt: skip


def difference(folder: Path, other: Path) -> float:
    """The largest relative difference, in the norm, between params of two runs."""
    one, two = (load_file(max((f / "checkpoints").iterdir()) / "params.safetensors")
                for f in (folder, other))  # fmt: skip
    return max(float(np.linalg.norm(one[n] - two[n]) / np.linalg.norm(two[n])) for n in two)


def trains(cluster: Cluster, folder: Path, steps: int) -> None:
    assert run(plan(1, steps), folder / "alone").code == 0
    finished = start(cluster, steps, folder / "whole").finish(PATIENCE_SECONDS)
    assert finished.code == 0, finished.stderr
    found = difference(folder / "whole", folder / "alone")
    print(f"{steps} steps in {finished.seconds:.1f} s; {found:.1e} from one worker", flush=True)
    assert found < NEAR


def ends(cluster: Cluster, folder: Path, host: str, lose: Callable[[], None], how: str) -> None:
    """A job that may not begin again ends soon after its host is lost, and names it."""
    running = start(cluster, LONG, folder)
    running.wait_for_step(10)
    begun = time.monotonic()
    lose()
    running.wait_for(running.has_ended)
    seconds = time.monotonic() - begun
    # What was cut off ends by itself.
    running.wait_for(lambda: not running.ranks())
    told = running.finish().last_line
    print(f"{how} after {seconds:.1f} s: {told}", flush=True)
    assert f"host {host} was lost" in told
    assert seconds < ALLOWED_SECONDS


def goes_on(cluster: Cluster, folder: Path, host: str, steps: int) -> None:
    """A job whose host comes back ends with the numbers of an undisturbed one."""
    running = start(cluster, steps, folder / "again", restarts=1)
    running.wait_for_step(10)
    cluster.kill(host)
    time.sleep(AWAY_SECONDS)
    cluster.start(host)
    finished = running.finish(PATIENCE_SECONDS)
    assert finished.code == 0, finished.stderr
    assert len(finished.of("restart")) == 1
    found = difference(folder / "again", folder / "whole")
    print(
        f"killed, back after {AWAY_SECONDS:.0f} s: done, {found:.1e} from undisturbed", flush=True
    )
    assert found == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    given = parser.parse_args()
    if reason := unavailable():
        sys.exit(f"no hosts can be made: {reason}")
    folder = Path(tempfile.mkdtemp(prefix="singac-hosts-"))
    cluster = Cluster(NAMES, folder)
    try:
        trains(cluster, folder, given.steps)
        for number in range(given.count):
            host = NAMES[1 + number % (len(NAMES) - 1)]
            ends(
                cluster, folder / f"cut-{number}", host, partial(cluster.link, host, "down"), "cut"
            )
            cluster.link(host, "up")
            killed = folder / f"killed-{number}"
            ends(cluster, killed, host, partial(cluster.kill, host), "killed")
            cluster.start(host)
            goes_on(cluster, folder, host, given.steps)
            shutil.rmtree(folder / "again")
    finally:
        cluster.close()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
