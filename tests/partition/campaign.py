"""Random nets cut at random against one worker: `python -m tests.partition.campaign COUNT`."""

from __future__ import annotations

import sys

from tests.partition.nets import case
from tests.partition.test_cuts import agree

STEPS = 20
EACH = 20  # nets between two words of progress


def main() -> None:
    count = int(sys.argv[1])
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    for seed in range(first, first + count):
        try:
            agree(*case(seed), STEPS)
        except BaseException:
            print(f"case {seed}: {case(seed)}", file=sys.stderr)
            raise
        if (done := seed - first + 1) % EACH == 0:
            print(f"{done} of {count}", flush=True)
    print(f"{count} nets, each trained alike by one worker and by several")


if __name__ == "__main__":
    main()
