"""The command line: arguments in, one call out.

This file and `trial.py` alone see both the compiler and the runtime. Data goes to stdout, all else
to stderr. What a verb needs is imported when it runs: a warm `run` must not load the compiler.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

from singac import operating
from singac.arguments import parser
from singac.diagnostics import Diagnostic, Ended, Exit, Failed, as_json, show

if TYPE_CHECKING:
    from runtime.alone import Tester
    from runtime.job import Job
    from singac.compile import Compiled
    from singac.model.program import Change
    from singac.model.resolve import Choices, Model
    from singac.partition.machine import Machine
    from singac.plan.plan import Plan
    from singac.warm import Ready

Arguments = argparse.Namespace


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


def choices_of(arguments: Arguments) -> Choices:
    from singac.model.resolve import Choices

    chosen = (arguments.np, arguments.cluster, arguments.partition, arguments.train)
    return Choices(*chosen, _changes(arguments))


def _changes(arguments: Arguments) -> tuple[Change, ...]:
    from singac.model.program import Change

    lets = tuple(Change("let", name, value) for name, value in arguments.let)
    return lets + tuple(Change("set", name, value) for name, value in arguments.set)


def _machine(arguments: Arguments) -> Machine:
    from singac import rates

    return rates.machine(arguments.calibration)


def check(arguments: Arguments) -> int:
    """Every diagnostic of every file."""
    found: list[Diagnostic] = []
    for path in arguments.files:
        found += _diagnostics(path, arguments)
    if arguments.format == "json":
        print(json.dumps({"format_version": "1.0", "diagnostics": [as_json(d) for d in found]}))
    elif found:
        print(show(found), file=sys.stderr)
    return int(Failed(found).exit) if any(d.severity == "error" for d in found) else 0


def _diagnostics(path: str, arguments: Arguments) -> Sequence[Diagnostic]:
    from singac import compile as compiler
    from singac.syntax.read import read
    from singac.warm import data_folder

    try:
        return compiler.check(read(path), choices_of(arguments), data_folder())
    except Failed as failed:
        return failed.diagnostics


def fmt(arguments: Arguments) -> int:
    """Canonical text in place; with --check or --diff nothing is written and a change is exit 2."""
    from singac.syntax.format import format_program
    from singac.syntax.parse import parse
    from singac.syntax.read import read

    changed = False
    for path in arguments.files:
        source = read(path)
        text = format_program(parse(source))
        if text == source.text:
            continue
        changed = True
        if arguments.diff:
            _print_difference(path, source.text, text)
        elif arguments.check:
            print(f"{path} is not formatted", file=sys.stderr)
        else:
            _replace(Path(path), text)
    return int(Exit.USAGE) if changed and (arguments.check or arguments.diff) else 0


def _print_difference(path: str, before: str, after: str) -> None:
    import difflib

    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), path, f"{path} formatted"
    )
    sys.stdout.writelines(lines)


def _replace(path: Path, text: str) -> None:
    """The new text whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8", newline="")
        os.replace(temporary, path)
    except OSError as error:
        message = f"the file cannot be written: {error.strerror}"
        raise Failed(
            [Diagnostic("SG0904", message, file=str(path), exit=Exit.ENVIRONMENT)]
        ) from None


def plan(arguments: Arguments) -> int:
    """The compiled partition plan, another stage, or what differs from another plan."""
    from singac import plans
    from singac.warm import data_folder

    machine = _machine(arguments)
    found = plans.find(arguments.file, choices_of(arguments), data_folder(), machine)
    if arguments.analyze:
        return _analyze([plans.compiled_of(shown) for shown in found], arguments.out)
    if arguments.diff is not None:
        return _plan_difference(arguments, plans.only(found, "a comparison"))
    wanted = plans.View(arguments.show, arguments.process, arguments.tensor, arguments.format)
    _put(plans.view(found, wanted), arguments.out)
    return 0


ANALYZED_STEPS = 20


def _analyze(compiled: Sequence[Compiled], out: str | None) -> int:
    """Run each plan for some steps, and tell what they took."""
    from singac import measured, trial

    told = []
    for one in compiled:
        found = trial.time_apart(one, ANALYZED_STEPS, _data_folder())
        told.append(measured.as_text(found.plan, found.spans, found.timings, found.moved))
    _put("\n".join(told), out)
    return 0


