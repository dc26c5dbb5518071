"""Checkpoints damaged at random: each is found before anything is used of it, and told.

step-2   damaged   passed over with a warning that names it      both damaged: exit 4
step-1   sound     used
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import crashes

from runtime.checkpoints import resume
from runtime.checkpoints.checkpoint import folder_name
from singac.diagnostics import Exit, Failed
from singac.saved import MANIFEST

# The file to damage, the other checkpoint, and what is left to chance.
Damage = Callable[[Path, Path, random.Random], None]


def flip(file: Path, other: Path, chance: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)


def truncate(file: Path, other: Path, chance: random.Random) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: chance.randrange(len(content))])


def lengthen(file: Path, other: Path, chance: random.Random) -> None:
    file.write_bytes(file.read_bytes() + chance.randbytes(chance.randrange(1, 100)))


def overwrite(file: Path, other: Path, chance: random.Random) -> None:
    content = bytearray(file.read_bytes())
    start = chance.randrange(len(content))
    content[start : start + 64] = bytes(len(content[start : start + 64]))
    if bytes(content) == file.read_bytes():
        content[start] ^= 1
    file.write_bytes(content)


def swap(file: Path, other: Path, chance: random.Random) -> None:
    """With that of another checkpoint."""
    file.write_bytes((other / file.name).read_bytes())


def misplace(file: Path, other: Path, chance: random.Random) -> None:
    """With another file of its checkpoint."""
    beside = chance.choice([p for p in sorted(file.parent.iterdir()) if p != file])
    content = file.read_bytes()
    file.write_bytes(beside.read_bytes())
    beside.write_bytes(content)


def remove(file: Path, other: Path, chance: random.Random) -> None:
    file.unlink()


def move(file: Path, other: Path, chance: random.Random) -> None:
    """A whole checkpoint in the place of another."""
    shutil.rmtree(file.parent)
    shutil.copytree(other, file.parent)


def empty(file: Path, other: Path, chance: random.Random) -> None:
    """A folder that has only its name."""
    for path in sorted(file.parent.iterdir()):
        path.unlink()


# Single bits are the most often tried: there are the most of them.
DAMAGES = (
    *[flip] * 8,
    truncate,
    truncate,
    lengthen,
    overwrite,
    swap,
    misplace,
    remove,
    move,
    empty,
)


def damaged(folder: Path, chance: random.Random) -> Path:
    """Damage the newest checkpoint, or both, and expect it to be found; gives the newest."""
    first, second = (_pristine(folder, step) for step in (1, 2))
    damage, file = chance.choice(DAMAGES), chance.choice(sorted(second.iterdir()))
    damage(file, first, chance)
    done = f"{damage.__name__} {file.name}"
    if chance.random() < 0.3:
        (first / MANIFEST).unlink()
        assert _refused(folder / "run") is Exit.DAMAGED, done
    else:
        assert resume.find(folder / "run", crashes.plan(), "resume from") == first, done
    return second


def _refused(run: Path) -> Exit | None:
    try:
        resume.find(run, crashes.plan(), "resume from")
    except Failed as failed:
        return failed.exit
    return None


def _pristine(folder: Path, step: int) -> Path:
    """A sound checkpoint of a run, written once and copied."""
    name = folder_name(step)
    sound, path = folder / f"sound-{step}" / name, folder / "run" / name
    if not sound.exists():
        crashes.write(sound.parent, step, float(step), lambda message: None)
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(sound, path)
    return path
