"""models/residual.singa: a block whose input feeds two layers, repeated, on real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
def test_it_learns(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "singac.cli", "run", "models/residual.singa", "--json"]
    command += ["-np", "3", "--run-dir", str(tmp_path), "--set", "train.steps=200"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    (last,) = (e for e in events if e["event"] == "test")
    assert last["metrics"]["accuracy"] >= 0.95
