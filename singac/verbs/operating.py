"""Verbs about runs and the machines they are on; none of them compiles anything."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from singac import warm
from singac.diagnostics import Ended, Failed

if TYPE_CHECKING:
    from runtime.inside import Guest

PAUSE_SECONDS = 0.05
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


@contextlib.contextmanager
def joined(arguments: Arguments) -> Iterator[Guest | None]:
    """The place of this process where another launcher has started it, while a run is prepared.

    Of several processes only the first goes on; the others wait for it, and end when it fails.
    -np is what the launcher says unless it is given.
    """
    from runtime import inside

    guest = inside.find()
    if guest is not None and guest.rank:
        inside.become_guest()
    if guest is not None and arguments.np is None and arguments.cluster is None:
        arguments.np = guest.size
    try:
        yield guest
    except (Failed, Ended) as failed:
        if guest is not None:
            inside.dismiss(int(failed.exit) if isinstance(failed, Failed) else failed.code)
        raise


def check_guest(guest: Guest | None, arguments: Arguments, processes: Sequence[int]) -> None:
    """Raises Failed where a run does not fit the launcher that has started it."""
    from runtime import inside

    if guest is not None:
        inside.check(guest, len(processes), max(processes), arguments.max_restarts)


def doctor(arguments: Arguments) -> int:
    """What a run will find here; exit 3 where it would fail."""
    from runtime.job import Job
    from runtime.supervisor import doctor as examination

    job = Job(
        "", "", "", arguments.np,
        hosts=hosts_of(arguments, 1), launcher=arguments.launcher,
        launcher_exec=arguments.launcher_exec,
    )  # fmt: skip
    findings = examination.examine(job, warm.cache_folder(), os.path.abspath("runs"))
    print(examination.as_json(findings) if arguments.json else examination.as_text(findings))
    return examination.exit_code(findings)


def ps(arguments: Arguments) -> int:
    """The jobs of this user that are running on this machine."""
    from runtime.supervisor import register

    jobs = [(state, register.last_event(state)) for state in register.running(registry())]
    if arguments.json:
        told = [
            {
                "run_dir": state.run_folder,
                "net": last.get("net"),
                "step": last.get("step"),
                "processes": state.processes,
                "pid": state.pid,
                "since": state.since,
            }
            for state, last in jobs
        ]
        print(json.dumps({"format_version": "1.0", "jobs": told}))
        return 0
    for state, last in jobs:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(state.since))
        doing = f"{last.get('net', 'starting')} at step {last.get('step', 0)}"
        print(
            f"{state.pid}  {doing}, {state.processes} processes since {since}; {state.run_folder}"
        )
    return 0


def stop(arguments: Arguments) -> int:
    """Let a job write a checkpoint and end; return when it has."""
    from runtime.supervisor import register

    state = register.running_in(Path(arguments.run))
    os.kill(state.pid, signal.SIGTERM)
    while state.runs:
        time.sleep(PAUSE_SECONDS)
    step = register.last_event(state).get("steps", "?")
    print(f"{state.run_folder}: ended after step {step}", file=sys.stderr)
    return 0


def tail(arguments: Arguments) -> int:
    """What a job tells, from its start until it ends."""
    from runtime.supervisor import follow, register
    from runtime.supervisor.report import sentence

    for line in follow.lines(register.of(Path(arguments.run))):
        print(line if arguments.json else sentence(json.loads(line)), flush=True)
    return 0


def registry() -> Path:
    """Where the running jobs of this user have their entries."""
    return Path(warm.cache_folder(), "jobs")
