"""Every way to fail, of every kind of process, at any moment: soon over, well told, nothing left.

`python -m campaign_failures --count 20` makes each kind fail so often in each placing.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import nets
from running import Finished, Running, fault

from runtime.supervisor import verdict
from singac.plan.plan import Every, Plan

LONG = 10_000_000
ALLOWED_SECONDS = 5.0
RAISED = "runtime.process.faults.InjectedFault: a fault was asked for"
# fmt: off
INJECTED = {
    "raise": RAISED,
    "exit":  "exited with code 3",
    "segv":  "segmentation fault",
    "abort": "killed by SIGABRT",
    "kill":  "killed by SIGKILL",
}
SENT = {
    signal.SIGKILL: "killed by SIGKILL",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGTERM: "killed by SIGTERM",
}
PLACINGS = {  # workers, servers, whether these are separate
    1: ((1, 1, False),),
    2: ((2, 2, False), (1, 1, True)),
    3: ((3, 1, False), (2, 1, True)),
    5: ((5, 5, False), (3, 2, True)),
    8: ((8, 2, False), (4, 4, True)),
}
# fmt: on


@dataclass(frozen=True)
class Case:
    """A process of a placing that fails: `kind` by itself, or by a signal from outside."""

    workers: int
    servers: int
    separate: bool
    rank: int
    kind: str | signal.Signals

    def plan(self) -> Plan:
        return nets.plan(
            self.workers, self.servers, self.separate, steps=LONG, display=Every(1),
            checkpoint=Every(10, keep=2),
        )  # fmt: skip


def cases() -> list[Case]:
    """The chief, another worker and a server of each placing, failing in each way."""
    found = []
    for workers, servers, separate in (p for placings in PLACINGS.values() for p in placings):
        chief, other, server = 0, workers - 1, workers + servers - 1
        ranks = dict.fromkeys((chief, other, server) if separate else (chief, other))
        for kind in (*INJECTED, *SENT):
            found += [Case(workers, servers, separate, rank, kind) for rank in ranks]
    return found


def fail(case: Case, folder: Path, chance: random.Random) -> float:
    """Make it fail; gives the seconds from there to the end of the run."""
    if isinstance(case.kind, signal.Signals):
        return _by_signal(case, case.kind, folder, chance)
    step: int | str = chance.choice(["start", "connected", *range(60)])
    running = Running(case.plan(), folder, **fault(case.rank, step, case.kind))
    if isinstance(step, int):
        running.wait_for_step(step - 2)  # of the step before the chief may not have told yet
    begun = time.monotonic()
    finished = running.finish()
    took = time.monotonic() - begun
    expected = f"failed at step {step if isinstance(step, int) else 0}: {INJECTED[case.kind]}"
    check(case, finished, re.escape(expected))
    return took


def _by_signal(case: Case, number: signal.Signals, folder: Path, chance: random.Random) -> float:
    running = Running(case.plan(), folder)
    wanted = str(case.rank)
    running.wait_for(lambda: len(running.ranks()) == len(case.plan().processes))
    time.sleep(chance.choice([0, 0, 1]) * chance.uniform(0, 1.5) + chance.uniform(0, 0.3))
    (process,) = (p for p in running.ranks() if p.environ().get("PMI_RANK") == wanted)
    process.send_signal(number)
    begun = time.monotonic()
    finished = running.finish()
    took = time.monotonic() - begun
    check(case, finished, rf"failed at step \d+: {SENT[number]}")
    return took


def check(case: Case, finished: Finished, expected: str) -> None:
    who = re.escape(verdict.role(case.plan(), case.rank))
    assert finished.code == 1, finished.stderr
    assert re.fullmatch(rf"error\[SG0910\]: {who} {expected}", finished.last_line), finished.stderr
    assert finished.of("end")[-1]["status"] == "failed"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="kinds, separated by commas")
    given = parser.parse_args()
    chance = random.Random(given.seed)
    todo = [c for c in cases() if not given.only or _name(c) in given.only.split(",")] * given.count
    chance.shuffle(todo)
    wrong: Counter[str] = Counter()
    longest, begun = 0.0, time.monotonic()
    for number, case in enumerate(todo, 1):
        # Kept when something is wrong.
        folder = Path(tempfile.mkdtemp(prefix="singac-failures-"))
        try:
            longest = max(longest, fail(case, folder, chance))
        except (AssertionError, ValueError) as error:
            wrong[_name(case)] += 1
            print(f"{case} in {folder}: {error}", flush=True)
        else:
            shutil.rmtree(folder)
        if number % 50 == 0 or number == len(todo):
            minutes = (time.monotonic() - begun) / 60
            told = f"{sum(wrong.values())} wrong {dict(wrong)}, longest {longest:.1f} s"
            print(f"{number} of {len(todo)} in {minutes:.1f} min: {told}", flush=True)
    sys.exit(bool(wrong) or longest > ALLOWED_SECONDS)


def _name(case: Case) -> str:
    return case.kind.name if isinstance(case.kind, signal.Signals) else case.kind


if __name__ == "__main__":
    main()
