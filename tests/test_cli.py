"""The command line's contract: verbs, streams, exit codes, JSON fields."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from singac.cli import main

ROOT = Path(__file__).parent.parent
MLP = str(ROOT / "models/mlp.singa")
WRONG = 'data d = csv("nowhere.csv")\nnet n on d { features -> dens(3) }\n'


Done = subprocess.CompletedProcess[str]


def singac(*words: str, folder: Path = ROOT) -> Done:
    """What the command does, without a process of its own to start."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            code = main(words)
        except SystemExit as end:  # of argparse
            code = int(str(end.code))
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def test_a_process_ends_with_the_code_and_the_streams_of_its_command(wrong: Path) -> None:
    command = [sys.executable, "-P", "-m", "singac.cli", "check", str(wrong)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    here = singac("check", str(wrong))
    assert (done.returncode, done.stdout, done.stderr) == (4, here.stdout, here.stderr)


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    path = tmp_path / "wrong.singa"
    path.write_text(WRONG, encoding="utf-8")
    return path


def test_a_right_file_is_passed_in_silence() -> None:
    done = singac("check", MLP)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_pack_writes_records_that_a_program_reads(tmp_path: Path) -> None:
    done = singac("pack", MLP, "-o", str(tmp_path / "digits.records"))
    assert (done.returncode, done.stdout) == (0, "")
    assert "1438 to train, 359 to test, " in done.stderr
    text = Path(MLP).read_text(encoding="utf-8")
    start, end = text.index("csv("), text.index(")\n", text.index("csv(")) + 1
    (tmp_path / "net.singa").write_text(
        text[:start] + 'records("digits.records", scale = 1/16)' + text[end:], encoding="utf-8"
    )
    assert singac("check", str(tmp_path / "net.singa")).stderr == ""


def test_pack_takes_changes_of_the_program(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pack", MLP, "--set", "digits.test=0.5", "-o", str(tmp_path / "half.records")]
    assert main(words) == 0
    assert "899 to train, 898 to test, " in capsys.readouterr().err


def test_pack_of_a_data_block_that_is_not_there(tmp_path: Path) -> None:
    done = singac("pack", MLP, "digitz", "-o", str(tmp_path / "r"))
    assert done.returncode == 2
    assert "there is no data `digitz`" in done.stderr
    assert "digits" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_check_tells_on_stderr_and_gives_the_exit_code_of_the_worst(wrong: Path) -> None:
    done = singac("check", str(wrong), MLP)
    assert done.returncode == 4
    assert done.stdout == ""
    assert "nowhere.csv" in done.stderr


def test_check_as_json_has_a_place_for_every_diagnostic(tmp_path: Path) -> None:
    path = tmp_path / "net.singa"
    path.write_text("net n on d {\n    x -> dense(3)\n}\n", encoding="utf-8")
    done = singac("check", "--format", "json", str(path))
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert told["format_version"] == "1.0"
    (diagnostic,) = told["diagnostics"]
    assert diagnostic["severity"] == "error"
    assert diagnostic["place"]["line"] == 1
    assert diagnostic["place"]["column"] == 10


# fmt: off
USAGE = {
    "no verb":            (),
    "unknown verb":       ("trian",),
    "unknown option":     ("run", MLP, "--fast"),
    "no processes":       ("run", MLP, "-np", "0"),
    "words for a number": ("run", MLP, "-np", "two"),
    "let without value":  ("plan", MLP, "--let", "hidden"),
    "unknown code":       ("explain", "SG9999"),
    "unknown process":    ("plan", MLP, "-np", "2", "--process", "2"),
    "unknown partition":  ("plan", MLP, "--partition", "hybrid"),
}
# fmt: on


@pytest.mark.parametrize("words", USAGE.values(), ids=USAGE)
def test_wrong_usage_is_exit_2(words: tuple[str, ...]) -> None:
    done = singac(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_a_cluster_that_does_not_fit_is_exit_3_with_both_numbers(tmp_path: Path) -> None:
    path = tmp_path / "net.singa"
    text = Path(MLP).read_text(encoding="utf-8").replace('"data/', f'"{ROOT}/models/data/')
    path.write_text(text + "cluster five { 1 worker group of 3\n1 server group of 2\n"
                    "servers = separate }\n", encoding="utf-8")  # fmt: skip
    done = singac("run", str(path), "-np", "4")
    assert done.returncode == 3
    assert "needs 5 processes" in done.stderr
    assert "-np gives 4" in done.stderr


def test_damaged_data_is_exit_4_before_any_process_starts(tmp_path: Path) -> None:
    whole = (ROOT / "models/data/digits.csv.gz").read_bytes()
    (tmp_path / "digits.csv.gz").write_bytes(whole[: len(whole) // 2])
    text = Path(MLP).read_text(encoding="utf-8").replace('"data/', '"')
    (tmp_path / "net.singa").write_text(text, encoding="utf-8")
    done = singac("run", "net.singa", "-np", "2", "--run-dir", "run", folder=tmp_path)
    assert done.returncode == 4
    assert "digits.csv.gz" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_label_without_a_class_is_exit_4_and_names_its_line(tmp_path: Path) -> None:
    rows = gzip.decompress((ROOT / "models/data/digits.csv.gz").read_bytes()).decode().splitlines()
    rows[6] = rows[6].rpartition(",")[0] + ",10"
    (tmp_path / "digits.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    text = Path(MLP).read_text(encoding="utf-8").replace('"data/digits.csv.gz"', '"digits.csv"')
    (tmp_path / "net.singa").write_text(text, encoding="utf-8")
    done = singac("run", "net.singa", folder=tmp_path)
    assert done.returncode == 4
    assert "label 10 at line 7" in done.stderr
    assert "fc3" in done.stderr


# -- fmt -------------------------------------------------------------------------------------------


def test_fmt_writes_in_place_and_check_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "net.singa"
    path.write_text("let  a=1\n", encoding="utf-8")
    assert singac("fmt", "--check", str(path)).returncode == 2
    assert path.read_text(encoding="utf-8") == "let  a=1\n"
    difference = singac("fmt", "--diff", str(path))
    assert difference.returncode == 2
    assert "+let a = 1" in difference.stdout
    assert singac("fmt", str(path)).returncode == 0
    assert path.read_text(encoding="utf-8") == "let a = 1\n"
    assert singac("fmt", "--check", str(path)).returncode == 0


@pytest.mark.parametrize("model", sorted((ROOT / "models").glob("*.singa")), ids=lambda p: p.stem)
def test_models_are_formatted(model: Path) -> None:
    assert singac("fmt", "--check", str(model)).returncode == 0


# -- plan ------------------------------------------------------------------------------------------


def test_plan_of_four_processes_fits_a_screen() -> None:
    lines = singac("plan", MLP, "-np", "4").stdout.splitlines()
    assert len(lines) <= 45
    assert max(map(len, lines)) <= 110


def test_plan_as_json_has_every_process() -> None:
    plan = json.loads(singac("plan", MLP, "-np", "3", "--format", "json").stdout)
    assert plan["format_version"] == "1.0"
    assert [p["rank"] for p in plan["processes"]] == [0, 1, 2]
    assert [p["rows"] for p in plan["processes"]] == [64, 64, 64]


def test_plan_goes_to_a_file(tmp_path: Path) -> None:
    out = tmp_path / "plan.txt"
    assert singac("plan", MLP, "-o", str(out)).stdout == ""
    assert out.read_text(encoding="utf-8").startswith("net mlp")


# fmt: off
STAGES = {
    "graph":     "fc2.weight 256x128",
    "partition": "fc2@1",
    "llvm":      "define i32 @",
    "asm":       ".text",
}
# fmt: on


@pytest.mark.parametrize(("stage", "shown"), STAGES.items(), ids=STAGES)
def test_every_stage_can_be_shown(stage: str, shown: str) -> None:
    done = singac("plan", MLP, "-np", "2", "--show", stage)
    assert done.returncode == 0
    assert shown in done.stdout


def test_a_let_and_a_setting_are_replaced() -> None:
    words = ("--let", "hidden=32", "--set", "train.batch=50", "--set", "data.test=0.5")
    shown = singac("plan", MLP, *words).stdout
    assert "64 x 32" in shown
    assert "batch 50" in shown
    assert "898 to test" in shown or "899 to test" in shown


def test_data_that_is_only_declared_is_planned_and_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "net.singa"
    path.write_text(
        'data images = idx("nowhere", shape = 1x5x5, classes = 3, mean = "mean.npy")\n'
        "net small on images {\n image -> a: dense(3)\n [a, label] -> softmax_loss\n}\n"
        "train small { updater = SGD(rate = 0.1)  batch = 6  steps = 10  test = every(5) }\n",
        encoding="utf-8",
    )
    assert main(["check", str(path)]) == 0
    assert capsys.readouterr().err.startswith("warning[SG0210]: the data is not there")
    assert main(["plan", str(path), "-np", "2"]) == 0
    assert "data that is not there yet" in capsys.readouterr().out
    assert main(["run", str(path), "--run-dir", str(tmp_path / "run")]) == 4
    assert "error[SG0210]: there is no such file or folder" in capsys.readouterr().err
    assert main(["pack", str(path), "-o", str(tmp_path / "out")]) == 4


def test_ctrl_c_while_the_command_is_still_being_loaded_is_the_end_without_a_traceback() -> None:
    code = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "singac.arguments":
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run where it is ignored
sys.meta_path.insert(0, Interrupting())
from singac.__main__ import main
sys.exit(main())
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
