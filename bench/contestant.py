"""A contestant: one or several long-lived processes that train some steps when it is their turn."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any


class Broken(Exception):
    """A contestant has ended before its time; the text is the last it said."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a contestant is called and what starts it, a command and its variables a process."""

    name: str
    commands: Sequence[Sequence[str]]
    variables: Sequence[Mapping[str, str]] = ({},)


class Contestant:
    """Its processes, running; `folder` takes what they say on stderr."""

    def __init__(self, entry: Entry, folder: Path) -> None:
        self.name, self._errors = entry.name, folder / f"{entry.name.replace('/', ' ')}.log"
        with self._errors.open("wb") as errors:
            self._processes = [
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    env={**os.environ, **variables},
                    text=True,
                )
                for command, variables in zip(entry.commands, entry.variables, strict=True)
            ]

    def turn(self, steps: int) -> float:
        """Seconds that so many steps took, by the slowest of its processes. Raises Broken."""
        return max(float(answer["seconds"]) for answer in self._asked({"steps": steps}))

    def losses(self, steps: int) -> list[float]:
        """Of so many steps, the mean over its processes; before any other turn. Raises Broken."""
        answers = self._asked({"steps": steps, "losses": True})
        each = zip(*(answer["losses"] for answer in answers), strict=True)
        return [sum(losses) / len(losses) for losses in each]

    def memory(self) -> int:
        """Most bytes that it has held, all its processes together; what is shared counts once."""
        return sum(map(_held, _trees(p.pid for p in self._processes)))

    def end(self) -> list[int]:
        """Have its processes end, and give their exit codes."""
        for process in self._processes:
            _pipe(process.stdin).close()
        return [_ended(process) for process in self._processes]

    def _asked(self, question: dict[str, object]) -> list[dict[str, Any]]:
        try:
            for process in self._processes:
                print(json.dumps(question), file=_pipe(process.stdin), flush=True)
            return [json.loads(_pipe(process.stdout).readline()) for process in self._processes]
        except (OSError, ValueError):
            raise Broken(self._errors.read_text(errors="replace")[-2000:]) from None


def _ended(process: subprocess.Popen[str]) -> int:
    try:
        return process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None, "both ends are pipes"
    return stream


# -- memory, as Linux tells it ---------------------------------------------------------------------


def _trees(pids: Iterable[int]) -> list[int]:
    """Processes, and those they have started."""
    found: list[int] = []
    for pid in pids:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        found += [pid, *_trees(map(int, children.split()))]
    return found


def _held(pid: int) -> int:
    """A process's share of what it holds, and how much more it held at its most."""
    rollup, status = _fields(f"/proc/{pid}/smaps_rollup"), _fields(f"/proc/{pid}/status")
    return rollup["Pss"] + status["VmHWM"] - status["VmRSS"]


def _fields(path: str) -> dict[str, int]:
    """The lines that tell kilobytes, in bytes."""
    lines = (line.split() for line in Path(path).read_text(encoding="ascii").splitlines())
    return {words[0][:-1]: int(words[1]) * 1024 for words in lines if words[-1] == "kB"}
