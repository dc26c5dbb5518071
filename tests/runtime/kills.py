"""The kill loop: SIGKILL of a random process of a job, again and again.

Every job must end, a synchronous one with the bits of an undisturbed one; its checkpoints must be
whole; nothing may be left, neither a process nor shared memory.
`python -m kills --scene any --count 100` is the campaign.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import nets
import numpy as np
import psutil
from running import ROOT, Running, Started
from safetensors.numpy import load_file

from runtime.checkpoints import checkpoint
from singac.plan.plan import Every, Plan

WORKERS, SERVERS, STEPS = 4, 4, 4000
PATIENCE_SECONDS = 60.0
ALLOWED_SECONDS = 5.0
PROGRAM = f"""
data digits = csv("{ROOT}/models/data/digits.csv.gz", scale = 1/16, test = 0.2)
net a on digits {{
    features -> dense(32) -> relu -> dropout(0.2) -> scores: dense(10)
    [scores, label] -> softmax_loss
}}
train a {{
    updater    = SGD(rate = 0.1, momentum = 0.9)
    batch      = 64
    steps      = 600
    display    = every(1)
    checkpoint = every(50, keep = 2)
}}
"""
SECOND = PROGRAM[PROGRAM.index("net") :].replace("net a", "net b").replace("train a", "train b")
GROUPS = "cluster c { 4 worker groups of 1  1 server group of 4  servers = separate }"
Tensors = dict[str, np.ndarray]
Begin = Callable[[Path, int], Started]
Moment = Callable[[Started, random.Random], None]


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


# What is run


def plan() -> Plan:
    saves, shows = Every(100, keep=3), Every(1)
    return nets.plan(WORKERS, SERVERS, True, steps=STEPS, checkpoint=saves, display=shows)


def by_hand(folder: Path, restarts: int) -> Started:
    return Running(plan(), folder, json=False, max_restarts=restarts)


def compiled(text: str, processes: int) -> Begin:
    def begin(folder: Path, restarts: int) -> Started:
        folder.mkdir(parents=True)
        program = folder.with_suffix(".singa")
        program.write_text(text)
        command = [sys.executable, "-P", "-m", "singac.cli", "run", str(program), "--json"]
        command += ["--run-dir", str(folder), "-np", str(processes)]
        return Started([*command, "--max-restarts", str(restarts)], folder)

    return begin


# When one of its processes is killed


def at_any_time(running: Started, chance: random.Random) -> None:
    time.sleep(chance.uniform(0, 4))


def while_starting(running: Started, chance: random.Random) -> None:
    time.sleep(chance.uniform(0, 1))


def while_saving(running: Started, chance: random.Random) -> None:
    """Just when a checkpoint is half written."""
    time.sleep(chance.uniform(0.5, 3))
    stop = time.monotonic() + 3
    while time.monotonic() < stop:
        if any(running.folder.glob(f"checkpoints/*{checkpoint.UNFINISHED}")):
            return


@dataclass(frozen=True)
class Scene:
    """A job, how often its processes are killed, when, and whether its end is known to the bit."""

    begin: Begin
    moment: Moment
    kills: int = 5
    exact: bool = True


# fmt: off
SCENES = {
    "any":    Scene(by_hand, at_any_time),
    "start":  Scene(by_hand, while_starting, kills=2),
    "saving": Scene(by_hand, while_saving),
    "trains": Scene(compiled(PROGRAM + SECOND, 3), at_any_time),
    "groups": Scene(compiled(PROGRAM + GROUPS, 8), at_any_time, exact=False),
}
# fmt: on


def undisturbed(scene: Scene, folder: Path) -> Tensors:
    finished = scene.begin(folder, 0).finish()
    assert finished.code == 0, finished.stderr
    return final(folder)


def final(folder: Path) -> Tensors:
    """What all trains of a run have ended with."""
    found: Tensors = {}
    for checkpoints in sorted(folder.rglob("checkpoints")):
        newest = checkpoint.listed(checkpoints)[0]
        for file in ("params.safetensors", "states.safetensors"):
            tensors = load_file(newest / file) if (newest / file).exists() else {}
            found |= {f"{checkpoints.parent.name}/{name}": t for name, t in tensors.items()}
    return {name.removeprefix(f"{folder.name}/"): tensor for name, tensor in found.items()}


def disturb(
    scene: Scene, folder: Path, kills: int, chance: random.Random, expected: Tensors, tally: Tally
) -> None:
    """One job that up to `kills` processes are killed of, one after the other."""
    running = scene.begin(folder, 10 * kills)
    for _ in range(kills):
        if not _kill_one(scene, running, chance, tally):
            break
    finished = running.finish(PATIENCE_SECONDS)
    assert finished.code == 0, finished.stderr
    sound(folder)
    if scene.exact:
        same(folder, expected)
    tally.jobs += 1


def sound(folder: Path) -> None:
    """Every checkpoint is whole, and nothing half written lies beside them."""
    for checkpoints in folder.rglob("checkpoints"):
        whole = checkpoint.listed(checkpoints)
        assert sorted(whole) == sorted(checkpoints.iterdir())
        for path in whole:
            checkpoint.verify(path)


def same(folder: Path, expected: Tensors) -> None:
    found = final(folder)
    assert list(found) == list(expected)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


def _kill_one(scene: Scene, running: Started, chance: random.Random, tally: Tally) -> bool:
    """Kill one process when its moment has come, and wait for training to go on."""
    seen = len(running.written())
    running.wait_for(lambda: bool(running.ranks()) or running.has_ended())
    scene.moment(running, chance)
    ranks = running.ranks()
    if not ranks or running.has_ended():
        return not running.has_ended()
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


def _goes_on(running: Started, seen: int) -> bool:
    """Whether a step, or the end, has been told since a restart that is new."""
    names = [e["event"] for e in running.written()[seen:]]
    return "restart" in names and bool({"step", "end"} & {*names[names.index("restart") :]})


def _lost(running: Started, seen: int) -> int:
    """Steps of this train that had been told and were done again."""
    events = running.written()
    at = next(k for k, e in enumerate(events) if k >= seen and e["event"] == "restart")
    begun = max(k for k, e in enumerate(events[:at]) if e["event"] == "start")
    told = [e["step"] for e in events[begun:at] if e["event"] == "step"]
    return max(0, told[-1] - events[at]["step"]) if told else 0


# The supervisor


def orphan(folder: Path, chance: random.Random, expected: Tensors) -> None:
    """Kill the supervisor: its processes go within five seconds, and another one resumes."""
    running = by_hand(folder, 0)
    running.wait_for(lambda: bool(running.ranks()))
    at_any_time(running, chance)
    running.send(signal.SIGKILL)
    running.wait_for(lambda: not running.ranks(), ALLOWED_SECONDS)
    running.process.wait()
    time.sleep(0.2)
    running.nothing_is_left()
    begun = checkpoint.listed(folder / "checkpoints")
    again = Running(plan(), folder, resume=folder if begun else None)
    assert again.finish(PATIENCE_SECONDS).code == 0
    sound(folder)
    same(folder, expected)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scene", choices=[*SCENES, "supervisor"], default="any")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    chance, tally = random.Random(given.seed), Tally()
    scene = SCENES.get(given.scene, SCENES["any"])
    # Kept when something is wrong.
    folder = Path(tempfile.mkdtemp(prefix="singac-kills-"))
    expected = undisturbed(scene, folder / "job")
    while tally.kills < given.count:
        shutil.rmtree(folder / "job")
        if given.scene == "supervisor":
            orphan(folder / "job", chance, expected)
            tally.kills += 1
        else:
            kills = min(scene.kills, given.count - tally.kills)
            disturb(scene, folder / "job", kills, chance, expected, tally)
        print(f"{given.scene}: {tally}", flush=True)
    shutil.rmtree(folder)
    late = sum(s > ALLOWED_SECONDS for s in tally.seconds)
    sys.exit(late > len(tally.seconds) // 20)


if __name__ == "__main__":
    main()
