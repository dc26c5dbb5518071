"""N processes meet, and end: `mpiexec -n N python -P -m runtime.hello N`, for the doctor."""

from __future__ import annotations

import sys

from runtime import world
from runtime.environment import EnvironmentFailure

if __name__ == "__main__":
    try:
        world.connect(int(sys.argv[1]))
    except EnvironmentFailure as error:
        sys.exit(error.message)
    world.leave()
