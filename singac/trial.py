"""A plan that is trained to be measured, in a run folder that does not stay."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from runtime.job import Job
from singac.codegen.load import compile_all
from singac.compile import Compiled
from singac.plan.encode import to_json
from singac.plan.plan import Plan
from singac.sources.prepare import prepare


@contextmanager
def trial(compiled: Compiled, plan: Plan, cache: str, traced: bool = False) -> Iterator[Job]:
    """A job of `plan`, made of what was compiled, ready to be launched: data prepared, all native
    code there. What it leaves can be read until the context ends. Raises `Failed`.
    """
    data = prepare(compiled.request, compiled.model.dataset.facts, cache)
    compile_all(plan)
    with tempfile.TemporaryDirectory(prefix="singac-trial-") as folder:
        path = Path(folder, "plan.json")
        path.write_text(to_json(plan), encoding="utf-8")
        yield Job(str(path), data, folder, plan.topology.processes, timed=True, traced=traced)


def in_turns(job: Job) -> Job:
    """The same job, for `runtime.turns`."""
    return replace(job, in_turns=True)
