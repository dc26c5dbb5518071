"""Every model of `models/`, whether its data is there or not: checked, formatted, planned, run.

For a run, data that the repository does not hold is made up, small and of the declared shape, and
`--set NAME.path=...` leads there.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from singac.cli import main
from singac.compile import compile_file
from singac.diagnostics import Report
from singac.model.arguments import collect
from singac.model.choices import Choices
from singac.model.program import Blocks, Change, gather
from singac.plan.plan import Plan
from singac.sources.kind import Request
from singac.sources.probe import request_of
from singac.sources.table import SOURCES
from singac.syntax.parse import parse
from singac.syntax.read import read
from tests import small_data

ROOT = Path(__file__).parent.parent
EVERY = sorted((ROOT / "models").glob("*.singa"))
CLUSTERS = ROOT / "models/clusters.singa"  # has one to choose
MODELS = [path for path in EVERY if path != CLUSTERS]
# fmt: off
FRAMEWORKS = {
    "sandblaster":        ("Sandblaster",         5),
    "allreduce":          ("AllReduce",           4),
    "downpour":           ("Downpour",            4),
    "distributed_hogwild": ("Distributed Hogwild", 3),
    "hogwild":            ("in-memory Hogwild",   1),
    "hybrid":             ("hybrid",              2),
}
# fmt: on
STEPS = 3
# What makes a run of a large model short.
SMALLER = {
    "alexnet": ["--let", "units=32"],
    "resnet": ["--let", "depth=2"],
    "vgg": ["--let", "units=32"],
}


def names(path: Path) -> str:
    return path.stem


def blocks_of(path: Path) -> Blocks:
    return gather(parse(read(path)), (), Report())


def data_of(path: Path) -> dict[str, Request]:
    """The data blocks of a model, by name."""
    blocks, report, found = blocks_of(path), Report(), {}
    for name, data in blocks.data.items():
        kind = data.call.path.text
        table = SOURCES[kind].settings
        given = collect(data.call.arguments, table, blocks.scope, report, ())
        request = request_of(kind, given.given, data.call.span, report)
        assert request is not None, report.found
        found[name] = request
    return found


def made_up(path: Path, folder: Path, needed: bool) -> list[Change]:
    """What leads to small data instead of what is not in the repository.

    With `needed`, only where a block does not declare enough to compile without.
    """
    changes = []
    for name, request in data_of(path).items():
        is_here = Path(request.text("path")).resolve().is_relative_to(ROOT / "models")
        if (is_here and Path(request.text("path")).exists()) or (needed and declares(request)):
            continue
        there = small_data.write(request, folder / name)
        changes.append(Change("set", f"{name}.path", f'"{there}"'))
        if isinstance(request.get("mean"), str) and request.get("mean") != "computed":
            changes.append(Change("set", f"{name}.mean", "0"))
    return changes


def declares(request: Request) -> bool:
    """Whether a block says enough to compile before its data is there."""
    said = request.get("shape"), request.get("classes")
    return SOURCES[request.kind].declared is not None and None not in said


def words(changes: Sequence[Change]) -> list[str]:
    return [w for c in changes for w in (f"--{c.option}", f"{c.name}={c.value}")]


@pytest.mark.parametrize("path", EVERY, ids=names)
def test_it_says_what_it_shows_and_is_formatted(path: Path) -> None:
    first, second, *_ = path.read_text(encoding="utf-8").splitlines()
    assert first.startswith("# ")
    assert first.endswith(".")
    assert second == "#"
    assert main(["fmt", "--check", str(path)]) == 0


@pytest.mark.parametrize("path", MODELS, ids=names)
def test_it_checks(path: Path, tmp_path: Path) -> None:
    changes = made_up(path, tmp_path, needed=True)
    assert main(["check", str(path), *words(changes)]) == 0


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "processes", [pytest.param(1, marks=SLOW), 4, pytest.param(16, marks=SLOW)]
)
@pytest.mark.parametrize("path", MODELS, ids=names)
def test_it_plans(path: Path, processes: int, tmp_path: Path) -> None:
    changes = tuple(made_up(path, tmp_path, needed=True))
    plans = [c.plan for c in compile_file(str(path), Choices(np=processes, changes=changes))]
    assert all(len(plan.processes) == processes for plan in plans)
    assert all(_all_rows(plan) == plan.training.batch for plan in plans)


def test_clusters_are_called_what_they_are() -> None:
    assert list(blocks_of(CLUSTERS).clusters) == list(FRAMEWORKS)
    for name, (framework, processes) in FRAMEWORKS.items():
        (compiled,) = compile_file(str(CLUSTERS), Choices(cluster=name))
        topology = compiled.plan.topology
        assert (topology.framework, topology.processes) == (framework, processes)


def _all_rows(plan: Plan) -> int:
    groups = plan.topology.worker_groups
    return sum(p.rows for p in plan.processes) // groups


@pytest.mark.slow
@pytest.mark.parametrize("path", MODELS, ids=names)
def test_it_trains_on_small_data(path: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "singac.cli", "run", str(path), "-np", "2", "--json"]
    command += ["--run-dir", str(tmp_path / "run"), "--set", "train.display=1"]
    command += ["--set", f"train.steps={STEPS}", "--set", "train.batch=6", "--set", "train.test=3"]
    command += words(made_up(path, tmp_path, needed=False)) + SMALLER.get(path.stem, [])
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    steps = [e for e in events if e["event"] == "step"]
    assert len(steps) == STEPS * len(blocks_of(path).trains)
    assert all(math.isfinite(e["loss"]) for e in steps)
