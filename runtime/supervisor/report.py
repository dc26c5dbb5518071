"""Events of a run -> what the user sees and what stays in metrics.jsonl."""

from __future__ import annotations

import errno
import json
import os
import sys
from typing import TYPE_CHECKING

from runtime.channel import Message
from runtime.job import Job
from singac.diagnostics import Diagnostic, show

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Reporter:
    """Takes every event: a JSON line in the file, and one of three forms on stdout."""

    def __init__(self, job: Job, net: str, steps: int) -> None:
        self._file = job.metrics.open("ab", buffering=0)
        self._refused = False
        self._view = _view(job, net, steps)

    def event(self, message: Message) -> None:
        line = json.dumps(message)
        self._keep(line.encode() + b"\n")
        self._view.event(message, line)

    def _keep(self, line: bytes) -> None:
        """Write a whole line or none: training goes on though the disk refuses."""
        end = self._file.tell()
        try:
            if self._file.write(line) < len(line):
                self._file.truncate(end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            if not self._refused:
                self._refused = True
                _warn(self._file.name, error)

    def close(self) -> None:
        self._file.close()
        self._view.close()


def _warn(file: str, error: OSError) -> None:
    message = f"what the run tells cannot be kept: {error.strerror}"
    warning = Diagnostic("SG0902", message, file=file, severity="warning")
    print(show([warning]), file=sys.stderr, flush=True)


class JsonView:
    """The lines themselves, for scripts."""

    def event(self, message: Message, line: str) -> None:
        print(line, flush=True)

    def close(self) -> None:
        """Nothing is open."""


class NoView:
    """Nothing, where what a run tells is not what was asked for."""

    def event(self, message: Message, line: str) -> None:
        """It is in the file."""

    def close(self) -> None:
        """Nothing is open."""


class PlainView:
    """One line an event, for logs; how often, the program says."""

    def event(self, message: Message, line: str) -> None:
        print(sentence(message), flush=True)

    def close(self) -> None:
        """Nothing is open."""


class TerminalView:
    """One live line with a bar; what stays on the screen is printed above it."""

    def __init__(self, net: str, steps: int) -> None:
        self._net, self._steps = net, steps
        self._live: Progress | None = None
        self._task: TaskID | None = None

    def event(self, message: Message, line: str) -> None:
        live, task = self._started()
        if message["event"] == "step":
            live.update(task, completed=_number(message["step"]), values=_values(message))
        elif message["event"] == "end":
            self.close()
            print(sentence(message))
        else:
            live.console.print(sentence(message), markup=False, highlight=False)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _started(self) -> tuple[Progress, TaskID]:
        # A slow import that runs without a terminal should not pay for.
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        if self._live is None or self._task is None:
            columns = ("{task.description}", BarColumn(), MofNCompleteColumn())
            self._live = Progress(*columns, TextColumn("{task.fields[values]}", markup=False))
            self._task = self._live.add_task(self._net, total=self._steps, values="")
            self._live.start()
        return self._live, self._task


View = JsonView | NoView | PlainView | TerminalView


def _view(job: Job, net: str, steps: int) -> View:
    if job.timed:
        return NoView()
    if job.json:
        return JsonView()
    return TerminalView(net, steps) if sys.stdout.isatty() else PlainView()


def sentence(message: Message) -> str:
    """An event as a line for people."""
    match message["event"]:
        case "start":
            who = ", ".join(_counted(message, noun) for noun in ("processes", "workers", "servers"))
            return f"{message['net']}: {who} ({message['framework']}); {message['run_dir']}"
        case "step":
            return f"step {message['step']}  {_values(message)}"
        case "test":
            return f"test at step {message['step']}  {_values(message)}"
        case "validate":
            return f"validation at step {message['step']}  {_values(message)}"
        case "checkpoint":
            best = "best " if message.get("best") else ""
            return f"{best}checkpoint at step {message['step']}  {message['path']}"
        case "early_stop":
            return (
                f"stopped early at step {message['step']}: validation has not been better since "
                f"step {message['best_step']}, loss {_number(message['best_loss']):.5g}"
            )
        case "restart":
            return f"training goes on from step {message['step']}: {message['reason']}"
        case "warning":
            return f"warning at step {message['step']}: {message['text']}"
        case "end":
            best = f"; best: {_path(message['best'])}" if "best" in message else ""
            return f"{message['status']}: {message['steps']} steps in {message['seconds']} s{best}"
    return json.dumps(message)


def _counted(message: Message, noun: str) -> str:
    """`1 worker`, `2 workers`: how many of them a start event tells."""
    single = {"processes": "process", "workers": "worker", "servers": "server"}[noun]
    return f"{message[noun]} {single if message[noun] == 1 else noun}"


def _values(message: Message) -> str:
    metrics = message["metrics"]
    assert isinstance(metrics, dict), "metrics are an object"
    parts = [f"loss {_number(message['loss']):.5g}"]
    parts += [f"{name} {value:.4g}" for name, value in metrics.items()]
    if "examples_per_second" in message:
        parts.append(f"{_number(message['examples_per_second']):,.0f} examples/s")
    return "  ".join(parts)


def _path(best: object) -> str:
    assert isinstance(best, dict), "the best checkpoint has a step and a path"
    return str(best["path"])


def _number(value: object) -> float:
    assert isinstance(value, int | float), "an event's number"
    return value
