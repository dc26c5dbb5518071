"""In a launcher's place, for rank 0 inside another: starts one process and tells how it ended.

`python -P -m runtime.shim WORD...`; what is told is what MPICH's launcher would say.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from runtime.inside import DESCRIPTOR
from runtime.supervisor import endings


def main() -> int:
    process = subprocess.Popen(sys.argv[1:], pass_fds=descriptors())
    code = process.wait()
    print(endings.line(socket.gethostname(), code), flush=True)
    return abs(code)


def descriptors() -> tuple[int, ...]:
    """By which the launcher and MPI talk; they must be passed on."""
    given = os.environ.get(DESCRIPTOR, "")
    return (int(given),) if given.isdecimal() else ()


if __name__ == "__main__":
    sys.exit(main())
