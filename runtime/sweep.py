"""Removes files that a job has left on this host: `python -P -m runtime.sweep FILE...`."""

from __future__ import annotations

import sys

from runtime.supervisor.remains import SHARED_MEMORY, remove_files

if __name__ == "__main__":
    remove_files([name for name in sys.argv[1:] if name.startswith(SHARED_MEMORY)])
