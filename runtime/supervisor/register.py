"""Which jobs are running: a state in each run folder, and an entry for each in the user's cache.

    RUN/state.json         who runs here, and since when; locked as long as it does
    <cache>/jobs/PID.json  the run folder of the job that process PID supervises

A state says the process id of its supervisor and when that process started: an id that was given to
another process since, on this machine or after it was started anew, is not taken for it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from runtime.hosts import machine
from runtime.job import Job
from runtime.supervisor.remains import started_at
from singac.diagnostics import Diagnostic, Exit, Failed

STATE = "state.json"
TAIL_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class State:
    """A job as its supervisor found it; `since` in seconds of the epoch.

    `metrics` is how long the file of its events was before, in bytes; `started` is in ticks since
    the machine was started.
    """

    run_folder: str
    pid: int
    started: int
    machine: str
    host: str
    processes: int
    since: float
    metrics: int

    @property
    def runs(self) -> bool:
        """Whether its supervisor lives, on this machine."""
        return self.machine == machine() and started_at(self.pid) == self.started


def read(run_folder: Path) -> State | None:
    """The job that runs in a folder, or ran there last; None where there was none."""
    try:
        return State(**json.loads((run_folder / STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


@contextlib.contextmanager
def entered(job: Job) -> Iterator[None]:
    """While a job runs in its folder; raises Failed when another one does."""
    with (job.folder / STATE).open("a+", encoding="utf-8") as file:
        _lock(file, job)
        state = _state(job)
        file.truncate(0)
        file.write(json.dumps(dataclasses.asdict(state)) + "\n")
        file.flush()
        entry = Path(job.registry, f"{state.pid}.json") if job.registry else None
        _put(entry, state.run_folder)
        try:
            yield
        finally:
            _remove(entry)


def _lock(file: TextIO, job: Job) -> None:
    """The kernel lets go of it when the supervisor ends, however it does."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        other = read(job.folder)
        who = f"process {other.pid} on {other.host}" if other else "another process"
        raise Failed(
            [
                Diagnostic(
                    "SG0935",
                    f"a job is running in this folder already: {who}",
                    help="choose another folder with --run-dir, or end it with `singac stop`",
                    file=job.run_folder,
                    exit=Exit.ENVIRONMENT,
                )
            ]
        ) from None


def _state(job: Job) -> State:
    pid = os.getpid()
    metrics = job.metrics.stat().st_size
    started, host = started_at(pid), socket.gethostname()
    since = round(time.time(), 1)
    return State(job.run_folder, pid, started, machine(), host, job.processes, since, metrics)


def _put(entry: Path | None, run_folder: str) -> None:
    """Without an entry a job is not listed, and trains all the same."""
    if entry is not None:
        with contextlib.suppress(OSError):
            entry.parent.mkdir(parents=True, exist_ok=True)
            entry.write_text(json.dumps({"run_folder": run_folder}), encoding="utf-8")


def _remove(entry: Path | None) -> None:
    if entry is not None:
        with contextlib.suppress(OSError):
            entry.unlink()


def running(registry: Path) -> list[State]:
    """The jobs that are running, oldest first; entries of supervisors that are gone are removed."""
    found = []
    for entry in registry.glob("*.json"):
        state = _registered(entry)
        if state is not None:
            found.append(state)
        else:
            _remove(entry)
    return sorted(found, key=lambda state: (state.since, state.pid))


def _registered(entry: Path) -> State | None:
    try:
        folder = Path(json.loads(entry.read_text(encoding="utf-8"))["run_folder"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    state = read(folder)
    return state if state is not None and state.runs and entry.stem == str(state.pid) else None


def of(path: Path) -> State:
    """The job of a run folder, or of one of those within it; raises Failed where none ever was."""
    folders = [path, *sorted(folder for folder in path.glob("*/") if folder.is_dir())]
    states = [state for folder in folders if (state := read(folder)) is not None]
    if not states:
        raise _none("no job has run in this folder", path)
    return max(states, key=lambda state: (state.runs, state.since))


def running_in(path: Path) -> State:
    """The job that runs in a folder, supervised on this machine; raises Failed where none does."""
    state = of(path)
    if not state.runs:
        where = f"; the last was on {state.host}" if state.machine != machine() else ""
        raise _none(f"no job is running here{where}", path)
    return state


def _none(message: str, path: Path) -> Failed:
    help = "give the run folder of a job; `singac ps` lists those that are running"
    return Failed([Diagnostic("SG0936", message, help=help, file=str(path), exit=Exit.ENVIRONMENT)])


def last_event(state: State) -> dict[str, object]:
    """What a job has told last, with its net and its step; empty before it has told anything."""
    told: dict[str, object] = {}
    with contextlib.suppress(OSError), open(_metrics(state), "rb") as file:
        file.seek(state.metrics)
        told |= _event(file.readline())
        file.seek(max(state.metrics, os.fstat(file.fileno()).st_size - TAIL_BYTES))
        for line in file:
            told |= _event(line)
    return told


def _event(line: bytes) -> dict[str, object]:
    """Of a line that is cut off nothing is known."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _metrics(state: State) -> str:
    return os.path.join(state.run_folder, "metrics.jsonl")
