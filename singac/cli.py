"""The command line: arguments in, one call out.

What a verb needs is imported when it runs: a warm `run` must not load the compiler. Data goes to
stdout, all else to stderr.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from singac.arguments import parser
from singac.diagnostics import Ended, Exit, Failed, show
from singac.verbs import looking_up, operating, planning, programs, reading, timing, training
from singac.verbs.common import Arguments


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code."""
    _ready_streams()
    arguments = parser().parse_args(words)
    try:
        return VERBS[arguments.verb](arguments)
    except Failed as failed:
        print(show(failed.diagnostics), file=sys.stderr)
        return int(failed.exit)
    except Ended as ended:
        return ended.code
    except KeyboardInterrupt:
        return int(Exit.INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.FAILED)


def _ready_streams() -> None:
    """Any text can be printed, whatever the terminal can show, and where there is no stream."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


VERBS: Mapping[str, Callable[[Arguments], int]] = {
    "check": programs.check,
    "fmt": programs.fmt,
    "plan": planning.plan,
    "run": training.run,
    "bench": timing.bench,
    "profile": timing.profile,
    "calibrate": timing.calibrate,
    "doctor": operating.doctor,
    "ps": operating.ps,
    "stop": operating.stop,
    "tail": operating.tail,
    "new": programs.new,
    "eval": reading.evaluate,
    "predict": reading.predict,
    "sample": reading.sample,
    "checkpoint": reading.checkpoint,
    "pack": programs.pack,
    "list": looking_up.list_words,
    "explain": looking_up.explain,
}


if __name__ == "__main__":
    sys.exit(main())
