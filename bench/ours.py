"""Our side of a race: a job that trains as always, some steps at a time.

    python -m bench.ours FILE -np N ...      the words of `singac bench`; turns come by stdin

A process of its own compiles, so that memory is that of a warm run: it has loaded no compiler.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from multiprocessing import get_context
from pathlib import Path

from runtime import job as jobs
from runtime.job import Job
from runtime.process.turns import Turns
from runtime.supervisor import launch

NEVER_DONE = 1_000_000_000


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="singac-ours-") as folder:
        compiler = get_context("spawn").Process(target=_compile, args=(sys.argv[1:], folder))
        compiler.start()
        compiler.join()
        if compiler.exitcode:
            return compiler.exitcode
        job = jobs.read(str(Path(folder, "job.json")))
        Turns.prepare(job)
        threading.Thread(target=_answer, args=(job,), daemon=True).start()
        return launch.run(job)


def _compile(words: list[str], folder: str) -> None:
    """Leave the job of a file in a folder, all that it needs made."""
    from singac import warm
    from singac.arguments import parser
    from singac.compile import compile_file
    from singac.verbs.common import choices_of
    from singac.verbs.timed import timed
    from singac.verbs.trial import job_of

    arguments = parser().parse_args(["bench", *words])
    (compiled,) = compile_file(arguments.file, choices_of(arguments), warm.data_folder())
    plan = timed(compiled.plan, NEVER_DONE)
    jobs.write(job_of(compiled, plan, warm.data_folder(), folder, in_turns=True))


def _answer(job: Job) -> None:
    """A line for each line of stdin, as a peer answers it; the end of stdin ends training."""
    turns = Turns(job)
    for line in sys.stdin:
        seconds = turns.give(json.loads(line)["steps"])
        print(json.dumps({"seconds": seconds}), flush=True)
    turns.end()


if __name__ == "__main__":
    os._exit(main())
