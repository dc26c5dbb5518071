"""A job -> running processes -> an exit code."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from pathlib import Path

from runtime import inside
from runtime import job as jobs
from runtime.checkpoints import aside
from runtime.job import Job
from runtime.supervisor import launcher, muster, register, verdict
from singac.diagnostics import Diagnostic, Exit, Failed, show


def run(job: Job) -> int:
    """Train; everything is told on the way. The exit code is one of `Exit`."""
    from runtime.supervisor.supervise import supervise, tell

    begun = False
    try:
        prepare(job)
        path = launcher.find() if not job.inside else ""
        with register.entered(job):
            job = _resumed(job)
            if job.hosts:
                muster.check(job, path)
            begun = True
            end = supervise(job, path)
    except Failed as failed:
        end = verdict.Verdict("failed", failed.exit, failed.diagnostics[0])
    except OSError as error:
        end = verdict.refused(error)
    if job.inside and not begun:
        inside.dismiss(int(end.exit))
    tell(end)
    return int(end.exit)


def prepare(job: Job) -> None:
    """Make the run folder; raises Failed when it cannot be written."""
    try:
        job.checkpoints.mkdir(parents=True, exist_ok=True)
        job.logs.mkdir(exist_ok=True)
        with job.metrics.open("a"):
            pass
    except OSError as error:
        message = f"the run folder cannot be written: {error.strerror}"
        help = "choose another with --run-dir"
        diagnostic = Diagnostic(
            "SG0902", message, help=help, file=job.run_folder, exit=Exit.ENVIRONMENT
        )
        raise Failed([diagnostic]) from error


def _shared(job: Job) -> Job:
    """The job with its plan in the run folder, which all hosts see: the cache may be each one's."""
    plan = job.folder / "job.plan.json"
    shutil.copyfile(job.plan, plan)
    return dataclasses.replace(job, plan=str(plan))


def _resumed(job: Job) -> Job:
    """The job with its checkpoints found and proved, and written for the processes."""
    if job.resume is not None:
        from runtime.checkpoints import resume

        job = resume.choose(job)
    elif job.origins:
        from runtime.checkpoints import origins

        job = origins.choose(job)
    strangers = aside.set_aside(job.checkpoints, Path(job.resume) if job.resume else None)
    if strangers is not None:
        print(show([strangers]), file=sys.stderr)
    if job.hosts:
        job = _shared(job)
    jobs.write(job)
    return job
