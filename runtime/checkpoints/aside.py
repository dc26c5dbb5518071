"""Checkpoints in a run folder that a run does not go on from: another run's, or a future given up.

    checkpoints/    step-4  step-8  step-12        --resume .../step-8        from the start
    stay            step-4  step-8                 what it goes on from       none
    checkpoints-1/                  step-12        set aside                  all

If they stayed, `keep` would count them and whoever asks for the newest would get them.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path

from singac.diagnostics import Diagnostic
from singac.saved import listed


def set_aside(folder: Path, origin: Path | None) -> Diagnostic | None:
    """Move them out of the way; a warning if there were any. `origin` is what the run resumes."""
    found = listed(folder.resolve())
    strange = found[: found.index(origin)] if origin in found else found
    if not strange:
        return None
    aside = next(p for k in count(1) if not (p := folder.with_name(f"{folder.name}-{k}")).exists())
    aside.mkdir()
    for path in strange:
        path.rename(aside / path.name)
    message = f"checkpoints up to {strange[0].name} are not what this run goes on from"
    help = f"they are set aside in {aside}; --resume goes on from the newest"
    return Diagnostic("SG0926", message, help=help, file=str(folder), severity="warning")
