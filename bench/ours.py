"""Our side of a contest: a job that trains as always, some steps at a time.

python -m bench.ours FILE -np N ...      the words of `singac bench`; turns come by stdin
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import replace

from runtime import launch
from runtime.job import Job
from runtime.turns import Turns
from singac import warm
from singac.arguments import parser
from singac.cli import choices_of
from singac.compile import compile_file
from singac.timed import timed
from singac.trial import trial

NEVER_DONE = 1_000_000_000


def main() -> int:
    arguments = parser().parse_args(["bench", *sys.argv[1:]])
    (compiled,) = compile_file(arguments.file, choices_of(arguments), warm.data_folder())
    with trial(compiled, timed(compiled.plan, NEVER_DONE), warm.data_folder()) as job:
        job = replace(job, in_turns=True)
        Turns.prepare(job)
        threading.Thread(target=_answer, args=(job,), daemon=True).start()
        return launch.run(job)


def _answer(job: Job) -> None:
    """A line for each line of stdin, as a peer answers it; the end of stdin ends training."""
    turns = Turns(job)
    for line in sys.stdin:
        seconds = turns.give(json.loads(line)["steps"])
        print(json.dumps({"seconds": seconds}), flush=True)
    turns.end()


if __name__ == "__main__":
    os._exit(main())
