"""Real runs for tests: started, watched, and searched for what they leave behind."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import nets
import psutil

from runtime.job import Job
from singac.plan.encode import to_json
from singac.plan.plan import Plan

ROOT = Path(__file__).resolve().parents[2]
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Finished:
    """How a run ended."""

    code: int
    events: list[dict[str, object]]
    stderr: str
    seconds: float

    def of(self, name: str) -> list[dict[str, object]]:
        return [e for e in self.events if e["event"] == name]

    @property
    def last_line(self) -> str:
        return self.stderr.rstrip().splitlines()[-1]


class Started:
    """A command that runs a job in a folder of its own, `singac run` or what it does."""

    def __init__(
        self, command: Sequence[str], folder: Path, working_folder: Path = ROOT, **env: str
    ) -> None:
        self.folder, self._started = folder, time.monotonic()
        self._before = _shared_files()
        variables = {**os.environ, "PYTHONPATH": str(ROOT), **env}
        # To a file: a test that waits reads no pipe, and a full one would hold up the supervisor.
        self._out = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the run)
        self.process = subprocess.Popen(
            command, stdout=self._out, stderr=subprocess.PIPE, text=True, env=variables,
            start_new_session=True, cwd=working_folder,
        )  # fmt: skip

    def ranks(self) -> list[psutil.Process]:
        """Its processes that MPI has started."""
        return _processes_naming(f"runtime.rank {self.folder}")

    def launchers(self, name: str) -> list[psutil.Process]:
        """Processes of the launcher whose program is called so."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if child.name().startswith(name)]

    def wait_for(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        stop = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < stop, "what the test waits for never came"
            time.sleep(0.03)

    def wait_for_step(self, step: int) -> None:
        """Until an event of that step or a later one has been written, or the run has ended."""
        ended = self.process.poll
        self.wait_for(
            lambda: ended() is not None or any(e.get("step", 0) >= step for e in self.written())
        )

    def has_ended(self) -> bool:
        return self.process.poll() is not None

    def written(self) -> list[dict[str, int]]:
        """What has been told; of several trains, whose names are in order, one after the other."""
        name = "metrics.jsonl"
        paths = [*self.folder.glob(name), *sorted(self.folder.glob(f"*/{name}"))]
        return [json.loads(line) for path in paths for line in path.read_text().splitlines()]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def finish(self, seconds: float = 60) -> Finished:
        """Wait for the end; nothing may be left."""
        _, err = self.process.communicate(timeout=seconds)
        self._out.seek(0)
        out = self._out.read()
        took = time.monotonic() - self._started
        self.nothing_is_left()
        lines = [line for line in out.splitlines() if line.startswith("{")]
        return Finished(self.process.returncode, [json.loads(x) for x in lines], err, took)

    def nothing_is_left(self) -> None:
        assert _processes_naming(str(self.folder)) == []
        # Another job on this machine may just be removing what was its own.
        self.wait_for(lambda: not self._left_files(), seconds=3)

    def _left_files(self) -> set[str]:
        new = _shared_files() - self._before
        return {f for f in new if not _is_mapped(f)} & _shared_files()


class Running(Started):
    """A plan that is run."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        resume: Path | None = None,
        json: bool = True,
        working_folder: Path = ROOT,
        max_restarts: int = 0,
        inside: Sequence[str] = (),
        hosts: tuple[tuple[str, int], ...] = (),
        launcher_exec: str = "",
        **env: str,
    ) -> None:
        drive = str(Path(__file__).with_name("drive.py"))
        job = _prepare(plan, folder, resume, json, max_restarts)
        job = dataclasses.replace(job, hosts=hosts, launcher_exec=launcher_exec)
        (folder / "given.json").write_text(_json(job))
        command = [*inside, sys.executable, drive, str(folder / "given.json")]
        super().__init__(command, folder, working_folder, **env)


def run(plan: Plan, folder: Path, **settings: object) -> Finished:
    return Running(plan, folder, **settings).finish()  # type: ignore[arg-type]


def fault(rank: int, step: int | str, kind: str, once: bool = False) -> dict[str, str]:
    """`once`: in the first attempt alone."""
    return {"SINGAC_FAULT": f"rank={rank},step={step},kind={kind}" + ",restart=0" * once}


def _json(job: Job) -> str:
    return json.dumps(dataclasses.asdict(job))


def _prepare(plan: Plan, folder: Path, resume: Path | None, as_json: bool, restarts: int) -> Job:
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    nets.save_data(data)
    (folder / "plan.json").write_text(to_json(plan))
    return Job(
        plan=str(folder / "plan.json"),
        data_folder=str(data),
        run_folder=str(folder),
        processes=len(plan.processes),
        resume=str(resume) if resume else None,
        json=as_json,
        max_restarts=restarts,
    )


def _processes_naming(words: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            command = " ".join(process.cmdline())
            is_launcher = "mpiexec" in command or "hydra" in command
            if words in command and (not is_launcher or words.startswith("/")):
                found.append(process)
        except psutil.Error:
            continue
    return found


def _shared_files() -> set[str]:
    return {str(p) for p in SHARED_MEMORY.iterdir()}


def _is_mapped(file: str) -> bool:
    """Whether a living process, maybe of another job, uses the file."""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            if file in maps.read_text(errors="replace"):
                return True
        except OSError:
            continue
    return False
