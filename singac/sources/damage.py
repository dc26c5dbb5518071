"""Files that are missing or not what they should be, told with their names and places."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from singac.diagnostics import Diagnostic, Exit, Failed, Place, Span, did_you_mean, nearest

_LISTED = 8  # names of a folder shown at most


def damaged(code: str, message: str, file: str, help: str | None = None) -> Failed:
    """The failure to raise for a damaged file."""
    return Failed([Diagnostic(code, message, file=file, help=help, exit=Exit.DAMAGED)])


@contextmanager
def placed(span: Span | None) -> Iterator[None]:
    """Failures raised inside get the place in the program that led to the file."""
    try:
        yield
    except Failed as failed:
        place = Place(span) if span else None
        found = (dataclasses.replace(d, place=d.place or place) for d in failed.diagnostics)
        raise Failed(found) from None


def size_of(path: str) -> int:
    """Bytes of a regular file; raises `Failed` (SG0210, SG0211) where there is none."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a zero character
        raise missing(path) from None
    except OSError as error:
        raise unreadable(path, error) from None
    if stat.S_ISDIR(status.st_mode):
        raise damaged("SG0211", "this is a folder, not a file", path, found_in(path))
    if not stat.S_ISREG(status.st_mode):
        raise damaged("SG0211", "this is not a regular file", path)
    return status.st_size


def unreadable(path: str, error: OSError) -> Failed:
    """The failure for a file the system does not let us read."""
    return damaged("SG0211", f"cannot be read: {error.strerror or error}", path)


def missing(path: str) -> Failed:
    """The failure for a path where nothing is, with what was found near it."""
    folder, name = _first_missing(path)
    best = nearest(name, names_in(folder))
    help = f"did you mean {os.path.join(folder, best)}?" if best else found_in(folder)
    return damaged("SG0210", "there is no such file or folder", path, help)


def found_in(folder: str) -> str:
    """`found in data/: a.csv, b.csv`, a few names at most."""
    names = names_in(folder)
    if not names:
        return f"{folder or '.'} is empty"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"found in {folder or '.'}: {', '.join(names[:_LISTED])}{more}"


def names_in(folder: str) -> list[str]:
    """Sorted names in a folder, none where it cannot be read."""
    try:
        return sorted(n for n in os.listdir(folder or ".") if not n.startswith("."))
    except OSError:
        return []


def no_array(name: str, names: Iterable[str], file: str, span: Span | None) -> Failed:
    """The failure for a file without an array of this name, `span` being where it is named."""
    help = did_you_mean(name, names) or "the file has no arrays"
    return lacking(f"there is no array `{name}`", help, file, span)


def lacking(message: str, help: str, file: str, span: Span | None) -> Failed:
    """The failure for a file that has not what the program asks of it."""
    place = Place(span) if span else None
    return Failed([Diagnostic("SG0219", message, place, help=help, file=file)])


def _first_missing(path: str) -> tuple[str, str]:
    """The longest part of a path that is a folder, and the name that is not in it."""
    folder, name = os.path.split(path.rstrip(os.sep))
    while folder and not os.path.isdir(folder):
        folder, name = os.path.split(folder)
    return folder, name
