"""Where checkpoints lie and what they say they hold; whether it is sound the runtime proves.

RUN/checkpoints/step-00001000/manifest.json    written last: without it there is no checkpoint
"""

from __future__ import annotations

import json
from pathlib import Path

MANIFEST = "manifest.json"
PARAMS = "params.safetensors"
PREFIX = "step-"


class Unreadable(Exception):
    """A manifest is not one."""


def listed(folder: Path) -> list[Path]:
    """Finished checkpoints of a folder, newest first."""
    steps = {p: p.name.removeprefix(PREFIX) for p in folder.glob(PREFIX + "*")}
    whole = [p for p, step in steps.items() if step.isdecimal()]
    return sorted(whole, key=lambda p: int(steps[p]), reverse=True)


def candidates(path: Path, run: str = "") -> list[Path]:
    """What a path may mean, best first: a checkpoint, a folder of some, a run folder.

    Several trains of a program have a run folder each: `run` is that of the one that is meant.
    """
    if (path / MANIFEST).exists():
        return [path]
    folders = (path, path / "checkpoints", *([path / run / "checkpoints"] if run else []))
    return next((found for folder in folders if (found := listed(folder))), [])


def shapes(checkpoint: Path) -> dict[str, tuple[int, ...]]:
    """Shapes of the params a checkpoint says it holds, by name; raises Unreadable."""
    try:
        body = json.loads((checkpoint / MANIFEST).read_text(encoding="utf-8"))
        params = [t for t in body["tensors"] if t["file"] == PARAMS]
        return {str(t["name"]): tuple(int(size) for size in t["shape"]) for t in params}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Unreadable(str(error)) from error
