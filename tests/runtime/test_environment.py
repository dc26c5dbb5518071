"""A machine or an installation that will not do: one diagnostic, exit code 3."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nets
import pytest
from running import run

from runtime.supervisor import launcher
from singac.diagnostics import Exit, Failed

OTHER_LAUNCHER = "#!/bin/sh\necho 'mpirun (Open MPI) 5.0.11'\n"


def test_a_run_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    finished = run(nets.plan(1, 1), tmp_path)
    assert finished.code == 3
    assert finished.stderr.startswith("error[SG0902]: the run folder cannot be written")
    assert str(tmp_path) in finished.stderr
    assert finished.seconds < 5


def test_the_launcher_of_another_mpi_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "mpiexec"
    other.write_text(OTHER_LAUNCHER)
    other.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setattr(launcher.sysconfig, "get_path", lambda name: str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Failed) as failure:
        launcher.find()
    assert failure.value.exit is Exit.ENVIRONMENT
    assert f"{other} belongs to another MPI" in failure.value.diagnostics[0].message


def test_processes_that_do_not_see_each_other_end_the_run(tmp_path: Path) -> None:
    """Another MPI's launcher starts so many worlds of one."""
    script = tmp_path / "launcher"
    options = 'until [ "$1" = -n ]; do shift; done\nshift 2\n'
    script.write_text(f'#!/bin/sh\n{options}unset PMI_RANK PMI_FD PMI_SIZE\n"$@"\n')
    script.chmod(0o755)
    finished = run(nets.plan(2, 2), tmp_path / "run", LAUNCHER=str(script))
    assert finished.code == 3
    assert "2 processes were started and MPI sees 1" in finished.stderr
    assert finished.seconds < 5


def test_a_run_that_needs_more_memory_than_there_is_is_refused(tmp_path: Path) -> None:
    plan = nets.plan(2, 2)
    huge = [replace(p, memory=replace(p.memory, arena=10**15)) for p in plan.processes]
    finished = run(replace(plan, processes=tuple(huge)), tmp_path)
    assert finished.code == 3
    assert "of memory and this run needs 2,000,000.0 GB of it" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_a_folder_named_like_the_runtime_shadows_nothing(tmp_path: Path) -> None:
    (tmp_path / "runtime").mkdir()
    (tmp_path / "runtime" / "__init__.py").write_text("raise SystemExit('the wrong one')\n")
    finished = run(nets.plan(1, 1), tmp_path / "run", working_folder=tmp_path)
    assert finished.code == 0


def test_the_supervisor_starts_without_numpy() -> None:
    modules = "sys, runtime.supervisor.launch, runtime.supervisor.supervise"
    code = f"import {modules}; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_process_imports_nothing_of_the_compiler() -> None:
    code = (
        "import sys, runtime.rank, runtime.process.assembly\n"
        "names = 'lark networkx rich llvmlite.binding singac.syntax.tree'.split()\n"
        "found = [name for name in names if name in sys.modules]\n"
        "sys.exit(', '.join(found) or 0)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_no_process_of_a_first_run_needs_llvm(tmp_path: Path) -> None:
    """All that they load was compiled before they began."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'runtime.rank' in sys.orig_argv:\n"
        "    sys.modules['llvmlite.binding'] = None\n"
    )
    (tmp_path / "points.csv").write_text("".join(f"{k},{k % 3}\n" for k in range(8)))
    (tmp_path / "line.singa").write_text(
        'data points = csv("points.csv")\n'
        "net line on points { features -> out: dense(1)  [out, label] -> euclidean_loss }\n"
        "train line { algorithm = BP  updater = SGD(rate = 0.1)  batch = 4  steps = 2 }\n"
    )
    ended = subprocess.run(
        [sys.executable, "-m", "singac.cli", "run", "line.singa", "-np", "2", "--run-dir", "run"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "SINGAC_CACHE": str(tmp_path / "cache")},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
