"""The verb `run`: every train block of a program, one after the other."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

from singac.diagnostics import Diagnostic, Exit, Failed
from singac.verbs import operating
from singac.verbs.common import (
    Arguments,
    choices_of,
    compile_ahead,
    machine_of,
    replace_file,
)

if TYPE_CHECKING:
    from runtime.job import Job
    from singac.warm import Ready


def run(arguments: Arguments) -> int:
    """Train every train block in turn."""
    from runtime.job import Job
    from runtime.supervisor import launch
    from singac import warm

    with operating.joined(arguments) as guest:
        words = _run_words(arguments)
        ready = warm.find(words) or _prepare(arguments, words)
        operating.check_guest(guest, arguments, [one.processes for one in ready])
        folder = arguments.run_dir or _run_folder(arguments.file)
        named = operating.hosts_of(arguments, max(one.processes for one in ready))
        traces = _trace_files(arguments.trace, ready)
    for index, one in enumerate(ready):
        run_folder = os.path.abspath(os.path.join(folder, one.run))
        job = Job(
            plan=one.plan,
            data_folder=one.data,
            run_folder=run_folder,
            processes=one.processes,
            resume=_resume(arguments.resume, one, run_folder, index == 0),
            json=arguments.json,
            traced=arguments.trace is not None,
            max_restarts=arguments.max_restarts,
            origins={key: _origin(key, folder) for key in one.origins},
            hosts=named,
            launcher=arguments.launcher,
            launcher_exec=arguments.launcher_exec,
            request=one.request,
            registry=str(operating.registry()),
            inside=guest is not None,
        )
        code = launch.run(job)
        if traces:
            _write_trace(job, traces[index])
        if code:
            return code
    return 0


def _trace_files(asked: str | None, ready: Sequence[Ready]) -> list[Path]:
    """One file for each train block, made before anything runs so that none runs in vain."""
    if asked is None:
        return []
    path = Path(asked)
    several = [path.with_name(f"{path.stem}-{k}{path.suffix}") for k in range(len(ready))]
    files = [path] if len(ready) == 1 else several
    for file in files:
        replace_file(file, "")
    return files


def _write_trace(job: Job, path: Path) -> None:
    """The trace of a run, however it ended."""
    from runtime import timeline
    from runtime.job import plan_of

    traced, plan = timeline.read_all(job), plan_of(job)
    spans = [timeline.spans(rank, own) for rank, own in enumerate(traced)]
    replace_file(path, timeline.as_trace(plan, spans))
    timeline.remove(job)
    if any(own.is_full for own in traced):
        print(f"{path}: the run was too long to be traced to its end", file=sys.stderr)


def _resume(given: str | None, one: Ready, run_folder: str, is_first: bool) -> str | None:
    """Where a train goes on from; of several trains, one that had not begun begins."""
    from singac.saved import candidates

    if given is None:
        return None
    path = os.path.abspath(given) if given else run_folder
    return path if is_first or candidates(Path(path), one.run) else None


def _origin(key: str, folder: str) -> str:
    """A path, or the run folder of another train."""
    return os.path.abspath(key if "/" in key else os.path.join(folder, key))


def _run_words(arguments: Arguments) -> list[str]:
    """The part of the command line that decides the plan."""
    chosen = (arguments.np, arguments.cluster, arguments.partition, arguments.train)
    machine = str(machine_of(arguments))
    changes = map(str, arguments.let + arguments.set)
    return ["run", arguments.file, *map(str, chosen), machine, *changes]


def _run_folder(file: str) -> str:
    """A new folder: another job may have begun in this second."""
    stem = os.path.join("runs", f"{Path(file).stem}-{time.strftime('%Y%m%d-%H%M%S')}")
    for path in chain((stem,), (f"{stem}-{k}" for k in count(2))):
        try:
            os.makedirs(path)
        except FileExistsError:
            continue
        except OSError:
            break  # what is wrong is told when the run folder is prepared
        return path
    return stem


def _prepare(arguments: Arguments, words: Sequence[str]) -> tuple[Ready, ...]:
    """Compile, check every byte of the data, and leave all that a run needs in the cache."""
    from singac import warm
    from singac.compile import compile_file
    from singac.plan.encode import to_json
    from singac.sources.prepare import prepare

    machine = machine_of(arguments)
    compiled = compile_file(arguments.file, choices_of(arguments), warm.data_folder(), machine)
    datas = [prepare(c.request, c.model.dataset.facts, warm.data_folder()) for c in compiled]
    compile_ahead([one.plan for one in compiled])
    plans = []
    for one, data in zip(compiled, datas, strict=True):
        text, processes = to_json(one.plan), one.plan.topology.processes
        run, origins = one.model.run, one.origins
        plans.append(warm.Kept(text, one.request, data, processes, run, origins))
    try:
        return warm.keep(words, compiled[0].model.texts, plans)
    except OSError as error:
        message = f"the cache cannot be written: {error.strerror}"
        raise Failed(
            [
                Diagnostic(
                    "SG0903",
                    message,
                    help="choose another folder with SINGAC_CACHE",
                    file=warm.cache_folder(),
                    exit=Exit.ENVIRONMENT,
                )
            ]
        ) from None
