"""The command line's verbs and options, as argparse has them."""

from __future__ import annotations

import argparse
import math
import shlex
from pathlib import Path
from typing import NoReturn

from singac.diagnostics import Diagnostic, Exit, Failed


def parser() -> argparse.ArgumentParser:
    """Gives arguments whose `verb` is the name of one."""
    parser = argparse.ArgumentParser(
        prog="singac", description="Compile and train `.singa` nets.", allow_abbrev=False
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="tell the version")
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _check_arguments(_verb(verbs, "check", "tell every mistake of a file"))
    _fmt_arguments(_verb(verbs, "fmt", "rewrite files in canonical form"))
    _plan_arguments(_verb(verbs, "plan", "show what a file compiles to"))
    _run_arguments(_verb(verbs, "run", "train"))
    _bench_arguments(_verb(verbs, "bench", "time training steps, reading of data included"))
    _profile_arguments(_verb(verbs, "profile", "tell what kernels take and where steps wait"))
    _eval_arguments(_verb(verbs, "eval", "measure a trained net, in one process"))
    _predict_arguments(
        _verb(verbs, "predict", "write what a layer of a trained net gives, in one process")
    )
    _sample_arguments(
        _verb(verbs, "sample", "write text by a trained model of characters or words")
    )
    _look_arguments(_verb(verbs, "checkpoint", "look at checkpoints"))
    _pack_arguments(_verb(verbs, "pack", "write a data block as one file of records"))
    _list_arguments(_verb(verbs, "list", "what the language offers"))
    _job_arguments(verbs)
    _doctor_arguments(_verb(verbs, "doctor", "tell what a run will find on this machine"))
    _calibrate_arguments(_verb(verbs, "calibrate", "measure the rates that decide what is on auto"))
    _verb(verbs, "new", "write a small program to start from, and data for it").add_argument(
        "name", metavar="NAME"
    )
    _verb(verbs, "explain", "what a diagnostic's code means").add_argument("code", metavar="CODE")
    return parser


class _Version(argparse.Action):
    """Looked up when it is asked for: what knows versions takes long to load."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        print(f"singac {_version()}")
        parser.exit()


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("singac")
    except PackageNotFoundError:
        return "(not installed)"


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, summary: str
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=summary, description=summary, allow_abbrev=False)
    parser.set_defaults(verb=name)
    return parser


def _compile_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every verb that compiles."""
    parser.add_argument("-np", type=_count, metavar="N", dest="np", help="number of processes")
    parser.add_argument("--cluster", metavar="NAME", help="the cluster block to run on")
    parser.add_argument(
        "--partition",
        metavar="NAME",
        help="the partition block to cut by; `batch` puts all on batch, `auto` chooses",
    )
    parser.add_argument(
        "--calibration", metavar="F", help="rates that decide what is on auto; `built-in` for none"
    )
    parser.add_argument("--train", metavar="NET", help="only the train block of this net")
    _change_arguments(parser)


def _change_arguments(parser: argparse.ArgumentParser) -> None:
    """What replaces values of the program."""
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


def against(arguments: argparse.Namespace) -> argparse.Namespace:
    """What `plan --diff` compares with: the same command, with a file or options replaced.

    Raises `Failed` for words that are none of the plan verb.
    """
    parser = _Quiet("plan --diff", add_help=False)
    parser.add_argument("file", nargs="?", default=arguments.file)
    _compile_arguments(parser)
    try:
        words = shlex.split(arguments.diff)
    except ValueError as error:
        parser.error(str(error).lower())
    replaced = parser.parse_args(words)
    options = vars(replaced).items()
    given = {k: v for k, v in options if v not in (None, [])}
    for several in ("let", "set"):
        given[several] = [*getattr(arguments, several), *getattr(replaced, several)]
    return argparse.Namespace(**{**vars(arguments), **given})


class _Quiet(argparse.ArgumentParser):
    """A parser of an option's value: mistakes are diagnostics."""

    def error(self, message: str) -> NoReturn:
        help = "a .json or .singa file, options, or both: --diff 'other.singa -np 8'"
        text = f"--diff is not understood: {message}"
        raise Failed([Diagnostic("SG0605", text, help=help, exit=Exit.USAGE)])


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:10]) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes")
    return int(text)


def _restarts(text: str) -> int:
    if not text.isdecimal() or int(text[:10]) > 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of restarts")
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


LAUNCHERS = ("ssh", "rsh", "fork", "slurm", "ll", "lsf", "sge", "persist")
PLAN_FORMATS = ("text", "json", "dot", "html")
STAGES = ("graph", "partition", "llvm", "asm")


def _plan_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a .singa file, or a plan as .json")
    _compile_arguments(parser)
    parser.add_argument("--format", choices=PLAN_FORMATS, default="text")
    parser.add_argument("--show", choices=STAGES, help="an earlier or later stage")
    parser.add_argument("--process", type=int, metavar="R", help="one process in detail")
    parser.add_argument(
        "--analyze", action="store_true", help="run some steps, and tell measured beside expected"
    )
    parser.add_argument("--tensor", metavar="T", help="where the pieces of a param or layer lie")
    parser.add_argument(
        "--diff",
        metavar="OTHER",
        help="what differs from another plan: a .json or .singa file, or this file with other "
        "options, as in --diff '-np 8'; exit 1 if anything does",
    )
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
    parser.add_argument(
        "--max-restarts",
        metavar="N",
        type=_restarts,
        default=0,
        help="begin again from the last checkpoint, up to N times, when a process fails",
    )
    _host_arguments(parser)
    parser.add_argument("--json", action="store_true", help="events as JSON lines")
    parser.add_argument(
        "--trace", metavar="F", help="write what every process did when, for Chrome or Perfetto"
    )


