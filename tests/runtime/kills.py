"""The kill loop: SIGKILL of a random process of a job at a random moment, again and again.

Every job must end, with the bits of an undisturbed one; its checkpoints must be whole; nothing may
be left, neither a process nor shared memory. `python -m kills --count 100` is the campaign.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import nets
import numpy as np
import psutil
from running import Running, run
from safetensors.numpy import load_file

from runtime import checkpoint
from singac.plan.plan import Every, Plan

WORKERS, SERVERS, STEPS = 4, 4, 4000
LONGEST_SECONDS = 4.0
PATIENCE_SECONDS = 60.0
ALLOWED_SECONDS = 5.0
Tensors = dict[str, np.ndarray]


@dataclass
class Tally:
    """What has happened so far; `seconds` from each kill to the next step of training."""

    kills: int = 0
    jobs: int = 0
    seconds: list[float] = field(default_factory=list)
    lost_steps: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        if not self.seconds:
            return f"{self.jobs} jobs, {self.kills} kills"
        late = sum(s > ALLOWED_SECONDS for s in self.seconds)
        return (
            f"{self.jobs} jobs, {self.kills} kills; training again after a median of "
            f"{statistics.median(self.seconds):.1f} s, at most {max(self.seconds):.1f} s, "
            f"{late} later than {ALLOWED_SECONDS:.0f} s; at most {max(self.lost_steps)} steps lost"
        )


def plan() -> Plan:
    saves, shows = Every(100, keep=3), Every(1)
    return nets.plan(WORKERS, SERVERS, True, steps=STEPS, checkpoint=saves, display=shows)


def undisturbed(folder: Path) -> Tensors:
    finished = run(plan(), folder)
    assert finished.code == 0, finished.stderr
    return final(folder)


def final(folder: Path) -> Tensors:
    path = folder / "checkpoints" / checkpoint.folder_name(STEPS)
    return load_file(path / "params.safetensors") | load_file(path / "states.safetensors")


def disturb(
    folder: Path, kills: int, chance: random.Random, expected: Tensors, tally: Tally
) -> None:
    """One job that up to `kills` processes are killed of, one after the other."""
    running = Running(plan(), folder, json=False, max_restarts=10 * kills)
    for _ in range(kills):
        if not _kill_one(running, chance, tally):
            break
    finished = running.finish(PATIENCE_SECONDS)
    assert finished.code == 0, finished.stderr
    for path in checkpoint.listed(folder / "checkpoints"):
        checkpoint.verify(path)
    found = final(folder)
    assert list(found) == list(expected)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    tally.jobs += 1


def _kill_one(running: Running, chance: random.Random, tally: Tally) -> bool:
    """Kill one process when some time has passed, and wait for training to go on."""
    seen = len(running.written())
    running.wait_for(lambda: bool(running.ranks()) or running.has_ended())
    time.sleep(chance.uniform(0, LONGEST_SECONDS))
    ranks = running.ranks()
    if not ranks or running.has_ended():
        return False
    try:
        chance.choice(ranks).kill()
    except psutil.NoSuchProcess:
        return False
    killed = time.monotonic()
    running.wait_for(lambda: running.has_ended() or _goes_on(running, seen), PATIENCE_SECONDS)
    if _goes_on(running, seen):
        tally.kills += 1
        tally.seconds.append(time.monotonic() - killed)
        tally.lost_steps.append(_lost(running, seen))
    return not running.has_ended()


def _goes_on(running: Running, seen: int) -> bool:
    """Whether a step, or the end, has been told since a restart that is new."""
    names = [e["event"] for e in running.written()[seen:]]
    return "restart" in names and bool({"step", "end"} & {*names[names.index("restart") :]})


def _lost(running: Running, seen: int) -> int:
    """Steps that had been told and were done again."""
    events = running.written()
    at = next(k for k, e in enumerate(events) if k >= seen and e["event"] == "restart")
    told = [e["step"] for e in events[:at] if e["event"] == "step"]
    return max(0, told[-1] - events[at]["step"]) if told else 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    chance, tally = random.Random(given.seed), Tally()
    # Kept when something is wrong.
    folder = Path(tempfile.mkdtemp(prefix="singac-kills-"))
    expected = undisturbed(folder / "whole")
    while tally.kills < given.count:
        job = folder / str(tally.jobs)
        disturb(job, min(5, given.count - tally.kills), chance, expected, tally)
        print(tally, flush=True)
        shutil.rmtree(job)
    shutil.rmtree(folder)
    late = sum(s > ALLOWED_SECONDS for s in tally.seconds)
    sys.exit(late > len(tally.seconds) // 20)


if __name__ == "__main__":
    main()
