"""The command line: arguments in, one call out.

The only file that sees both the compiler and the runtime. Data goes to stdout, all else to stderr.
What a verb needs is imported when it runs: a warm `run` must not load the compiler.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from singac.diagnostics import Diagnostic, Exit, Failed, as_json, show

if TYPE_CHECKING:
    from singac.model.resolve import Choices
    from singac.warm import Ready

Arguments = argparse.Namespace


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; gives its exit code."""
    arguments = _parser().parse_args(words)
    verb: Callable[[Arguments], int] = arguments.verb
    try:
        return verb(arguments)
    except Failed as failed:
        print(show(failed.diagnostics), file=sys.stderr)
        return int(failed.exit)
    except KeyboardInterrupt:
        return int(Exit.INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.FAILED)


# -- arguments -------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="singac", description="Compile and train `.singa` nets.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"singac {_version()}")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _check_arguments(_verb(verbs, "check", check, "tell every mistake of a file"))
    _fmt_arguments(_verb(verbs, "fmt", fmt, "rewrite files in canonical form"))
    _plan_arguments(_verb(verbs, "plan", plan, "show what a file compiles to"))
    _run_arguments(_verb(verbs, "run", run, "train"))
    _pack_arguments(_verb(verbs, "pack", pack, "write a data block as one file of records"))
    _list_arguments(_verb(verbs, "list", list_words, "what the language offers"))
    explain_parser = _verb(verbs, "explain", explain, "what a diagnostic's code means")
    explain_parser.add_argument("code", metavar="CODE")
    return parser


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("singac")
    except PackageNotFoundError:
        return "(not installed)"


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    call: Callable[[Arguments], int],
    summary: str,
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=summary, description=summary, allow_abbrev=False)
    parser.set_defaults(verb=call)
    return parser


