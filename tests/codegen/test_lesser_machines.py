"""The kernel tests again, for machines that have less than this one."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from singac.codegen.host import ISA_VARIABLE

FOLDER = Path(__file__).parent
MOST_SECONDS = 600


@pytest.mark.slow
@pytest.mark.timeout(MOST_SECONDS)
@pytest.mark.skipif(platform.machine() != "x86_64", reason="these are x86 machines")
@pytest.mark.parametrize("isa", ["avx2", "baseline"])
def test_kernels_are_right_without(isa: str) -> None:
    """With 256-bit vectors and 16 registers, and with those of the first x86-64 processors."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(FOLDER)]
    environment = {**os.environ, ISA_VARIABLE: isa}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=MOST_SECONDS
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
