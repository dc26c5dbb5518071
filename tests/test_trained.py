"""`singac eval`, `predict` and `checkpoint`: a trained net against NumPy and against its run."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from singac.cli import main

ROOT = Path(__file__).parent.parent
DIGITS = f'csv("{ROOT}/models/data/digits.csv.gz", scale = 1/16, test = 0.2, validate = 0.1)'
# `spare` feeds no loss, so its weight is never updated: nobody may wait for that.
PROGRAM = """
data digits = DIGITS
let hidden = 24
block squashed(units) { input -> dense(units, bias = none) -> tanh }
net mlp on digits {
    features -> a: dense(hidden) -> relu -> dropout(0.3) -> b: dense(10)
    features -> spare: squashed(10)
    [b, label] -> softmax_loss
    [b, label] -> best: accuracy
    b -> three: top_k(3)
    [spare, label] -> unlearnt: accuracy
    [a, a] -> apart: euclidean_loss
}
train mlp {
    updater = SGD(rate = 0.1, momentum = 0.9)
    batch   = 100
    steps   = 30
}
cluster two { 1 worker group of 2 }
"""
Array = np.ndarray


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache for these tests alone; gives its folder."""
    before = os.environ.get("SINGAC_CACHE")
    folder = tmp_path_factory.mktemp("cache")
    os.environ["SINGAC_CACHE"] = str(folder)
    yield folder
    os.environ["SINGAC_CACHE"] = before or str(folder)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A folder with a program and its run."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "net.singa").write_text(PROGRAM.replace("DIGITS", DIGITS), encoding="utf-8")
    words = ("run", str(folder / "net.singa"), "-np", "2", "--run-dir", str(folder / "run"))
    assert main(words) == 0
    return folder


def words(verb: str, folder: Path, *more: str) -> list[str]:
    return [verb, str(folder / "net.singa"), "--checkpoint", str(folder / "run"), *more]


def params(folder: Path) -> dict[str, Array]:
    path = folder / "run/checkpoints/step-00000030/params.safetensors"
    return {n: w.astype(np.float64) for n, w in load_file(path).items()}


def data(cache: Path, part: str, field: str) -> Array:
    """What the compiler has prepared of a part, in the order of the data."""
    (path,) = cache.glob(f"data/*/{part}.{field}.npy")
    return np.load(path).astype(np.float64)


def scores(folder: Path, x: Array) -> Array:
    w = params(folder)
    hidden = np.maximum(x @ w["a.weight"] + w["a.bias"], 0.0)
    return hidden @ w["b.weight"] + w["b.bias"]


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def predicted(folder: Path, layer: str, *more: str) -> Array:
    out = folder / "out.npz"
    assert main(words("predict", folder, "--layer", layer, "-o", str(out), *more)) == 0
    with np.load(out) as arrays:
        assert arrays.files == [layer]
        return arrays[layer]


