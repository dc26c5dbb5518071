"""What verbs share: their arguments as the compiler takes them, and where their results go."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from singac.diagnostics import Diagnostic, Exit, Failed

if TYPE_CHECKING:
    from singac.model.choices import Choices
    from singac.model.program import Change
    from singac.partition.machine import Machine
    from singac.plan.plan import Plan


Arguments = argparse.Namespace


def choices_of(arguments: Arguments) -> Choices:
    """What a command line chooses of a program."""
    from singac.model.choices import Choices

    chosen = (arguments.np, arguments.cluster, arguments.partition, arguments.train)
    return Choices(*chosen, changes_of(arguments))


def changes_of(arguments: Arguments) -> tuple[Change, ...]:
    """Every --let, then every --set."""
    from singac.model.program import Change

    lets = tuple(Change("let", name, value) for name, value in arguments.let)
    return lets + tuple(Change("set", name, value) for name, value in arguments.set)


def machine_of(arguments: Arguments) -> Machine:
    """The rates by which the compiler chooses partitions."""
    from singac.verbs import rates

    return rates.machine(arguments.calibration)


def alone(arguments: Arguments) -> Choices:
    """The same for a net that this process runs alone."""
    from dataclasses import replace

    return replace(choices_of(arguments), np=1, alone=True)


def compile_ahead(plans: Sequence[Plan]) -> None:
    """Leave in the cache all native code that processes of the plans load."""
    from runtime.transport import ahead as processes
    from singac.codegen import ahead

    ahead.compile_all(plans)
    processes.compile_all()


def data_folder() -> str:
    """Where prepared data is kept."""
    from singac import warm

    return warm.data_folder()


def put(text: str, out: str | None) -> None:
    """To stdout, or to the file that was named."""
    if out is None:
        print(text, end="")
    else:
        replace_file(Path(out), text)


def replace_file(path: Path, text: str) -> None:
    """The new text whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="")
        os.replace(temporary, path)
    except OSError as error:
        message = f"the file cannot be written: {error.strerror}"
        raise Failed(
            [Diagnostic("SG0904", message, file=str(path), exit=Exit.ENVIRONMENT)]
        ) from None
