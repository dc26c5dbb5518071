"""The rates that decide what is on auto: those built in, or what `singac calibrate` has left."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, fields
from pathlib import Path

from singac.diagnostics import Diagnostic, Exit, Failed
from singac.partition.machine import BUILT_IN, Machine
from singac.warm import cache_folder

FORMAT_VERSION = "1.0"


def own_file() -> Path:
    """Where this user's calibration is, if there is one: beside the cache of plans."""
    return Path(cache_folder()) / "calibration.json"


def machine(asked: str | None) -> Machine:
    """The rates of a file that is asked for, of the user's own, or those built in.

    `built-in` asks for these. Raises `Failed` (SG0607) for a file that holds none.
    """
    if asked == "built-in" or (asked is None and not own_file().exists()):
        return BUILT_IN
    path = own_file() if asked is None else Path(asked)
    try:
        return _machine(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise _refused(path, error.strerror or str(error)) from None
    except (ValueError, KeyError, TypeError):
        raise _refused(path, f"it is no calibration of format {FORMAT_VERSION}") from None


def _machine(found: dict[str, object]) -> Machine:
    """Raises ValueError, KeyError or TypeError for anything that `write` did not write."""
    numbers = [found[f.name] for f in fields(Machine)[1:]]
    sound = all(isinstance(n, int | float) and math.isfinite(n) and n >= 0 for n in numbers)
    if found["format_version"] != FORMAT_VERSION or not sound or not all(numbers[:3]):
        raise ValueError("not a calibration")
    arithmetic, memory, exchange, latency, room = (float(str(n)) for n in numbers)
    return Machine(str(found["source"]), arithmetic, memory, exchange, latency, int(room))


def write(found: Machine, path: Path) -> None:
    """Raises `Failed` where the file cannot be written."""
    text = json.dumps({"format_version": FORMAT_VERSION, **asdict(found)}, indent=1) + "\n"
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
    except OSError as error:
        message = f"the calibration cannot be written: {error.strerror}"
        help = "name another file with -o"
        raise Failed(
            [Diagnostic("SG0904", message, help=help, file=str(path), exit=Exit.ENVIRONMENT)]
        ) from None


def _refused(path: Path, why: str) -> Failed:
    message = f"rates cannot be read: {why}"
    help = "`singac calibrate -o F` writes such a file; `--calibration built-in` does without"
    return Failed([Diagnostic("SG0607", message, help=help, file=str(path), exit=Exit.USAGE)])
