"""A process of a job that another launcher has started: it waits to be told which job."""

from __future__ import annotations

import os
import signal

from runtime import channel, inside, rank, world
from runtime.environment import EnvironmentFailure
from singac.diagnostics import Exit


def main() -> None:
    # The launcher passes signals on to all; rank 0 answers them.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        world.connect(int(os.environ[inside.SIZE]))
    except EnvironmentFailure:
        raise SystemExit(int(Exit.ENVIRONMENT)) from None  # rank 0 tells what is wrong
    address, job = inside.invitation()
    os.environ[channel.VARIABLE] = address
    rank.take_part(job)


if __name__ == "__main__":
    main()
