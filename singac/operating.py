"""Verbs about runs and the machines they are on; none of them compiles anything."""

from __future__ import annotations

import argparse
import os

from singac import warm

Arguments = argparse.Namespace


def hosts_of(arguments: Arguments, processes: int) -> tuple[tuple[str, int], ...]:
    """Names and slots of the hosts a command is given; raises Failed when they are too few."""
    from runtime import hosts

    if arguments.hosts is None and arguments.hostfile is None:
        return ()
    given = arguments.hosts
    found = hosts.parse(given) if given is not None else hosts.read_file(arguments.hostfile)
    hosts.check_slots(found, processes)
    return tuple((host.name, host.slots) for host in found)


def doctor(arguments: Arguments) -> int:
    """What a run will find here; exit 3 where it would fail."""
    from runtime import doctor as examination
    from runtime.job import Job

    job = Job(
        "", "", "", arguments.np,
        hosts=hosts_of(arguments, 1), launcher=arguments.launcher,
        launcher_exec=arguments.launcher_exec,
    )  # fmt: skip
    findings = examination.examine(job, warm.cache_folder(), os.path.abspath("runs"))
    print(examination.as_json(findings) if arguments.json else examination.as_text(findings))
    return examination.exit_code(findings)