def test_eval_measures_what_the_run_measured(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = (trained / "run/metrics.jsonl").read_text().splitlines()
    tested = [e for e in map(json.loads, events) if e["event"] == "test"][-1]
    capsys.readouterr()
    assert main(words("eval", trained, "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    assert told.pop("loss") == pytest.approx(tested["loss"], rel=1e-6)
    assert told.pop("metrics") == pytest.approx(tested["metrics"])
    assert told == {
        "format_version": "1.0", "event": "test", "net": "mlp", "step": 30, "examples": 359,
        "checkpoint": str(trained / "run/checkpoints/step-00000030"),
    }  # fmt: skip
    assert main(words("eval", trained)) == 0
    assert capsys.readouterr().out.startswith("mlp at step 30, 359 examples to test: loss ")


def test_eval_of_another_part(
    trained: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words("eval", trained, "--part", "validate", "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    label = data(cache, "validate", "label")[:, 0].astype(int)
    chances = softmax(scores(trained, data(cache, "validate", "features") / 16))
    loss = -np.log(chances[np.arange(len(label)), label]).mean()
    assert told["loss"] == pytest.approx(loss, rel=1e-5)
    assert told["metrics"]["accuracy"] == pytest.approx((chances.argmax(axis=1) == label).mean())


def test_a_layer_comes_in_the_order_of_the_data(trained: Path, cache: Path) -> None:
    for part in ("train", "test", "validate"):
        x = data(cache, part, "features") / 16
        assert len(x) % 100, "the last batch must be partial"
        np.testing.assert_array_equal(predicted(trained, "features", "--part", part), x)
        close = {"rtol": 1e-4, "atol": 1e-5}
        np.testing.assert_allclose(
            predicted(trained, "b", "--part", part), scores(trained, x), **close
        )


def test_what_a_product_carries_can_be_read(trained: Path, cache: Path) -> None:
    """Results of layers that the compiler does in passing, and of one that no loss needs."""
    w, x = params(trained), data(cache, "test", "features") / 16
    before = x @ w["a.weight"] + w["a.bias"]
    wanted = {
        "a": before, "relu": np.maximum(before, 0), "dropout": np.maximum(before, 0),
        "spare.dense": x @ w["spare.dense.weight"], "spare": np.tanh(x @ w["spare.dense.weight"]),
    }  # fmt: skip
    for layer, values in wanted.items():
        np.testing.assert_allclose(predicted(trained, layer), values, rtol=1e-4, atol=1e-5)


def test_losses_and_metrics_answer_with_probabilities_and_classes(
    trained: Path, cache: Path
) -> None:
    right = scores(trained, data(cache, "test", "features") / 16)
    chances, classes = predicted(trained, "softmax_loss"), predicted(trained, "best")
    np.testing.assert_allclose(chances, softmax(right), rtol=1e-4, atol=1e-6)
    assert classes.shape == (359,)
    np.testing.assert_array_equal(classes, right.argmax(axis=1))
    three = np.argsort(-right, axis=1, kind="stable")[:, :3]
    np.testing.assert_array_equal(predicted(trained, "three"), three)


def test_csv_reads_back_to_the_same_floats(trained: Path) -> None:
    out = trained / "out.csv"
    assert main(words("predict", trained, "--layer", "b", "-o", str(out))) == 0
    head, *lines = out.read_text(encoding="utf-8").splitlines()
    assert head == ",".join(f"b.{k}" for k in range(10))
    read = np.array([line.split(",") for line in lines], np.float32)
    np.testing.assert_array_equal(read, predicted(trained, "b"))


# fmt: off
REFUSED = {
    "unknown layer":   (("--layer", "c"), 2, "SG0908"),
    "loss of nothing": (("--layer", "apart"), 2, "`apart` has no result"),
    "another net":     (("--layer", "b", "--let", "hidden=25"), 4, "a.weight is [64, 24] there"),
    "no checkpoint":   (("--layer", "b", "--checkpoint", "nowhere"), 4, "no sound checkpoint"),
}
# fmt: on


@pytest.mark.parametrize(("more", "code", "told"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_refused(
    more: tuple[str, ...],
    code: int,
    told: str,
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out.csv"
    assert main([*words("predict", trained), *more, "-o", str(out)]) == code
    assert told in capsys.readouterr().err
    assert not out.exists()


# What was trained, what is read, and what is told of it.
CHANGED = {
    "-> relu ->": ("-> relu(slope = 0.1) ->", "`relu` is relu(slope = 0.1) { y = max(x, 0)"),
    "{ input -> dense(units, bias = none) -> tanh }": (
        "{ input -> dense(units, bias = none) -> sigmoid -> tanh }",
        "`spare.tanh` is tanh { y = tanh(x) } of spare.sigmoid",
    ),
    "b -> three: top_k(3)": ("b -> three: top_k(2)\n b -> tanh -> more: softmax", ""),
}


@pytest.mark.parametrize(("old", "new", "told"), [(k, *v) for k, v in CHANGED.items()])
def test_other_layers_with_params_of_the_same_shapes_are_worth_a_warning(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, told: str
) -> None:
    """Layers at the end give params no other meaning."""
    path = tmp_path / "net.singa"
    path.write_text(PROGRAM.replace("DIGITS", DIGITS).replace(old, new), encoding="utf-8")
    assert main(["eval", str(path), "--checkpoint", str(trained / "run")]) == 0
    err = capsys.readouterr().err
    assert told in err
    assert ("SG0924" in err) == bool(told)


def test_a_checkpoint_of_an_earlier_version_says_nothing_of_layers(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = tmp_path / "step-00000030"
    shutil.copytree(trained / "run/checkpoints" / held.name, held)
    body = json.loads((held / "manifest.json").read_text())
    body = {name: body[name] for name in body if name not in ("layers", "vocabulary", "sha256")}
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    (held / "manifest.json").write_text(json.dumps({**body, "sha256": digest}, indent=1) + "\n")
    assert main([*words("eval", trained), "--checkpoint", str(held)]) == 0
    assert capsys.readouterr().err == ""


def test_a_part_without_examples_is_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PROGRAM.replace("DIGITS", DIGITS.replace(", validate = 0.1", ""))
    (tmp_path / "net.singa").write_text(text, encoding="utf-8")
    command = ["eval", str(tmp_path / "net.singa"), "--checkpoint", str(trained / "run")]
    assert main([*command, "--part", "validate"]) == 2
    assert "it has train and test: give --part train" in capsys.readouterr().err


def test_a_changed_byte_is_exit_4(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained / "run", tmp_path / "run")
    path = tmp_path / "run/checkpoints/step-00000030/params.safetensors"
    whole = bytearray(path.read_bytes())
    whole[-5] ^= 1
    path.write_bytes(whole)
    command = ["eval", str(trained / "net.singa"), "--checkpoint", str(tmp_path / "run")]
    assert main(command) == 4
    assert "does not have its digest" in capsys.readouterr().err
    assert main(["checkpoint", "ls", str(tmp_path / "run")]) == 0
    assert main(["checkpoint", "verify", str(tmp_path / "run")]) == 4
    assert "damaged: " in capsys.readouterr().out


def test_checkpoints_are_listed_and_proved(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["checkpoint", "verify", str(trained / "run")]) == 0
    assert "mlp at step 30, 10 tensors, " in capsys.readouterr().out
    assert main(["checkpoint", "verify", str(trained / "run"), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["checkpoints"]
    assert found["state"] == "sound"
    assert found["tensors"]["v/a.weight"] == [64, 24]
    assert main(["checkpoint", "ls", str(tmp_path)]) == 4
    assert "there is no checkpoint here" in capsys.readouterr().err
