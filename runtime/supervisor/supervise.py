"""A job from its first attempt to its end: after a failure the last checkpoint begins the next."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from runtime import job as jobs
from runtime.checkpoints import checkpoint
from runtime.job import Job, plan_of
from runtime.supervisor import muster, signals, verdict
from runtime.supervisor.account import Account
from runtime.supervisor.attempt import attempt
from runtime.supervisor.restart import Restarts
from runtime.supervisor.signals import Signals
from runtime.supervisor.verdict import Verdict
from singac.diagnostics import Failed, printable, show

if TYPE_CHECKING:
    from singac.plan.plan import Plan


def supervise(job: Job, mpiexec: str) -> Verdict:
    """Run the job to its end; nothing of it remains."""
    account = Account(job)
    with signals.caught() as caught:
        try:
            end = _attempts(job, mpiexec, account, caught)
        except OSError as error:
            end = verdict.refused(error)
    account.end(end)
    return end


def _attempts(job: Job, mpiexec: str, account: Account, caught: Signals) -> Verdict:
    @cache
    def plan() -> Plan:
        return plan_of(job)

    restarts = Restarts(job)
    current = job
    while True:
        end = attempt(current, mpiexec, plan, account, caught)
        if not end.may_restart or caught.any:
            return end
        if not job.max_restarts:
            return end
        if refusal := restarts.refusal(end):
            return _with_help(end, refusal)
        tell(end, "warning")
        if absent := _absent(job, mpiexec, caught):
            return absent
        current = restarts.again(plan())
        jobs.write(current)
        account.restart(_first_step(current), end.reason)


def _absent(job: Job, mpiexec: str, caught: Signals) -> Verdict | None:
    """Wait for all hosts to answer again; how the job ends when one does not."""
    if not job.hosts:
        return None
    try:
        muster.await_all(job, mpiexec, lambda: caught.any)
    except Failed as failed:
        return Verdict("failed", failed.exit, failed.diagnostics[0])
    return None


def _first_step(job: Job) -> int:
    return checkpoint.start(Path(job.resume) if job.resume else None).step


def _with_help(end: Verdict, help: str) -> Verdict:
    assert end.diagnostic is not None, "a failure has a diagnostic"
    return replace(end, diagnostic=replace(end.diagnostic, help=help))


def tell(end: Verdict, severity: str = "error") -> None:
    """How an attempt ended, on stderr: stacks first, the fact last."""
    if end.traceback:
        print(printable(end.traceback.rstrip()), file=sys.stderr)
    if end.diagnostic is not None:
        told = replace(end.diagnostic, severity=severity)
        print(show([told]), file=sys.stderr, flush=True)
