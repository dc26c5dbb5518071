"""Verbs that time this machine, or a program on it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from singac.verbs.common import (
    Arguments,
    choices_of,
    data_folder,
    machine_of,
)

if TYPE_CHECKING:
    pass


def bench(arguments: Arguments) -> int:
    """What a training step of each train block takes, by training some."""
    from singac.codegen.peak import fma_peak
    from singac.compile import compile_file
    from singac.verbs import timed, trial

    machine = machine_of(arguments)
    for one in compile_file(arguments.file, choices_of(arguments), data_folder(), machine):
        run = trial.time_steps(one, arguments.steps, data_folder())
        found = timed.figures(run.plan, run.timings, run.moved, fma_peak())
        print(timed.as_json(found) if arguments.json else timed.as_text(found))
    return 0


def profile(arguments: Arguments) -> int:
    """What each kernel of a training step takes, and where the step waits."""
    from singac.compile import compile_file
    from singac.verbs import profiled, shows

    machine = machine_of(arguments)
    for one in compile_file(arguments.file, choices_of(arguments), data_folder(), machine):
        shows.check_rank(one.plan, arguments.process)
        found = profiled.profile(one, arguments.process, arguments.steps, data_folder())
        print(profiled.as_json(found) if arguments.json else profiled.as_text(found))
    return 0


def calibrate(arguments: Arguments) -> int:
    """Measure this machine, and keep it where every compile looks, or in a file."""
    from dataclasses import asdict

    from singac.verbs import calibrate, rates

    found = calibrate.measure(data_folder())
    path = rates.own_file() if arguments.out is None else Path(arguments.out)
    rates.write(found, path)
    print(json.dumps(asdict(found)) if arguments.json else calibrate.as_text(found))
    print(f"{path}: what is on auto is decided by these", file=sys.stderr)
    return 0
