"""Compiling on all cores ends with the process that wants the results, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15), (signal.SIGKILL, -9)]
)
def test_who_compiles_for_a_run_ends_with_it(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    words = ["run", "models/mlp.singa", "-np", "1", "--run-dir", str(tmp_path / "run")]
    run = subprocess.Popen(
        [sys.executable, "-P", "-m", "singac", *words], cwd=ROOT, text=True,
        env={**os.environ, "SINGAC_CACHE": str(tmp_path / "cache")}, stderr=subprocess.PIPE,
    )  # fmt: skip
    children: list[psutil.Process] = []
    while not children:
        assert run.poll() is None, run.communicate()[1]
        time.sleep(0.005)
        children = psutil.Process(run.pid).children()
    assert all("singac" in " ".join(child.cmdline()) for child in children)
    run.send_signal(number)
    assert psutil.wait_procs(children, timeout=5)[1] == []
    assert (run.wait(), run.communicate()[1]) == (code, "")
