"""Verbs about the text of programs, and the data they name."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from singac.diagnostics import Diagnostic, Exit, Failed, as_json, show
from singac.verbs.common import (
    Arguments,
    changes_of,
    choices_of,
    data_folder,
    machine_of,
    replace_file,
)

if TYPE_CHECKING:
    pass


def check(arguments: Arguments) -> int:
    """Every diagnostic of every file."""
    found: list[Diagnostic] = []
    for path in arguments.files:
        found += _diagnostics(path, arguments)
    if arguments.format == "json":
        print(json.dumps({"format_version": "1.0", "diagnostics": [as_json(d) for d in found]}))
    elif found:
        print(show(found), file=sys.stderr)
    return int(Failed(found).exit) if any(d.severity == "error" for d in found) else 0


def _diagnostics(path: str, arguments: Arguments) -> Sequence[Diagnostic]:
    from singac import compile as compiler
    from singac.syntax.read import read

    try:
        machine = machine_of(arguments)
        return compiler.check(read(path), choices_of(arguments), data_folder(), machine)
    except Failed as failed:
        return failed.diagnostics


def fmt(arguments: Arguments) -> int:
    """Canonical text in place; with --check or --diff nothing is written and a change is exit 2."""
    from singac.syntax.format import format_program
    from singac.syntax.parse import parse
    from singac.syntax.read import read

    changed = False
    for path in arguments.files:
        source = read(path)
        text = format_program(parse(source))
        if text == source.text:
            continue
        changed = True
        if arguments.diff:
            _print_difference(path, source.text, text)
        elif arguments.check:
            print(f"{path} is not formatted", file=sys.stderr)
        else:
            replace_file(Path(path), text)
    return int(Exit.USAGE) if changed and (arguments.check or arguments.diff) else 0


def _print_difference(path: str, before: str, after: str) -> None:
    import difflib

    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), path, f"{path} formatted"
    )
    sys.stdout.writelines(lines)


def new(arguments: Arguments) -> int:
    """A small program, ready to run, and its data."""
    from singac.verbs import starter

    program, data = starter.write(arguments.name)
    print(f"{program} and {data}: now `singac run {program} -np 2`", file=sys.stderr)
    return 0


def pack(arguments: Arguments) -> int:
    """A file of records from one data block."""
    from singac.model.datasets import resolve_data
    from singac.sources import pack as records
    from singac.syntax.parse import parse
    from singac.syntax.read import read

    data = resolve_data(parse(read(arguments.file)), arguments.data, changes_of(arguments))
    size = records.pack(data.request, data.facts, arguments.out)
    counts = ((part, getattr(data.facts, part)) for part in ("train", "test", "validate"))
    told = ", ".join(f"{count} to {part}" for part, count in counts if count)
    print(f"{arguments.out}: {told}, {size} bytes", file=sys.stderr)
    return 0
