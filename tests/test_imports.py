"""Imports point only left, and a process imports no more than it needs."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A module may import what stands left of it, and its neighbours within one package. Modules that
# share a place are packages or files that do not know each other, unless they are one package.
ORDER = (
    ("singac.diagnostics",),
    ("singac.settings",),
    ("singac.schedules", "singac.initialisers", "singac.saved"),
    ("singac.syntax", "grammar"),
    ("singac.layers",),
    ("singac.sources",),
    ("singac.model",),
    ("singac.partition",),
    ("singac.plan",),
    ("singac.report",),
    ("singac.codegen",),
    ("singac.compile", "singac.warm", "singac.words", "singac.codes", "runtime"),
    ("singac.arguments",),
    ("singac.verbs",),
    ("singac.cli",),
    ("singac.__main__",),
)
PLACES = {name: place for place, names in enumerate(ORDER) for name in names}
FILES = sorted(p for top in ("singac", "runtime", "grammar") for p in (ROOT / top).rglob("*.py"))

HEAVY = ("lark", "networkx", "rich", "argparse")
COMPILER = (
    "singac.syntax", "singac.sources", "singac.model.net", "singac.model.resolve",
    "singac.partition.partition", "singac.plan.project", "singac.plan.order", "singac.plan.verify",
    "singac.codegen.ir", "singac.codegen.stretch", "singac.compile", "singac.cli",
)  # fmt: skip


def unit_of(module: str) -> str | None:
    """The entry of ORDER a module belongs to; None for modules of others."""
    parts = module.split(".")
    return next((n for n in (".".join(parts[:2]), parts[0]) if n in PLACES), None)


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, at its top or inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} imports relatively"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_left(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    if module == "singac.__init__":
        assert not list(imports(path))
        return
    own = unit_of(module)
    assert own is not None, f"{module} has no place in the order"
    ours = [n for n in imports(path) if n.split(".")[0] in ("singac", "runtime", "grammar")]
    units = {name: unit_of(name) for name in ours}
    assert None not in units.values(), f"{module} imports what has no place: {units}"
    wrong = [n for n, u in units.items() if u != own and PLACES[str(u)] >= PLACES[own]]
    assert not wrong, f"{module} imports {wrong}"


FOLDERS = {  # of the runtime, and the others that each may import
    "checkpoints": (),
    "transport": ("checkpoints",),
    "process": ("checkpoints", "transport"),
    "supervisor": ("checkpoints",),
}


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_of_the_runtime_know_only_those_below_them(folder: str) -> None:
    for path in sorted((ROOT / "runtime" / folder).glob("*.py")):
        known = [n.split(".")[1] for n in imports(path) if n.startswith("runtime.")]
        wrong = [n for n in known if n in FOLDERS and n not in (folder, *FOLDERS[folder])]
        assert not wrong, f"{path.name} imports from {wrong}"


def loaded_by(code: str) -> set[str]:
    """Modules in a fresh interpreter after it ran the code."""
    script = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{code}\nprint(*sys.modules)"
    run = subprocess.run(
        [sys.executable, "-P", "-c", script],
        capture_output=True, text=True, check=True, timeout=60, env=os.environ | {"PYTHONPATH": ""},
    )  # fmt: skip
    return set(run.stdout.split())


def test_a_rank_imports_no_compiler() -> None:
    """All that a process imports before and after it has met the others."""
    loaded = loaded_by("import runtime.rank, runtime.process.assembly, runtime.process.chief")
    assert "runtime.process.session" in loaded
    assert not loaded & {*HEAVY, *COMPILER}


def test_a_start_of_the_command_line_imports_little() -> None:
    loaded = loaded_by("import singac.cli, singac.warm\nsingac.arguments.parser()")
    assert "singac.warm" in loaded
    assert not loaded & {"numpy", "lark", "networkx", "rich", "llvmlite", "mpi4py"}
