"""What checkpoints lie at a path, as a table or as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from runtime.checkpoints import checkpoint
from runtime.checkpoints.checkpoint import Damaged, Manifest
from singac.diagnostics import Diagnostic, Exit, Failed
from singac.plan.show import size
from singac.saved import candidates


@dataclass(frozen=True, slots=True)
class Entry:
    """A checkpoint: its manifest, or what is wrong with it. `proved` when every byte was read."""

    path: Path
    manifest: Manifest | None
    damage: str
    proved: bool
    bytes: int

    @property
    def is_sound(self) -> bool:
        return not self.damage

    @property
    def state(self) -> str:
        return self.damage or ("sound" if self.proved else "not proved")


def look(path: Path, proves: bool) -> list[Entry]:
    """The checkpoints a path may mean, newest first; raises Failed when there is none."""
    found = [_entry(candidate, proves) for candidate in candidates(path)]
    if not found:
        message, help = "there is no checkpoint here", "give a checkpoint or a run folder"
        diagnostic = Diagnostic("SG0921", message, help=help, file=str(path), exit=Exit.DAMAGED)
        raise Failed([diagnostic])
    return found


def _entry(path: Path, proves: bool) -> Entry:
    total = sum(file.stat().st_size for file in path.iterdir())
    try:
        manifest = checkpoint.verify(path) if proves else checkpoint.read_manifest(path)
    except Damaged as damaged:
        return Entry(path, None, f"damaged: {damaged}", proves, total)
    return Entry(path, manifest, "", proves, total)


def as_text(entries: list[Entry]) -> str:
    """A line each: net, step, tensors, size, state and path."""
    return "\n".join(_line(entry) for entry in entries)


def _line(entry: Entry) -> str:
    manifest = entry.manifest
    what = "?"
    if manifest is not None:
        what = f"{manifest.net} at step {manifest.step:,}, {len(manifest.tensors)} tensors"
    return f"{entry.path}: {what}, {size(entry.bytes)}, {entry.state}"


def as_json(entries: list[Entry]) -> str:
    return json.dumps({"format_version": "1.0", "checkpoints": [_object(e) for e in entries]})


def _object(entry: Entry) -> dict[str, object]:
    manifest = entry.manifest
    return {
        "path": str(entry.path),
        "state": entry.state,
        "bytes": entry.bytes,
        "net": manifest.net if manifest else None,
        "step": manifest.step if manifest else None,
        "tensors": {t.name: list(t.shape) for t in manifest.tensors} if manifest else {},
    }
