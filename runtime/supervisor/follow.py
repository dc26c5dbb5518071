"""The events of a job, from its start to its end, as they come."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

from runtime.supervisor.register import State

PAUSE_SECONDS = 0.1


def lines(state: State) -> Iterator[str]:
    """Each event as the line it is in metrics.jsonl; ends with the job, or with its supervisor."""
    with Path(state.run_folder, "metrics.jsonl").open(encoding="utf-8") as file:
        file.seek(state.metrics)
        rest = ""
        while True:
            lives = state.runs
            rest += file.readline()
            if rest.endswith("\n"):
                yield rest.rstrip("\n")
                if _is_end(rest):
                    return
                rest = ""
            elif not lives:
                return  # what a supervisor that was killed has left is read
            else:
                time.sleep(PAUSE_SECONDS)


def _is_end(line: str) -> bool:
    return bool(json.loads(line)["event"] == "end")
