"""What the tests do a little of: crashes while a checkpoint is written, checkpoints damaged.

`python -m tests.campaign_checkpoints --damages 1000` crashes at every call into C of a writing,
then damages so many checkpoints; it ends with the first that is not as it must be.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import random
import tempfile
from pathlib import Path

import crashes
import damages


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--damages", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stride", type=int, default=1, help="crash at every n-th call")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="singac-checkpoints-") as folder:
        outcome = crashes.every_crash(Path(folder) / "crashes", given.stride)
        print(
            f"{sum(outcome.values())} crashes: {outcome[crashes.BEFORE]} left the old checkpoint, "
            f"{outcome[crashes.AFTER]} the new one, all of them whole"
        )
        chance = random.Random(given.seed)
        for _ in range(given.damages):
            told = io.StringIO()
            with contextlib.redirect_stderr(told):
                newest = damages.damaged(Path(folder), chance)
            assert str(newest) in told.getvalue(), "the damaged one is named"
        print(f"{given.damages} damaged checkpoints, all of them found and told")


if __name__ == "__main__":
    main()
