"""Plans of an earlier compile, found again without the compiler.

    <cache>/plans/<key>/entry.json    texts the plans came from, and a data request for each plan
                        0.json        the plan of the first train block
                        1.json        ...

The key covers the command line and the compiler's own files. An entry holds as long as its texts
have the same bytes and its data files the same size and time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from singac.diagnostics import Diagnostic, Exit, Failed
from singac.sources.kind import Request, request_from_json
from singac.sources.prepare import prepared

PACKAGES = ("singac", "grammar")


@dataclass(frozen=True, slots=True)
class Ready:
    """A plan that can be run: its file, the folder of its prepared data, and its processes.

    `run` is the name of its own run folder where the program has several trains; `origins` are the
    trains and paths its params start from, `request` how its data is prepared.
    """

    plan: str
    data: str
    processes: int
    run: str
    origins: tuple[str, ...]
    request: str


def cache_folder() -> str:
    """Where plans, prepared data and object code are kept: `$SINGAC_CACHE` or the user's cache.

    Raises Failed where the user has no home either.
    """
    chosen = os.environ.get("SINGAC_CACHE")
    if chosen:
        return os.path.abspath(chosen)
    try:
        return str(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "singac")
    except RuntimeError:
        message = "there is no place for the cache: the user has no home folder"
        help = "choose a folder with SINGAC_CACHE"
        raise Failed([Diagnostic("SG0903", message, help=help, exit=Exit.ENVIRONMENT)]) from None


def data_folder() -> str:
    return os.path.join(cache_folder(), "data")


def find(words: Sequence[str]) -> tuple[Ready, ...] | None:
    """The plans the command line `words` came to before, or None if anything has changed."""
    folder = _folder(words)
    try:
        entry = json.loads((folder / "entry.json").read_text(encoding="utf-8"))
        if any(_sum(Path(path)) != digest for path, digest in entry["texts"]):
            return None
    except (OSError, ValueError, KeyError):
        return None
    found = []
    for index, text in enumerate(entry["requests"]):
        data = prepared(request_from_json(text), data_folder())
        if data is None:
            return None
        found.append(_ready(folder, entry, index, data))
    return tuple(found)


def _ready(folder: Path, entry: Mapping[str, Any], index: int, data: str) -> Ready:
    kept = ("processes", "runs", "origins", "requests")
    processes, run, origins, request = (entry[what][index] for what in kept)
    return Ready(str(folder / f"{index}.json"), data, processes, run, tuple(origins), request)


@dataclass(frozen=True, slots=True)
class Kept:
    """A plan to keep: its JSON text, where its data came from and lies now; else as `Ready`."""

    text: str
    request: Request
    data: str
    processes: int
    run: str
    origins: tuple[str, ...]


def keep(words: Sequence[str], texts: Sequence[str], plans: Sequence[Kept]) -> tuple[Ready, ...]:
    """Writes plans where `find` will look; `texts` are the files they were compiled from.

    Raises OSError where the cache cannot be written.
    """
    folder = _folder(words)
    folder.parent.mkdir(parents=True, exist_ok=True)
    entry = {
        "texts": [[str(Path(t).resolve()), _sum(Path(t))] for t in texts],
        "requests": [p.request.as_json() for p in plans],
        "processes": [p.processes for p in plans],
        "runs": [p.run for p in plans],
        "origins": [p.origins for p in plans],
    }
    unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=folder.parent))
    for index, kept in enumerate(plans):
        (unfinished / f"{index}.json").write_text(kept.text, encoding="utf-8")
    (unfinished / "entry.json").write_text(json.dumps(entry), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(unfinished, folder)
    return tuple(_ready(folder, entry, index, kept.data) for index, kept in enumerate(plans))


def _folder(words: Sequence[str]) -> Path:
    text = json.dumps([list(words), os.getcwd(), _compiler()])
    return Path(cache_folder()) / "plans" / hashlib.sha256(text.encode()).hexdigest()[:32]


def _compiler() -> list[tuple[str, int, int]]:
    """The compiler's own files: a plan of another version is none of ours."""
    root = Path(__file__).parent.parent
    found = []
    for package in PACKAGES:
        for folder, folders, files in os.walk(root / package):
            folders[:] = sorted(f for f in folders if f != "__pycache__")
            for name in sorted(files):
                status = os.stat(os.path.join(folder, name))
                found.append((name, status.st_size, status.st_mtime_ns))
    return found


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
