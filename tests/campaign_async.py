"""What asynchronous groups reach, held against one synchronous worker, seed by seed.

    python -m tests.campaign_async models/mlp.singa --seeds 10

Every worker group does as many steps as the synchronous worker. A line for each run, then how many
were within a hundredth of the synchronous accuracy, or better.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
NEAR = 0.01
# fmt: off
CLUSTERS = (
    ("Downpour",            "2 worker groups of 1  1 server group of 2"),
    ("Distributed Hogwild", "2 worker groups of 1  2 server groups of 1  sync_every = 4"),
    ("in-memory Hogwild",   "2 worker groups of 1  workers_per_process = 2"),
    ("hybrid 1",            "4 worker groups of 1  2 server groups of 1  workers_per_process = 2"
                            "  staleness = 4  reconcile = average"),
    ("hybrid 2",            "4 worker groups of 1  2 server groups of 2  staleness = 1"
                            "  reconcile = average"),
    ("hybrid 3",            "3 worker groups of 2  2 server groups of 1  workers_per_process = 2"
                            "  reconcile = average  sync_every = 3"),
    ("hybrid 4",            "2 worker groups of 2  2 server groups of 2  servers = separate"
                            "  servers_per_process = 2  reconcile = outer(0.7, momentum = 0.5)"),
    ("hybrid 5",            "2 worker groups of 1  2 server groups of 3  servers = separate"
                            "  servers_per_process = 3"),
)
# fmt: on


def accuracy(model: Path, cluster: str, steps: int, seed: int) -> float:
    """The last test accuracy of a run."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "program.singa")
        program.write_text(f'use "{model.resolve()}"\ncluster c {{ {cluster} }}\n')
        sets = [f"train.steps={steps}", f"train.seed={seed}", f"train.test=every({steps})"]
        command = [sys.executable, "-P", "-m", "singac.cli", "run", str(program), "--json"]
        command += ["--run-dir", f"{folder}/run", "--cluster", "c"]
        command += [word for one in sets for word in ("--set", one)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    found = [e["metrics"]["accuracy"] for e in events if e["event"] == "test"]
    return float(found[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--steps", type=int, default=1000, help="of each worker group")
    arguments = parser.parse_args()
    near = dict.fromkeys((name for name, _ in CLUSTERS), 0)
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        alone = accuracy(arguments.model, "1 worker group of 1", arguments.steps, seed)
        print(f"seed {seed}: synchronous {alone:.4f}", flush=True)
        for name, cluster in CLUSTERS:
            found = accuracy(arguments.model, cluster, arguments.steps, seed)
            near[name] += found >= alone - NEAR
            print(f"seed {seed}: {name} {found:.4f} ({found - alone:+.4f})", flush=True)
    for name, count in near.items():
        print(f"{name}: {count} of {arguments.seeds} within {NEAR:.0%}")
    if any(count < arguments.seeds for count in near.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
