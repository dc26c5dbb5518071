"""`param ... from checkpoint`: a net that goes on with what another has learnt."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from singac.cli import main

pytestmark = pytest.mark.slow

DIGITS = Path(__file__).parent.parent / "models/data/digits.csv.gz"
FIRST = f"""
data digits = csv("{DIGITS}", scale = 1/16, test = 0.2)
net first on digits {{
    param w ~ gaussian(std = 0.1)
    param b, c ~ constant(0)
    features -> dense(20, weight = w, bias = c) -> sigmoid
             -> decode: dense(64, weight = w', bias = b) -> recon: sigmoid
    [recon, features] -> euclidean_loss
}}
train first {{ updater = SGD(rate = 0.1)  batch = 100  steps = 12  checkpoint = every(6) }}
"""
# Nothing moves at a rate of 0: what the run saves is what it started from.
SECOND = """
net second on digits {
    param w, c from checkpoint ORIGIN
    features -> dense(20, weight = w, bias = c) -> sigmoid -> fc: dense(10)
    [fc, label] -> softmax_loss
}
train second { updater = SGD(rate = 0)  batch = 100  steps = 1 }
"""
BOTH = FIRST + SECOND.replace("ORIGIN", "first")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with both trains' run, on two processes."""
    folder, before = tmp_path_factory.mktemp("chained"), os.environ.get("SINGAC_CACHE")
    os.environ["SINGAC_CACHE"] = str(folder / "cache")
    path = program(folder, BOTH)
    assert main(["run", path, "-np", "2", "--run-dir", str(folder / "run")]) == 0
    yield folder
    os.environ.pop("SINGAC_CACHE")
    if before is not None:
        os.environ["SINGAC_CACHE"] = before


def program(folder: Path, text: str) -> str:
    path = folder / "net.singa"
    path.write_text(text, encoding="utf-8")
    return str(path)


def params(run: Path, step: int) -> dict[str, np.ndarray]:
    return load_file(run / f"checkpoints/step-{step:08d}/params.safetensors")


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    capsys.readouterr()
    return main(words), capsys.readouterr().err


def test_a_train_starts_from_the_one_before(folder: Path) -> None:
    first, second = params(folder / "run/first", 12), params(folder / "run/second", 1)
    assert np.abs(first["w"] - params(folder / "run/first", 6)["w"]).max() > 1e-3
    for name in ("w", "c"):
        np.testing.assert_array_equal(second[name], first[name])
    assert sorted(second) == ["c", "fc.bias", "fc.weight", "w"]


def test_one_train_alone_finds_the_other_in_the_run_folder(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A damaged checkpoint is passed over; then the one before is the newest sound one."""
    run = shutil.copytree(folder / "run", folder / "damaged")
    newest = run / "first/checkpoints/step-00000012/params.safetensors"
    newest.write_bytes(newest.read_bytes()[:-1])
    words = ("run", program(folder, BOTH), "--train", "second", "--run-dir", str(run))
    code, err = told(capsys, *words)
    assert code == 0
    assert "SG0920" in err
    sound = params(run / "first", 6)["w"]
    np.testing.assert_array_equal(params(run / "second", 1)["w"], sound)
    older = run / "first/checkpoints/step-00000006/manifest.json"
    older.write_text("{}")
    code, err = told(capsys, *words)
    assert code == 4
    assert "SG0921" in err


def test_a_train_without_a_checkpoint_yet(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Checking and planning need none; a run says what to do."""
    path = program(folder, BOTH)
    assert main(["check", path]) == 0
    assert main(["plan", path, "-np", "4", "-o", str(folder / "plan.txt")]) == 0
    code, err = told(
        capsys, "run", path, "--train", "second", "--run-dir", str(folder / "new")
    )  # fmt: skip
    assert code == 4
    assert "`first` has left no checkpoint" in err
    assert "--run-dir" in err


def test_a_path_is_relative_to_the_program(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = FIRST[: FIRST.index("net first")]
    path = program(folder, data + SECOND.replace("ORIGIN", '"run/first"'))
    assert main(["run", path, "--run-dir", str(folder / "third")]) == 0
    first, third = params(folder / "run/first", 12), params(folder / "third", 1)
    np.testing.assert_array_equal(third["w"], first["w"])
    capsys.readouterr()
    words = ("eval", path, "--checkpoint", str(folder / "third"), "--json")
    assert main(words) == 0, "what is tested needs no other checkpoint than its own"
    assert json.loads(capsys.readouterr().out)["step"] == 1


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (('"run/first"', '"run/none"'), "SG0169", "run/none"),
        (("dense(20", "dense(30"), "SG0168", "64x30 here, 64x20 there"),
        (("w, c from", "w, d from"), "SG0168", "has no param `d`"),
    ],
)
def test_what_is_not_there_is_told_before_anything_runs(
    folder: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], code: str, said: str
) -> None:
    text = FIRST[: FIRST.index("net first")] + SECOND.replace("ORIGIN", '"run/first"')
    text = text.replace(*change).replace(
        "bias = c", "bias = d" if change[1] == "w, d from" else "bias = c"
    )
    exit, err = told(capsys, "check", program(folder, text))
    assert exit == 4
    assert code in err
    assert said in err
    assert "from checkpoint" in err


def test_params_of_layers_are_taken_by_their_names(folder: Path) -> None:
    """Those of the second net, whose dense layers have their own names."""
    text = (
        BOTH
        + """
net third on digits {
    param fc.weight, fc.bias from checkpoint second
    param dense.weight       ~ gaussian(std = 0.5)
    features -> dense(20, bias = none) -> fc: dense(10, weight.lr_scale = 0)
    [fc, label] -> softmax_loss
}
train third { updater = SGD(rate = 0)  batch = 100  steps = 1 }
"""
    )
    words = ("run", program(folder, text), "--train", "third", "--run-dir", str(folder / "run"))
    assert main(words) == 0
    second, third = params(folder / "run/second", 1), params(folder / "run/third", 1)
    for name in ("fc.weight", "fc.bias"):
        np.testing.assert_array_equal(third[name], second[name])
    assert third["dense.weight"].std() == pytest.approx(0.5, rel=0.1)


def test_a_resumed_run_begins_what_had_not_begun(folder: Path) -> None:
    run = shutil.copytree(folder / "run", folder / "interrupted")
    shutil.rmtree(run / "second")
    path = program(folder, BOTH)
    assert main(["run", path, "--run-dir", str(run), "--resume"]) == 0
    expected = params(folder / "run/second", 1)
    for name, value in params(run / "second", 1).items():
        np.testing.assert_array_equal(value, expected[name])
