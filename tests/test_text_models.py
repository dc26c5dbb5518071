"""What a trained model of text predicts at each of its steps, and the text that it writes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime.process.sampler import Choice
from singac.cli import main
from singac.plan.plan import Plan
from singac.verbs.sampling import Sampled

TEXT = "the cat sat on the mat,\nand the dog lay on the log;\n" * 9
PROBE = TEXT[5:66]  # ten examples and what comes after them
# A state of the step before, one of two steps before that hands on its cell, and dropout.
PROGRAM = """
data text = KIND("text.txt", length = 6, vocab = "text.txt", test = "probe.txt")
net small on text {
    unroll 6 {
        FIELD -> x: onehot(vocab)
        [x, low[t-1]] -> low: gru(24)
        low -> drop: dropout(0.2)
        [drop, high[t-2]] -> high: lstm(16)
        [high, low] -> both: concat -> o: dense(vocab)
        [o, next] -> softmax_loss
        [o, next] -> accuracy
        MORE
    }
    OUTSIDE
}
train small {
    algorithm = BPTT(carry = CARRY)  updater = Adam(rate = 0.02)  batch = 4  steps = STEPS
}
"""


def program(folder: Path, kind: str = "chars", steps: int = 60, **replaced: str) -> Path:
    """A program and its text; other words of PROGRAM are replaced by those given."""
    replaced = {"MORE": "", "OUTSIDE": "", "CARRY": "all"} | replaced
    text = PROGRAM.replace("KIND", kind).replace("FIELD", kind[:-1]).replace("STEPS", str(steps))
    for word, value in replaced.items():
        text = text.replace(word, value)
    (folder / "text.txt").write_text(TEXT)
    (folder / "probe.txt").write_text(PROBE)
    path = folder / "net.singa"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The program of a net that has learnt something, beside its run."""
    folder = tmp_path_factory.mktemp("sampled")
    before, os.environ["SINGAC_CACHE"] = os.environ["SINGAC_CACHE"], str(folder / "cache")
    path = program(folder)
    assert main(["run", str(path), "-np", "1", "--run-dir", str(folder / "run")]) == 0
    yield path
    os.environ["SINGAC_CACHE"] = before


def sampled(capsys: pytest.CaptureFixture[str], path: Path, *more: str) -> str:
    capsys.readouterr()
    assert main(["sample", str(path), "--checkpoint", str(path.parent / "run"), *more]) == 0
    return capsys.readouterr().out.removesuffix("\n")


def predicted(path: Path, layer: str, *more: str) -> np.ndarray:
    out = path.parent / "out.npz"
    command = ["predict", str(path), "--checkpoint", str(path.parent / "run"), *more]
    assert main([*command, "--layer", layer, "-o", str(out)]) == 0
    with np.load(out) as arrays:
        found: np.ndarray = arrays[layer]
    return found