def _job_arguments(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    ps = _verb(verbs, "ps", "the jobs of this user that are running on this machine")
    stop = _verb(verbs, "stop", "let a job write a checkpoint and end")
    tail = _verb(verbs, "tail", "follow what a job tells until it ends")
    for parser in (stop, tail):
        parser.add_argument("run", metavar="RUN", help="the run folder of the job")
    ps.add_argument("--json", action="store_true", help="one JSON object")
    tail.add_argument("--json", action="store_true", help="events as JSON lines")


def _doctor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-np", type=_count, metavar="N", dest="np", default=2, help="number of processes [2]"
    )
    _host_arguments(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _host_arguments(parser: argparse.ArgumentParser) -> None:
    """Where processes run, if not on this machine."""
    hosts = parser.add_mutually_exclusive_group()
    hosts.add_argument("-H", metavar="A:4,B:4", dest="hosts", help="hosts, and slots of each")
    hosts.add_argument("--hostfile", metavar="F", help="a file with a host on each line")
    parser.add_argument(
        "--launcher", choices=LAUNCHERS, default="ssh", help="how a host is reached [ssh]"
    )
    parser.add_argument(
        "--launcher-exec", metavar="P", default="", help="the program to reach it with"
    )


def _bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE")
    _compile_arguments(parser)
    parser.add_argument("--steps", type=_steps, metavar="K", default=100, help="how many [100]")
    parser.add_argument("--json", action="store_true", help="one JSON object a train block")


def _profile_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE")
    _compile_arguments(parser)
    parser.add_argument("--steps", type=_steps, metavar="K", default=20, help="how many [20]")
    parser.add_argument(
        "--process", type=int, metavar="R", default=0, help="whose kernels are told [0]"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a train block")


def _steps(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:10]) <= 100_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of steps")
    return int(text)


def _eval_arguments(parser: argparse.ArgumentParser) -> None:
    _checkpoint_arguments(parser)
    _part_argument(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _predict_arguments(parser: argparse.ArgumentParser) -> None:
    _checkpoint_arguments(parser)
    _part_argument(parser)
    parser.add_argument(
        "--layer",
        metavar="L",
        required=True,
        help="the layer; a softmax_loss gives probabilities, an accuracy the predicted class",
    )
    parser.add_argument(
        "-o", dest="out", metavar="F", type=_table, required=True, help="a .csv or .npz file"
    )


PARTS = ("train", "test", "validate")


def _checkpoint_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of verbs that take a trained net; -np and a cluster change nothing for them."""
    parser.add_argument("file", metavar="FILE")
    _compile_arguments(parser)
    parser.add_argument(
        "--checkpoint",
        metavar="P",
        required=True,
        help="a checkpoint; or a run folder, whose newest is taken",
    )


def _part_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--part", choices=PARTS, default="test", help="of the data")


def _sample_arguments(parser: argparse.ArgumentParser) -> None:
    _checkpoint_arguments(parser)
    parser.add_argument("--prompt", metavar="TEXT", default="", help="what it goes on from")
    parser.add_argument(
        "--length", metavar="N", type=_length, default=500, help="characters or words [500]"
    )
    parser.add_argument(
        "--temperature",
        metavar="T",
        type=_temperature,
        default=1.0,
        help="below 1 what is likely is likelier, at 0 the likeliest is always taken [1]",
    )
    parser.add_argument(
        "--seed", metavar="S", type=_seed, default=0, help="another gives another text [0]"
    )
    parser.add_argument(
        "--layer", metavar="L", help="the softmax_loss of what comes next, if there are several"
    )


def _length(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text[:10]) <= 100_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of characters or words")
    return int(text)


def _temperature(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return value


def _seed(text: str) -> int:
    if not text.isdecimal() or len(text) > 19:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at most 19 digits")
    return int(text)


TABLES = (".csv", ".npz")


def _table(text: str) -> Path:
    path = Path(text)
    if path.suffix not in TABLES:
        raise argparse.ArgumentTypeError(f"{text!r} does not end in {' or '.join(TABLES)}")
    return path


def _look_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("ls", "verify"), help="list them, or prove every byte")
    parser.add_argument("path", metavar="PATH", help="a checkpoint, or a run folder")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _pack_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE")
    parser.add_argument(
        "data", metavar="DATA", nargs="?", help="the data block, if not the only one"
    )
    _change_arguments(parser)
    parser.add_argument("-o", dest="out", metavar="F", required=True, help="the file to write")


def _calibrate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", dest="out", metavar="F", help="a file of their own, not the user's")
    parser.add_argument("--json", action="store_true", help="one JSON object")


WORDS = ("layers", "updaters", "schedules", "sources", "algorithms", "initialisers")


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=WORDS)
    parser.add_argument("--json", action="store_true")
