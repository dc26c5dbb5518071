"""Random nets cut at random, trained by real processes, against one worker.

`python -m tests.partition.campaign COUNT [FIRST]` starts eight processes for every 50 cases
(`ranks.py`), prints how far it is, and ends with 1 if any case does not hold. Three in four of
these are compiled for AVX2 at most, which takes half the time.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile

from runtime.supervisor import launcher
from singac.codegen.host import ISA_VARIABLE
from singac.codegen.native import CACHE_VARIABLE
from tests.partition.nets import MOST_WORKERS

TOGETHER = 50  # cases
MOST_SECONDS = 1800  # for them


def chunk(first: int, count: int) -> bool:
    """Run some cases; whether all hold."""
    with tempfile.TemporaryDirectory(prefix="singac-campaign-") as folder:
        words = ["tests.partition.ranks", str(first), str(count), folder]
        start = [launcher.find(), "-launcher", "fork", "-n", str(MOST_WORKERS)]
        environment = launcher.environment() | {CACHE_VARIABLE: os.path.join(folder, "objects")}
        if first // TOGETHER % 4 and platform.machine() == "x86_64":
            environment[ISA_VARIABLE] = "avx2"
        try:
            done = subprocess.run(
                [*start, sys.executable, "-m", *words],
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
                timeout=MOST_SECONDS,
            )
        except subprocess.TimeoutExpired:
            print(f"{count} cases from {first} on did not end in {MOST_SECONDS} s", flush=True)
            return False
    print(done.stdout, end="", flush=True)
    return done.returncode == 0 and f"{count} of {count} from" in done.stdout


def main() -> None:
    count = int(sys.argv[1])
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    starts = range(first, first + count, TOGETHER)
    held = [chunk(start, min(TOGETHER, first + count - start)) for start in starts]
    if not all(held):
        sys.exit(1)
    print(f"{count} nets, each trained alike by one worker and by several")


if __name__ == "__main__":
    main()