def test_layers_and_losses_are_read_step_by_step(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chances, scores = predicted(trained, "softmax_loss"), predicted(trained, "o")
    powers = np.exp(scores)
    assert scores.shape == (10, 6, len(set(TEXT)))
    np.testing.assert_allclose(chances, powers / powers.sum(axis=2, keepdims=True), rtol=1e-4)
    np.testing.assert_array_equal(predicted(trained, "accuracy"), chances.argmax(axis=2))
    low, before = predicted(trained, "low"), predicted(trained, "low[t-1]")
    np.testing.assert_array_equal(low[:, :-1], before[:, 1:])
    right = predicted(trained, "next").astype(int)
    loss = -np.log(np.take_along_axis(chances, right[..., None], axis=2)).mean()
    capsys.readouterr()
    assert main(["eval", str(trained), "--checkpoint", str(trained.parent / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["loss"] == pytest.approx(loss, rel=1e-5)


def test_the_likeliest_text_is_what_the_unrolled_net_predicts(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The states of the unrolled net go on over the text that was sampled, one lane of it."""
    prompt, count = "and the", 60
    text = sampled(
        capsys, trained, "--prompt", prompt, "--length", str(count), "--temperature", "0"
    )
    assert text.startswith(prompt)
    assert len(text) == len(prompt) + count
    (trained.parent / "probe.txt").write_text(text)
    best = predicted(trained, "accuracy", "--set", "train.batch=1").reshape(-1).astype(int)
    (trained.parent / "probe.txt").write_text(PROBE)
    likeliest = "".join(sorted(set(TEXT))[k] for k in best)
    assert text[len(prompt) :] == likeliest[len(prompt) - 1 :]
    assert len(dict.fromkeys(text)) > 5, "the net has learnt to say more than one character"


def test_a_seed_gives_its_text_again(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = [sampled(capsys, trained, "--seed", seed, "--length", "40") for seed in "112"]
    assert texts[0] == texts[1] != texts[2]
    cold = sampled(capsys, trained, "--length", "40", "--temperature", "0.001")
    assert cold == sampled(capsys, trained, "--length", "40", "--temperature", "0", "--seed", "7")


def test_draws_are_as_frequent_as_the_softmax_says() -> None:
    scores, count = np.array([0.5, -1.0, 2.0], np.float32), 20_000
    choice = Choice(temperature=2.0, seed=3)
    drawn = np.bincount([choice.of(scores) for _ in range(count)], minlength=3) / count
    powers = np.exp(scores / 2)
    np.testing.assert_allclose(drawn, powers / powers.sum(), atol=0.01)


def test_words_are_written_with_spaces_and_lines() -> None:
    net = Sampled(Plan.__new__(Plan), "o", ("</s>", "<unk>", "cat", "the"), of_words=True)
    assert net.numbers("the cat") == [3, 2]
    assert net.numbers("the cat\n") == net.numbers("the cat \n ") == [3, 2, 0]
    assert net.numbers("") == [0]
    assert net.numbers("a cat") == [1, 2]
    assert "".join(net.written("the", [2, 0, 3, 3])) == "the cat\nthe the"
    assert "".join(net.written("", [3, 2])) == "the cat"


# fmt: off
REFUSED = {
    "unknown character": ({}, ("--prompt", "the Käse"), "vocabulary: 'K', 'ä'"),
    "two losses":        ({"MORE": "[o, next] -> again: softmax_loss"}, (),
                          "`softmax_loss` and `again` score what comes next"),
    "another loss":      ({"MORE": "[o, next] -> accuracy"}, ("--layer", "accuracy"),
                          "`accuracy` does not score what comes next"),
    "nothing scores it": ({"[o, next] -> softmax_loss": "[o, x] -> euclidean_loss"}, (),
                          "no softmax_loss of `next`"),
    "it is told":        ({"[high, low]": "[high, low, told]",
                           "MORE": "next -> told: onehot(vocab)"}, (),
                          "`softmax_loss` is told what comes next, `next`"),
    "all at once":       ({"[high, low]": "[high, low, all]", "OUTSIDE": "char -> all: dense(3)"},
                          (), "`all` reads all 6 tokens of an example at once"),
    "no line ends":      ({"text.txt": "probe.txt"}, (), "a sample begins where a line has ended"),
}
# fmt: on


@pytest.mark.parametrize(("replaced", "more", "told"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_sampled_is_refused(
    replaced: dict[str, str],
    more: tuple[str, ...],
    told: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = program(tmp_path, **replaced)
    (tmp_path / "probe.txt").write_text("the cat sat on the mat, and")
    assert main(["sample", str(path), "--checkpoint", "none", *more]) == 2
    assert told in capsys.readouterr().err


def test_another_vocabulary_of_the_same_size_is_refused(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, run = program(tmp_path), str(trained.parent / "run")
    (tmp_path / "text.txt").write_text(TEXT.replace("c", "b"))
    (tmp_path / "probe.txt").write_text(TEXT.replace("c", "b")[5:66])
    for verb in ("sample", "eval"):
        assert main([verb, str(path), "--checkpoint", run]) == 4
        assert "SG0925" in capsys.readouterr().err
    program(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT[::-1])  # other text, the same characters
    assert main(["sample", str(path), "--checkpoint", run, "--length", "5"]) == 0


def test_a_table_of_numbers_is_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digits = Path(__file__).parent.parent / "models/mlp.singa"
    assert main(["sample", str(digits), "--checkpoint", str(tmp_path)]) == 2
    assert "the data `digits` is no running text but `csv`" in capsys.readouterr().err