def _plan_difference(arguments: Arguments, this: Plan) -> int:
    """Exit 1 if the plans differ, as diff has it."""
    from singac import plans
    from singac.arguments import against
    from singac.warm import data_folder

    other = against(arguments)
    machine = _machine(other)
    found = plans.find(other.file, choices_of(other), data_folder(), machine)
    text = plans.difference(this, plans.only(found, "a comparison"), ("this", "other"))
    _put(text, arguments.out)
    return 1 if text else 0


def _put(text: str, out: str | None) -> None:
    """To stdout, or to the file that was named."""
    if out is None:
        print(text, end="")
    else:
        _replace(Path(out), text)


def run(arguments: Arguments) -> int:
    """Train every train block in turn."""
    from runtime import launch
    from runtime.job import Job
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
        _replace(file, "")
    return files


def _write_trace(job: Job, path: Path) -> None:
    """The trace of a run, however it ended."""
    from runtime import timeline
    from runtime.job import plan_of

    traced, plan = timeline.read_all(job), plan_of(job)
    spans = [timeline.spans(rank, own) for rank, own in enumerate(traced)]
    _replace(path, timeline.as_trace(plan, spans))
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
    machine = str(_machine(arguments))
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
    from singac.codegen.ahead import compile_all
    from singac.compile import compile_file
    from singac.plan.encode import to_json
    from singac.sources.prepare import prepare

    machine = _machine(arguments)
    compiled = compile_file(arguments.file, choices_of(arguments), warm.data_folder(), machine)
    datas = [prepare(c.request, c.model.dataset.facts, warm.data_folder()) for c in compiled]
    compile_all([one.plan for one in compiled])
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


def bench(arguments: Arguments) -> int:
    """What a training step of each train block takes, by training some."""
    from singac import timed, trial
    from singac.codegen.peak import fma_peak
    from singac.compile import compile_file

    machine = _machine(arguments)
    for one in compile_file(arguments.file, choices_of(arguments), _data_folder(), machine):
        run = trial.time_steps(one, arguments.steps, _data_folder())
        found = timed.figures(run.plan, run.timings, run.moved, fma_peak())
        print(timed.as_json(found) if arguments.json else timed.as_text(found))
    return 0


def profile(arguments: Arguments) -> int:
    """What each kernel of a training step takes, and where the step waits."""
    from singac import profiled, shows
    from singac.compile import compile_file

    machine = _machine(arguments)
    for one in compile_file(arguments.file, choices_of(arguments), _data_folder(), machine):
        shows.check_rank(one.plan, arguments.process)
        found = profiled.profile(one, arguments.process, arguments.steps, _data_folder())
        print(profiled.as_json(found) if arguments.json else profiled.as_text(found))
    return 0


def calibrate(arguments: Arguments) -> int:
    """Measure this machine, and keep it where every compile looks, or in a file."""
    from dataclasses import asdict

    from singac import calibrate, rates

    found = calibrate.measure(_data_folder())
    path = rates.own_file() if arguments.out is None else Path(arguments.out)
    rates.write(found, path)
    print(json.dumps(asdict(found)) if arguments.json else calibrate.as_text(found))
    print(f"{path}: what is on auto is decided by these", file=sys.stderr)
    return 0


def new(arguments: Arguments) -> int:
    """A small program, ready to run, and its data."""
    from singac import starter

    program, data = starter.write(arguments.name)
    print(f"{program} and {data}: now `singac run {program} -np 2`", file=sys.stderr)
    return 0


def pack(arguments: Arguments) -> int:
    """A file of records from one data block."""
    from singac.model.resolve import resolve_data
    from singac.sources import pack as records
    from singac.syntax.parse import parse
    from singac.syntax.read import read

    data = resolve_data(parse(read(arguments.file)), arguments.data, _changes(arguments))
    size = records.pack(data.request, data.facts, arguments.out)
    counts = ((part, getattr(data.facts, part)) for part in ("train", "test", "validate"))
    told = ", ".join(f"{count} to {part}" for part, count in counts if count)
    print(f"{arguments.out}: {told}, {size} bytes", file=sys.stderr)
    return 0


