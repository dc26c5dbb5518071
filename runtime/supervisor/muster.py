"""The hosts of a job before and between its attempts: asked, compared, waited for, tidied.

Each is asked by a process of its own, started by the launcher as those of the job will be: so what
the answer comes by is what the job will need.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from runtime.job import Job
from runtime.present import SHARED, Facts
from runtime.supervisor import launcher
from singac.diagnostics import Diagnostic, Exit, Failed

ANSWER_SECONDS = 10.0
PREPARE_SECONDS = 3600.0
AWAIT_SECONDS = 120.0
AWAIT_VARIABLE = "SINGAC_HOST_SECONDS"
PAUSE_SECONDS = 1.0
SWEEP_SECONDS = 2.0
SAME = "install the same on both, or share one environment"
REACHING = "a process is started there by the launcher: see --launcher and --launcher-exec"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host has said: its facts, or why it has none."""

    host: str
    facts: Facts
    error: str = ""


def ask(
    job: Job, mpiexec: str, words: Sequence[str], seconds: float = ANSWER_SECONDS
) -> list[Answer]:
    """One answer of each host of the job, in their order, to `python -P -m WORDS` run there."""
    asked = {
        host.name: subprocess.Popen(
            launcher.command_on(mpiexec, job, host.name, words),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=launcher.environment(), start_new_session=True,
        )
        for host in job.places
    }  # fmt: skip
    stop = time.monotonic() + seconds
    return [_answer(name, process, stop) for name, process in asked.items()]


def _answer(name: str, process: subprocess.Popen[str], stop: float) -> Answer:
    try:
        out, err = process.communicate(timeout=max(stop - time.monotonic(), 0.1))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return Answer(name, {}, "it does not answer")
    line = next((line for line in out.splitlines() if line.startswith("{")), "")
    if process.returncode or not line:
        lines = [line for line in err.splitlines() if line.strip()]
        return Answer(name, {}, lines[0] if lines else f"exit code {process.returncode}")
    return Answer(name, json.loads(line))


def check(job: Job, mpiexec: str) -> None:
    """Raises Failed when a host does not answer, or has not what the first one has."""
    _compare(ask(job, mpiexec, ["runtime.present"]))
    _compare(ask(job, mpiexec, ["runtime.present", str(job.file)], PREPARE_SECONDS))


def _compare(answers: Sequence[Answer]) -> None:
    for answer in answers:
        _check_answer(answer)
    first, *others = answers
    for other in others:
        for what, here in first.facts.items():
            if (there := other.facts.get(what)) != here:
                raise _disagreement(what, (first.host, here), (other.host, there))


def _check_answer(answer: Answer) -> None:
    if answer.error:
        raise unreachable(answer.host, answer.error)
    if failure := answer.facts.get("failure"):
        help = answer.facts.get("help")
        raise _failed("SG0933", f"host {answer.host} cannot take part: {failure}", help)


def _disagreement(what: str, here: tuple[str, str], there: tuple[str, str | None]) -> Failed:
    (a, on_a), (b, on_b) = here, there
    helps = {"plan": SHARED, "data": "give all hosts the same data files"}
    help = helps.get(what, SAME)
    message = f"hosts {a} and {b} differ in {what}: {on_a} on {a}, {on_b} on {b}"
    return _failed("SG0933", message, help)


def unreachable(host: str, why: str) -> Failed:
    return _failed("SG0932", f"host {host} cannot be used: {why}", REACHING)


def _failed(code: str, message: str, help: str | None) -> Failed:
    return Failed([Diagnostic(code, message, help=help, exit=Exit.ENVIRONMENT)])


def await_all(job: Job, mpiexec: str, given_up: Callable[[], bool]) -> None:
    """Return when all hosts answer; raises Failed for the first that does not in two minutes."""
    seconds = float(os.environ.get(AWAIT_VARIABLE, AWAIT_SECONDS))
    stop = time.monotonic() + seconds
    while not given_up():
        answers = ask(job, mpiexec, ["runtime.present"])
        silent = next((answer for answer in answers if answer.error), None)
        if silent is None:
            return
        if time.monotonic() > stop:
            raise unreachable(silent.host, f"no answer for {seconds:.0f} s ({silent.error})")
        time.sleep(PAUSE_SECONDS)


def sweep(job: Job, mpiexec: str, files: Mapping[str, Sequence[str]]) -> None:
    """Remove files of shared memory that processes of the job have left on other hosts.

    Best effort: a host that is gone has taken its memory with it.
    """
    started = [
        subprocess.Popen(
            launcher.command_on(mpiexec, job, host, ["runtime.sweep", *names]),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=launcher.environment(), start_new_session=True,
        )
        for host, names in files.items()
    ]  # fmt: skip
    stop = time.monotonic() + SWEEP_SECONDS
    for process in started:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(stop - time.monotonic(), 0))
        process.kill()
        process.wait()
