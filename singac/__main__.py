"""`singac` and `python -m singac`: the command line, that Ctrl-C ends from the first moment on."""

from __future__ import annotations

import os
import sys

INTERRUPTED = 130


def main() -> int:
    """Run one command; gives its exit code."""
    try:
        from singac.cli import main as run

        code = run()
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        # Interrupted while it made a dataclass, an interpreter would in the end still send itself
        # the signal, and hide the code.
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
