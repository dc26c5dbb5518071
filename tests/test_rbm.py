"""A stack of RBMs and the autoencoder they unroll into, from end to end on two processes."""

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
PROGRAM = f"""
data digits = csv("{DIGITS}", scale = 1/16, test = 0.2)

net lower on digits {{
    param w ~ gaussian(std = 0.1)
    param b, c ~ constant(0)
    features -> vis: rbm_visible(64, weight = w', bias = b)
    vis <-> hid: rbm_hidden(40, weight = w, bias = c)
}}
net upper on digits {{
    param w, b, c from checkpoint lower
    param v ~ gaussian(std = 0.1)
    param d, e ~ constant(0)
    features -> below: rbm_visible(64, bias = b) <-> mid: rbm_hidden(40, weight = w, bias = c)
             -> vis: rbm_visible(40, bias = d)
    vis <-> hid: rbm_hidden(12, kind = gaussian, weight = v, bias = e)
}}
net unrolled on digits {{
    param w, b, c, v, d, e from checkpoint upper
    features -> dense(40, weight = w, bias = c) -> sigmoid -> code: dense(12, weight = v, bias = e)
             -> dense(40, weight = v', bias = d) -> sigmoid
             -> dense(64, weight = w', bias = b) -> again: sigmoid
    [again, features] -> euclidean_loss
}}
train lower {{
    algorithm = CD(1)  updater = SGD(rate = 0.1, momentum = 0.5)  batch = 100  steps = 60
    test = every(10)  checkpoint = every(30)
}}
train upper {{
    algorithm = CD(2)  updater = SGD(rate = 0.01, momentum = 0.5)  batch = 100  steps = 60
    test = every(10)
}}
train unrolled {{ updater = AdaGrad(rate = 0.01)  batch = 100  steps = 20  test = every(10) }}
"""
Array = np.ndarray


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the program and its run."""
    folder, before = tmp_path_factory.mktemp("stack"), os.environ.get("SINGAC_CACHE")
    os.environ["SINGAC_CACHE"] = str(folder / "cache")
    (folder / "net.singa").write_text(PROGRAM, encoding="utf-8")
    assert main(["run", program(folder), "-np", "2", "--run-dir", str(folder / "run")]) == 0
    yield folder
    os.environ.pop("SINGAC_CACHE")
    if before is not None:
        os.environ["SINGAC_CACHE"] = before


def program(folder: Path) -> str:
    return str(folder / "net.singa")


def params(run: Path, step: int) -> dict[str, Array]:
    return load_file(run / f"checkpoints/step-{step:08d}/params.safetensors")


def losses(folder: Path, net: str) -> list[float]:
    lines = (folder / "run" / net / "metrics.jsonl").read_text().splitlines()
    return [e["loss"] for e in map(json.loads, lines) if e["event"] == "test"]


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def images_of(folder: Path) -> Array:
    (path,) = (folder / "cache/data").glob("*/test.features.npy")
    return np.load(path).astype(np.float64) / 16


def predicted(folder: Path, net: str, layer: str) -> Array:
    out = folder / "out.npz"
    words = ["predict", program(folder), "--train", net, "--checkpoint", str(folder / "run")]
    assert main([*words, "--layer", layer, "-o", str(out)]) == 0
    with np.load(out) as arrays:
        return arrays[layer]


def test_the_error_of_every_reconstruction_falls(folder: Path) -> None:
    for net in ("lower", "upper", "unrolled"):
        first, *_, last = losses(folder, net)
        assert last < 0.96 * first, net


def test_what_is_below_stays_as_it_was(folder: Path) -> None:
    lower, upper = params(folder / "run/lower", 60), params(folder / "run/upper", 60)
    for name, value in lower.items():
        np.testing.assert_array_equal(upper[name], value)


def test_visible_units_are_read_as_their_reconstruction(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, images = params(folder / "run/lower", 60), images_of(folder)
    hidden = sigmoid(images @ own["w"] + own["c"])
    again = sigmoid(hidden @ own["w"].T + own["b"])
    np.testing.assert_allclose(predicted(folder, "lower", "hid"), hidden, atol=1e-5)
    np.testing.assert_allclose(predicted(folder, "lower", "vis"), again, atol=1e-5)
    np.testing.assert_allclose(predicted(folder, "upper", "mid"), hidden, atol=1e-5)
    loss = ((images - again) ** 2).sum(1).mean()
    capsys.readouterr()
    words = ["eval", program(folder), "--train", "lower", "--checkpoint", str(folder / "run")]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loss"] == pytest.approx(loss, rel=1e-5)
    assert losses(folder, "lower")[-1] == pytest.approx(loss, rel=1e-5)


def test_an_autoencoder_gives_its_reconstructions(folder: Path) -> None:
    again, images = predicted(folder, "unrolled", "again"), images_of(folder)
    loss = ((images - again) ** 2).sum(1).mean() / 2
    assert losses(folder, "unrolled")[-1] == pytest.approx(loss, rel=1e-5)
    assert predicted(folder, "unrolled", "code").shape == (len(images), 12)


def test_samples_are_the_same_when_resumed(folder: Path) -> None:
    """Half of the steps again, from the checkpoint between: the same bits."""
    run = shutil.copytree(folder / "run/lower", folder / "half/lower")
    shutil.rmtree(run / "checkpoints/step-00000060")
    words = ["run", program(folder), "--train", "lower", "-np", "2", "--resume"]
    assert main([*words, "--run-dir", str(folder / "half")]) == 0
    whole = params(folder / "run/lower", 60)
    for name, value in params(run, 60).items():
        np.testing.assert_array_equal(value, whole[name])
