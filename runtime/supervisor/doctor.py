"""What a run will find here: MPI, its launcher, memory, folders, hosts. For `singac doctor`."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from runtime import present, shared_memory, world
from runtime.environment import EnvironmentFailure
from runtime.job import Job
from runtime.supervisor import launcher, muster
from singac.diagnostics import Exit, Failed

PACKAGES = ("singac", "numpy", "llvmlite", "lark", "networkx", "mpi4py", "safetensors", "rich")
START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what was found, and what to do where a run would fail."""

    name: str
    found: str
    help: str | None = None

    @property
    def is_well(self) -> bool:
        return self.help is None


def examine(job: Job, cache: str, runs: str) -> list[Finding]:
    """Everything that a run of the job's processes on its hosts needs; nothing is left behind."""
    looks: list[tuple[str, Callable[[], str]]] = [
        ("packages", _packages),
        ("MPI library", _library),
        ("launcher", launcher.find),
        ("processes", lambda: _meeting(job)),
        ("cores", lambda: _cores(job)),
        ("shared memory", lambda: _shared_memory(job)),
        ("threads", _threads),
        ("cache", lambda: _folder(cache, "choose another folder with SINGAC_CACHE")),
        ("run folder", lambda: _folder(runs, "choose another with --run-dir")),
    ]
    findings = [_finding(name, look) for name, look in looks]
    return findings + (_hosts(job) if job.hosts else [])


def _finding(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, look())
    except EnvironmentFailure as error:
        return Finding(name, error.message, error.help)
    except Failed as failed:
        first = failed.diagnostics[0]
        return Finding(name, first.message, first.help or "see above")


def _packages() -> str:
    return ", ".join(f"{name} {_version(name)}" for name in PACKAGES)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        help = "install singac, which brings it" if name != "singac" else "pip install singac"
        raise EnvironmentFailure(f"{name} is not installed", help) from None


def _library() -> str:
    told = world.library()
    lines = Path("/proc/self/maps").read_text(errors="replace").splitlines()
    files = (line.split(maxsplit=5)[-1] for line in lines if "/libmpi" in line)
    where = next(files, "")
    if "MPICH" not in told:
        raise EnvironmentFailure(f"{told} is not MPICH", "pip install mpich into this environment")
    return f"{told}, {where}"


def _meeting(job: Job) -> str:
    """Start them as a run does: a launcher of another MPI gives worlds of one."""
    local = Job("", "", "", job.processes)
    shared_memory.check_for_mpi(job.processes)
    command = launcher.command_of(launcher.find(), local, ["runtime.hello", str(job.processes)])
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            timeout=START_SECONDS, env=launcher.environment(),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise EnvironmentFailure("they do not meet", "look at what the machine does") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        told = lines[0] if lines else f"the launcher ended with code {done.returncode}"
        raise EnvironmentFailure(told, "pip install mpich into this environment alone")
    return f"{job.processes} have met"


def _cores(job: Job) -> str:
    """More processes than cores are slower, no fault."""
    cores = len(os.sched_getaffinity(0))
    crowd = f", fewer than the {job.processes} processes" if cores < job.processes else ""
    return f"{cores} of {os.cpu_count()} to be used{crowd}"


def _shared_memory(job: Job) -> str:
    shared_memory.check_for_mpi(job.processes)
    free = shared_memory.free()
    return "none" if free is None else f"{free / 2**20:,.0f} MiB free in {shared_memory.FOLDER}"


def _threads() -> str:
    """A run sets them to 1 whatever they are; other programs obey them."""
    given = [f"{name}={os.environ[name]}" for name in launcher.ONE_THREAD if name in os.environ]
    return f"{', '.join(given) or 'no variable is set'}; a run has 1 a process"


def _folder(path: str, help: str) -> str:
    """A folder that is not there is made when it is needed: where it would be must take files."""
    there = next(p for p in (Path(path), *Path(path).parents) if p.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(bytes(1 << 16))
    except OSError as error:
        raise EnvironmentFailure(f"{path} cannot be written: {error.strerror}", help) from None
    return path


def _hosts(job: Job) -> list[Finding]:
    own, all_of_them = present.of_host(), sum(slots for _, slots in job.hosts)
    try:
        answers = muster.ask(
            replace(job, processes=all_of_them), launcher.find(), ["runtime.present"]
        )
    except Failed:
        return []  # the launcher is among the findings already
    return [_host(answer, own) for answer in answers]


def _host(answer: muster.Answer, own: present.Facts) -> Finding:
    name = f"host {answer.host}"
    if error := answer.error or answer.facts.get("failure"):
        return Finding(name, error, muster.REACHING)
    for what, here in own.items():
        if (there := answer.facts.get(what)) != here:
            return Finding(name, f"{what} is {there} there and {here} here", muster.SAME)
    return Finding(name, "answers, with the same versions")


def as_text(findings: Sequence[Finding]) -> str:
    width = max(len(finding.name) for finding in findings)
    lines = []
    for one in findings:
        lines.append(f"{'ok ' if one.is_well else 'BAD'}  {one.name:{width}}  {one.found}")
        lines += [f"     {'':{width}}  help: {one.help}"] if one.help else []
    return "\n".join(lines)


def as_json(findings: Sequence[Finding]) -> str:
    told = [{"name": f.name, "ok": f.is_well, "found": f.found, "help": f.help} for f in findings]
    well = all(finding.is_well for finding in findings)
    return json.dumps({"format_version": "1.0", "ok": well, "findings": told})


def exit_code(findings: Sequence[Finding]) -> int:
    return int(Exit.DONE if all(f.is_well for f in findings) else Exit.ENVIRONMENT)
