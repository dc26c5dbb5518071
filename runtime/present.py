"""What a host has, told by a process on it: `python -P -m runtime.present [JOB]`, one JSON object.

Asked before a job starts, of every host: all must have the same singac, MPI library, and then the
same plan and data. Data that was never prepared on a host is prepared there.
"""

from __future__ import annotations

import hashlib
import json
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path

from runtime import job as jobs
from runtime.environment import EnvironmentFailure
from runtime.local_data import data_folder
from singac.diagnostics import Failed

ROOT = Path(__file__).parents[1]
SHARED = "the run folder must be on a file system that all hosts share"
Facts = dict[str, str]


def main() -> None:
    try:
        facts = of_job(sys.argv[1]) if sys.argv[1:] else of_host()
    except EnvironmentFailure as error:
        facts = {"failure": error.message, "help": error.help}
    except Failed as failed:
        first = failed.diagnostics[0]
        facts = {"failure": first.message} | ({"help": first.help} if first.help else {})
    print(json.dumps(facts), flush=True)


def of_host() -> Facts:
    """What is installed; raises EnvironmentFailure without an MPI library."""
    from runtime import world

    return {
        "singac": f"{_version('singac')} ({digest_of_sources()})",
        "python": ".".join(map(str, sys.version_info[:2])),
        "numpy": _version("numpy"),
        "llvmlite": _version("llvmlite"),
        "MPI": world.library(),
    }


def of_job(path: str) -> Facts:
    """The plan and the data of a job as this host has them; raises EnvironmentFailure, Failed."""
    try:
        job = jobs.read(path)
        plan = Path(job.plan).read_bytes()
    except OSError as error:
        raise EnvironmentFailure(f"it does not see {path} ({error.strerror})", SHARED) from None
    from singac.sources.prepare import digest

    data = digest(data_folder(job))
    return {"plan": hashlib.sha256(plan).hexdigest()[:16], "data": data[:16]}


def digest_of_sources() -> str:
    """Of every file of ours: a working copy has no other version."""
    digest = hashlib.sha256()
    for package in ("grammar", "runtime", "singac"):
        for path in sorted((ROOT / package).rglob("*")):
            if path.suffix in (".py", ".lark", ".singa"):
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:8]


def _version(package: str) -> str:
    try:
        return version_of(package)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    main()