def _compile_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every verb that compiles."""
    parser.add_argument("-np", type=_count, metavar="N", dest="np", help="number of processes")
    parser.add_argument("--cluster", metavar="NAME", help="the cluster block to run on")
    parser.add_argument("--partition", metavar="NAME", help="the partition block to cut by")
    parser.add_argument("--train", metavar="NET", help="only the train block of this net")
    parser.add_argument(
        "--let", metavar="K=V", type=_change, action="append", default=[], help="replace a let"
    )
    parser.add_argument(
        "--set",
        metavar="BLOCK.K=V",
        type=_change,
        action="append",
        default=[],
        help="replace a setting, as in train.steps=100",
    )


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:10]) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes")
    return int(text)


def _change(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name.strip(), value.strip()


def _check_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    _compile_arguments(parser)


def _fmt_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 2 if it would")
    parser.add_argument("--diff", action="store_true", help="change nothing; print the difference")


STAGES = ("graph", "partition", "llvm", "asm")


def _plan_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE")
    _compile_arguments(parser)
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--show", choices=STAGES, help="an earlier or later stage")
    parser.add_argument("--process", type=int, metavar="R", help="one process in detail")
    parser.add_argument("-o", dest="out", metavar="F", help="write to a file")


def _run_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE")
    _compile_arguments(parser)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="PATH",
        help="go on from a checkpoint, by default the newest of the run folder",
    )
    parser.add_argument("--run-dir", metavar="D", help="the folder of logs and checkpoints")
    parser.add_argument("--json", action="store_true", help="events as JSON lines")


def _pack_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE")
    parser.add_argument(
        "data", metavar="DATA", nargs="?", help="the data block, if not the only one"
    )
    parser.add_argument("-o", dest="out", metavar="F", required=True, help="the file to write")


WORDS = ("layers", "updaters", "schedules", "sources", "algorithms", "initialisers")


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=WORDS)
    parser.add_argument("--json", action="store_true")


def _choices(arguments: Arguments) -> Choices:
    from singac.model.program import Change
    from singac.model.resolve import Choices

    lets = tuple(Change("let", name, value) for name, value in arguments.let)
    sets = tuple(Change("set", name, value) for name, value in arguments.set)
    return Choices(
        arguments.np, arguments.cluster, arguments.partition, arguments.train, lets + sets
    )


# -- verbs -----------------------------------------------------------------------------------------


def check(arguments: Arguments) -> int:
    """Every diagnostic of every file."""
    found: list[Diagnostic] = []
    for path in arguments.files:
        found += _diagnostics(path, arguments)
    if arguments.format == "json":
        print(json.dumps({"format_version": "1.0", "diagnostics": [as_json(d) for d in found]}))
    elif found:
        print(show(found), file=sys.stderr)
    return int(Failed(found).exit) if found else 0


def _diagnostics(path: str, arguments: Arguments) -> Sequence[Diagnostic]:
    from singac import compile as compiler
    from singac.syntax.read import read
    from singac.warm import data_folder

    try:
        return compiler.check(read(path), _choices(arguments), data_folder())
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
    """The compiled partition plan, or another stage."""
    from singac import shows
    from singac.compile import compile_file
    from singac.warm import data_folder

    compiled = compile_file(arguments.file, _choices(arguments), data_folder())
    parts = [shows.stage(c, arguments.show, arguments.format, arguments.process) for c in compiled]
    text = "\n".join(parts)
    if arguments.out is None:
        print(text, end="")
        return 0
    _replace(Path(arguments.out), text)
    return 0


def run(arguments: Arguments) -> int:
    """Train every train block in turn."""
    from runtime import launch
    from runtime.job import Job
    from singac import warm

    words = _run_words(arguments)
    ready = warm.find(words) or _prepare(arguments, words)
    folder = arguments.run_dir or _run_folder(arguments.file)
    for index, one in enumerate(ready):
        run_folder = folder if len(ready) == 1 else os.path.join(folder, str(index))
        resume = arguments.resume
        job = Job(
            plan=one.plan,
            data_folder=one.data,
            run_folder=os.path.abspath(run_folder),
            processes=one.processes,
            resume=(os.path.abspath(resume or run_folder) if resume is not None else None),
            json=arguments.json,
        )
        code = launch.run(job)
        if code:
            return code
    return 0


def _run_words(arguments: Arguments) -> list[str]:
    """The part of the command line that decides the plan."""
    chosen = (arguments.np, arguments.cluster, arguments.partition, arguments.train)
    return ["run", arguments.file, *map(str, chosen), *map(str, arguments.let + arguments.set)]


def _run_folder(file: str) -> str:
    return os.path.join("runs", f"{Path(file).stem}-{time.strftime('%Y%m%d-%H%M%S')}")


def _prepare(arguments: Arguments, words: Sequence[str]) -> tuple[Ready, ...]:
    """Compile, check every byte of the data, and leave all that a run needs in the cache."""
    from singac import warm
    from singac.codegen.load import compile_all
    from singac.compile import compile_file
    from singac.plan.encode import to_json
    from singac.sources.prepare import prepare

    compiled = compile_file(arguments.file, _choices(arguments), warm.data_folder())
    plans = []
    for one in compiled:
        data = prepare(one.request, one.model.dataset.facts, warm.data_folder())
        compile_all(one.plan)
        plans.append(warm.Kept(to_json(one.plan), one.request, data, len(one.plan.processes)))
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


def pack(arguments: Arguments) -> int:
    """A file of records from one data block."""
    from singac.model.resolve import resolve_data
    from singac.sources import pack as records
    from singac.syntax.parse import parse
    from singac.syntax.read import read

    data = resolve_data(parse(read(arguments.file)), arguments.data)
    size = records.pack(data.request, data.facts, arguments.out)
    counts = ((part, getattr(data.facts, part)) for part in ("train", "test", "validate"))
    told = ", ".join(f"{count} to {part}" for part, count in counts if count)
    print(f"{arguments.out}: {told}, {size} bytes", file=sys.stderr)
    return 0


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


if __name__ == "__main__":
    sys.exit(main())
