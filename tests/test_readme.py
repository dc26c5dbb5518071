"""The README is true: its snippets compile, its commands print what it shows."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from singac.diagnostics import Source
from singac.syntax.parse import parse
from tests.readme import blocks, command

ROOT = Path(__file__).parent.parent
SINGAC = [sys.executable, "-m", "singac.cli"]


def output(line: str) -> str:
    """What the command of a `$ singac ...` line prints, both streams, in the checkout."""
    words = shlex.split(line.removeprefix("$ singac"))
    done = subprocess.run([*SINGAC, *words], cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


@pytest.mark.parametrize("block", blocks("console"), ids=lambda b: b.splitlines()[0])
def test_console_block_shows_what_the_command_prints(block: str) -> None:
    first, _, shown = block.partition("\n")
    assert output(first) == shown


@pytest.mark.parametrize("block", blocks("singa"), ids=lambda b: b.split("(")[0].strip())
def test_snippet_parses(block: str) -> None:
    assert parse(Source("README.md", block)).items


def test_the_net_shown_is_the_main_example() -> None:
    model = (ROOT / "models/mlp.singa").read_text(encoding="utf-8")
    assert model.endswith(blocks("singa")[0])


def test_the_first_command_trains_the_main_example(tmp_path: Path) -> None:
    """Without the set-up, which CI does; 100 steps of it."""
    words = shlex.split(command("run-command").rpartition("&& ")[2])
    assert words[0] == ".venv/bin/singac"
    ending = ["--set", "train.steps=100", "--run-dir", str(tmp_path / "run")]
    done = subprocess.run([*SINGAC, *words[1:], *ending], cwd=ROOT, timeout=100, check=False)
    assert done.returncode == 0
