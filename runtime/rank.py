"""One process of a run: `python -P -m runtime.rank JOB`.

What can fail is imported and done under one roof, so that every end is told to the supervisor.
After a failure the process waits to be ended: its end would end the others, and one of them may
just be writing a checkpoint. It never leaves by itself in an interpreter's own way, which would
wait in MPI for processes that will never come. After success it must: MPI says goodbye to its
launcher at the very end.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial

from runtime import job as jobs
from runtime.channel import Line, Message
from runtime.environment import EnvironmentFailure
from runtime.job import Job
from runtime.process import faults
from runtime.progress import Mark, Phase, Progress
from runtime.supervisor import remains, stacks

PATIENCE_SECONDS = 5.0
LAST_WORD_SECONDS = 2.0


def main() -> None:
    take_part(sys.argv[1])


def take_part(path: str) -> None:
    """Be a process of a job; returns when the job is done."""
    rank = int(os.environ.get(remains.RANK_VARIABLE, "0"))
    job = jobs.read(path)
    # A mapped file is not the same memory on two hosts: there the mark is told with each beat.
    mark = Mark.apart() if job.is_spread else Progress(job.progress).mark(rank)
    mark.begin(os.getpid(), Phase.STARTING)
    # The supervisor answers Ctrl-C for all.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    line = Line(rank, _beats(mark, job), partial(_orphaned, job), stacks.tell)
    with job.log(rank).open("w") as log:
        faulthandler.enable(log)
        stacks.answer(log)
        end = _outcome(job, rank, mark, line)
        _tell_files(line, ready=False)
        if job.is_spread:
            line.send(mark.standing())
        line.send(end)
        if end["event"] != "bye":
            time.sleep(PATIENCE_SECONDS)
            os._exit(1)
        faulthandler.disable()


def _beats(mark: Mark, job: Job) -> Callable[[], Message | None]:
    def beat() -> Message | None:
        mark.beat()
        return mark.standing() if job.is_spread else None

    return beat


def _outcome(job: Job, rank: int, mark: Mark, line: Line) -> Message:
    """Run, and say how it ended."""
    from runtime.divergence import Diverged

    failure: Message = {"event": "failure"}
    try:
        _run(job, rank, mark, line)
    except SystemExit as end:
        return failure | {"cause": f"exited with code {end.code}"}
    except EnvironmentFailure as error:
        return failure | {"kind": "environment", "cause": error.message, "help": error.help}
    except Diverged as error:
        return failure | {"kind": "diverged", "cause": str(error)}
    except BaseException as error:
        cause = "".join(traceback.format_exception_only(error)).strip()
        return failure | {"cause": cause, "traceback": traceback.format_exc()}
    return {"event": "bye"}


def _run(job: Job, rank: int, mark: Mark, line: Line) -> None:
    fault = faults.asked_for(rank, job.restart)
    fault.strike("start")
    gc.disable()  # what is loaded stays
    mark.phase(Phase.CONNECTING)
    from runtime import shared_memory, world

    if not job.inside:
        shared_memory.check_for_mpi(job.neighbours(rank))
    world.connect(job.processes)
    if job.inside and rank == 0:
        from runtime import inside  # most runs are not

        inside.invite(job)
    _tell_files(line, ready=False)
    fault.strike("connected")
    mark.phase(Phase.LOADING)
    from runtime.process import assembly, footprint

    crew = assembly.assemble(job, rank, mark, line, fault)
    gc.freeze()
    gc.enable()
    footprint.return_freed()  # initial params have passed through
    _tell_files(line, ready=True)
    crew.run()
    world.leave()


def _tell_files(line: Line, ready: bool) -> None:
    """Files of shared memory outlive a process that is killed; the supervisor must know them."""
    line.send({"event": "files", "files": remains.mapped_files("self"), "ready": ready})


def _orphaned(job: Job) -> None:
    """The supervisor is gone: nobody else would remove what this run has left."""
    remains.remove_files(remains.mapped_files("self"))
    if job.inside:
        # The launcher ends all when one ends badly: rank 0 has the last word.
        time.sleep(LAST_WORD_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main()
