"""What `singac run` prints for people: every line the program asks for, and a bar on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-P", "-m", "singac.cli", "run", "line.singa", "--run-dir", "run"]
PROGRAM = """
data points = csv("points.csv")
net line on points { features -> out: dense(1)  [out, label] -> euclidean_loss }
train line { updater = SGD(rate = 0.001)  batch = 4  steps = 40  display = every(10) }
"""


def start(folder: Path, out: int) -> subprocess.Popen[bytes]:
    """A short run whose standard output is `out`."""
    (folder / "line.singa").write_text(PROGRAM)
    (folder / "points.csv").write_text("".join(f"{k},{k % 3},{k % 2}.5\n" for k in range(8)))
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120"}
    return subprocess.Popen(COMMAND, cwd=folder, env=variables, stdout=out)


def test_a_log_has_a_line_for_every_step_that_is_displayed(tmp_path: Path) -> None:
    with start(tmp_path, subprocess.PIPE) as run:
        assert run.stdout is not None, "it was asked for"
        lines = run.stdout.read().decode().splitlines()
    assert run.returncode == 0
    steps = [line.split()[1] for line in lines if line.startswith("step ")]
    assert steps == ["10", "20", "30", "40"]
    assert lines[-1].startswith("ok: 40 steps in ")


def test_a_terminal_has_a_bar_that_ends_full_and_a_closing_line(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with start(tmp_path, theirs) as run:
        os.close(theirs)
        shown = everything(ours)
    assert run.returncode == 0
    assert "line: 1 process, 1 worker, 1 server (AllReduce)" in shown
    last_bar, closing = shown[shown.rindex("40/40") :], shown.splitlines()[-1]
    assert "loss" in last_bar
    assert "ok: 40 steps in " in closing


def everything(terminal: int) -> str:
    """All that is written to a terminal until its other side is closed."""
    parts = []
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # how Linux tells that nobody holds the other side
            break
        parts.append(part)
    os.close(terminal)
    return b"".join(parts).decode()