def evaluate(arguments: Arguments) -> int:
    """Loss and metrics of a trained net over a whole part of the data."""
    from singac import trained

    model = trained.model_of(arguments.file, _alone(arguments), _data_folder())
    plan = trained.plan_of(model, arguments.part)
    folder, tester = _tester(arguments, plan, model)
    (loss, value), *metrics = tester.measure(arguments.part).items()
    examples = plan.data.examples(arguments.part)
    if arguments.json:
        measured = {loss: value, "metrics": dict(metrics)}
        told = {"format_version": "1.0", "event": arguments.part, "net": plan.net}
        where = {"checkpoint": folder, "step": tester.step, "examples": examples}
        print(json.dumps(told | where | measured))
        return 0
    values = "  ".join([f"{loss} {value:.5g}", *(f"{n} {v:.4g}" for n, v in metrics)])
    print(f"{plan.net} at step {tester.step}, {examples:,} examples to {arguments.part}: {values}")
    return 0


def predict(arguments: Arguments) -> int:
    """A file of what a layer gives for each example of a part, in the order of the data."""
    from runtime import answers
    from singac import trained

    model = trained.model_of(arguments.file, _alone(arguments), _data_folder())
    reading = trained.reading_of(model, arguments.layer)
    plan = trained.plan_of(model, arguments.part, reading)
    _, tester = _tester(arguments, plan, model)
    results = tester.results(arguments.part, reading.tensor)
    batches = answers.answered(results, reading.answer, reading.scores)
    examples = answers.write(arguments.out, reading.layer, reading.shape, batches)
    print(f"{arguments.out}: {reading.layer} of {examples:,} examples", file=sys.stderr)
    return 0


def sample(arguments: Arguments) -> int:
    """Text that a trained model of characters or words writes, as it is written."""
    from runtime import resume
    from runtime.sampler import Choice, Sampler
    from singac import sampling, trained

    model = trained.model_of(arguments.file, _alone(arguments), _data_folder())
    net = sampling.sampled(model, arguments.layer)
    prompt = net.numbers(arguments.prompt)
    folder = resume.find(Path(arguments.checkpoint), net.plan, "take params from")
    choice = Choice(arguments.temperature, arguments.seed)
    drawn = Sampler(net.plan, folder, net.scores).tokens(prompt, arguments.length, choice)
    for piece in net.written(arguments.prompt, drawn):
        print(piece, end="", flush=True)
    print()
    return 0


def _alone(arguments: Arguments) -> Choices:
    from dataclasses import replace

    return replace(choices_of(arguments), np=1, alone=True)


def _data_folder() -> str:
    from singac import warm

    return warm.data_folder()


def _tester(arguments: Arguments, plan: Plan, model: Model) -> tuple[str, Tester]:
    """The checkpoint that was found, and the net with its params."""
    from runtime import resume
    from runtime.alone import Tester
    from singac.sources.prepare import prepare

    folder = resume.find(Path(arguments.checkpoint), plan, "take params from")
    data = prepare(model.dataset.request, model.dataset.facts, _data_folder())
    return str(folder), Tester(plan, folder, data)


def checkpoint(arguments: Arguments) -> int:
    """The checkpoints at a path; exit 4 when there is none, or one that is proved unsound."""
    from runtime import inventory

    found = inventory.look(Path(arguments.path), proves=arguments.what == "verify")
    print(inventory.as_json(found) if arguments.json else inventory.as_text(found))
    return 0 if all(entry.is_sound for entry in found) else int(Exit.DAMAGED)


def list_words(arguments: Arguments) -> int:
    """The words of one table of the language."""
    from singac import words

    print(words.as_json(arguments.what) if arguments.json else words.as_text(arguments.what))
    return 0


def explain(arguments: Arguments) -> int:
    """What a code means."""
    from singac.codes import CODES
    from singac.diagnostics import did_you_mean

    code = arguments.code.upper()
    if code not in CODES:
        help = did_you_mean(code, CODES)
        message = f"there is no code {arguments.code}"
        raise Failed([Diagnostic("SG0905", message, help=help, exit=Exit.USAGE)])
    print(f"{code}: {CODES[code]}")
    return 0


VERBS: Mapping[str, Callable[[Arguments], int]] = {
    "check": check,
    "fmt": fmt,
    "plan": plan,
    "run": run,
    "bench": bench,
    "profile": profile,
    "calibrate": calibrate,
    "doctor": operating.doctor,
    "ps": operating.ps,
    "stop": operating.stop,
    "tail": operating.tail,
    "new": new,
    "eval": evaluate,
    "predict": predict,
    "sample": sample,
    "checkpoint": checkpoint,
    "pack": pack,
    "list": list_words,
    "explain": explain,
}


if __name__ == "__main__":
    sys.exit(main())
