"""The job: what every process of a run needs to know before it has read the plan."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.hosts import Host, host_of, used

if TYPE_CHECKING:
    from singac.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class Job:
    """One run. Paths are absolute; `run_folder` is made when it does not exist.

    `resume` is a checkpoint, or a folder of checkpoints or a run folder (the newest sound one is
    meant), or None to start from the initialisers. `restart` counts from 0, the first attempt.
    Of a `timed` run nothing is told or saved but how long its steps took. One `in_turns` does steps
    only when it is told to (`runtime/process/turns.py`).
    `origins` are like `resume`, for params that start from another run, by the key of their origin.
    `hosts` are empty on one machine alone; then `launcher` starts a process on each in its way,
    `launcher_exec` standing for its program. `request` tells a host how to prepare the data.
    One `inside` another launcher is not launched again; where its processes are it is not told.
    In the folder `registry` the jobs of a user that are running have an entry each.
    """

    plan: str
    data_folder: str
    run_folder: str
    processes: int
    resume: str | None = None
    json: bool = False
    max_restarts: int = 0
    restart: int = 0
    timed: bool = False
    in_turns: bool = False
    traced: bool = False
    origins: dict[str, str] = field(default_factory=dict)
    hosts: tuple[tuple[str, int], ...] = ()
    launcher: str = "ssh"
    launcher_exec: str = ""
    request: str | None = None
    registry: str = ""
    inside: bool = False

    @property
    def folder(self) -> Path:
        return Path(self.run_folder)

    def notes(self, rank: int) -> Path:
        """Where a process of a run that is `traced` notes what it does and when."""
        return self.logs / f"process-{rank}.notes"

    @property
    def file(self) -> Path:
        return self.folder / "job.json"

    @property
    def progress(self) -> Path:
        return self.folder / "progress"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def logs(self) -> Path:
        """Of this attempt; a restart leaves the logs of those before it."""
        logs = self.folder / "logs"
        return logs / f"restart-{self.restart}" if self.restart else logs

    @property
    def places(self) -> tuple[Host, ...]:
        """The hosts that have processes of this job, with how many each has."""
        return used([Host(name, slots) for name, slots in self.hosts], self.processes)

    @property
    def is_spread(self) -> bool:
        """Whether processes may be on other machines than the supervisor."""
        return bool(self.hosts) or self.inside

    def neighbours(self, rank: int) -> int:
        """How many processes share the machine of one, itself included."""
        own = host_of(self.places, rank)
        return next((host.slots for host in self.places if host.name == own), self.processes)

    def timings(self, rank: int) -> Path:
        """Where a process of a timed run writes what its steps took."""
        return self.folder / f"timings-{rank}.json"

    def moved(self, rank: int) -> Path:
        """Where a process of a timed run writes how many bytes it moved."""
        return self.folder / f"moved-{rank}.json"

    def log(self, rank: int) -> Path:
        """Where a process writes what only a crash leaves behind."""
        return self.logs / f"process-{rank}.log"


def write(job: Job) -> None:
    """Put the job where the processes find it; whole or not at all."""
    temporary = job.file.with_suffix(".tmp")
    temporary.write_text(json.dumps(dataclasses.asdict(job), indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, job.file)


def read(path: str) -> Job:
    return Job(**json.loads(Path(path).read_text(encoding="utf-8")))


def plan_of(job: Job) -> Plan:
    """The plan of a job, read. Its types are loaded here, for they take long: the supervisor starts
    the processes before it reads the plan."""
    from singac.plan.encode import from_json

    return from_json(Path(job.plan).read_text(encoding="utf-8"))
