"""What two asynchronous groups reach sooner than one: seconds until a test accuracy, taking turns.

    python -m tests.campaign_sooner models/lenet.singa --set "train.updater=SGD(rate = 0.01)"

Seconds count from the start of `singac run` to the first test that is as good. Groups add up what
they do: the rate must be one that a net bears twice. Fails unless the two were sooner by the median
of all rounds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
ALONE = "1 worker group of 1"
GROUPS = "2 worker groups of 1  1 server group of 2  staleness = 2"


def seconds(model: Path, cluster: str, sets: Sequence[str], accuracy: float) -> float:
    """Until the first test of a run that reaches the accuracy."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "program.singa")
        program.write_text(f'use "{model.resolve()}"\ncluster c {{ {cluster} }}\n')
        command = [sys.executable, "-P", "-m", "singac.cli", "run", str(program), "--json"]
        command += ["--run-dir", f"{folder}/run", "--cluster", "c"]
        command += [word for one in sets for word in ("--set", one)]
        began = time.monotonic()
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None, "it is a pipe"
            for line in run.stdout:
                event = json.loads(line)
                if event["event"] == "test" and event["metrics"]["accuracy"] >= accuracy:
                    took = time.monotonic() - began
                    run.terminate()
                    run.communicate()
                    return took
    raise SystemExit(f"{model.name} on `{cluster}` never reached {accuracy}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--accuracy", type=float, default=0.85)
    parser.add_argument("--every", type=int, default=50, help="steps of a group between two tests")
    parser.add_argument("--rounds", type=int, default=5, help="each with a seed of its own")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="BLOCK.K=V")
    arguments = parser.parse_args()
    common = [*arguments.sets, f"train.test=every({arguments.every})", "train.steps=100000"]
    ratios = []
    for seed in range(arguments.rounds):
        clusters = (ALONE, GROUPS) if seed % 2 == 0 else (GROUPS, ALONE)
        sets = [*common, f"train.seed={seed}"]
        took = {c: seconds(arguments.model, c, sets, arguments.accuracy) for c in clusters}
        ratios.append(took[ALONE] / took[GROUPS])
        print(f"seed {seed}: {took[ALONE]:.2f} s alone, {took[GROUPS]:.2f} s in groups", flush=True)
    print(f"two groups are {median(ratios):.2f} times as fast, {min(ratios):.2f} at least")
    if median(ratios) <= 1:
        sys.exit(1)


if __name__ == "__main__":
    main()
