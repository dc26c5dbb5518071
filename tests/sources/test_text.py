"""Running text: what is read and what comes next, vocabularies, and what is said of faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_files import Block, packed
from hypothesis import given
from hypothesis import strategies as st

from singac.diagnostics import Exit, Failed
from singac.settings import SettingValue
from singac.sources.prepare import read
from singac.sources.text import vocabulary

MakeBlock = Callable[..., Block]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], None]:
    def to_file(name: str, text: str) -> None:
        (tmp_path / name).write_bytes(text.encode())

    return to_file


Write = Callable[[str, str], None]


def test_characters_and_those_that_come_next(block: MakeBlock, write: Write) -> None:
    write("t", "banana bé")
    data = block("chars", path="t", length=4)
    assert vocabulary(data.request) == list(" abné")
    assert data.facts.train == 2
    assert [(f.name, f.shape) for f in data.facts.fields] == [("char", (4,)), ("next", (4,))]
    train = read(data.request)["train"]
    np.testing.assert_array_equal(train["char"], [[2, 1, 3, 1], [3, 1, 0, 2]])
    np.testing.assert_array_equal(train["next"], [[1, 3, 1, 3], [1, 0, 2, 4]])


@given(st.text("ab\n é😀", min_size=2, max_size=60), st.integers(1, 9))
def test_examples_follow_each_other(
    tmp_path_factory: pytest.TempPathFactory, text: str, length: int
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "t").write_bytes(text.encode())
    data = Block(folder, "chars", {"path": "t", "length": min(length, len(text) - 1)})
    train = read(data.request)["train"]
    known = vocabulary(data.request)
    assert known == sorted(set(text))
    read_back = "".join(known[int(n)] for n in train["char"].reshape(-1))
    following = "".join(known[int(n)] for n in train["next"].reshape(-1))
    assert text.startswith(read_back)
    assert text[1:].startswith(following)
    assert len(text) - len(read_back) <= train["char"].shape[1]
    assert data.facts.train == len(train["char"])


def test_the_line_of_the_largest_label(block: MakeBlock, write: Write) -> None:
    write("t", "ab\ncz\nz\n")
    label = block("chars", path="t", length=2).facts.label
    assert label is not None
    assert (label.largest, label.place) == (4, "line 2")


def test_a_vocabulary_of_another_text(block: MakeBlock, write: Write) -> None:
    write("t", "cab")
    write("v", "fedcba")
    data = block("chars", path="t", length=2, vocab="v")
    np.testing.assert_array_equal(read(data.request)["train"]["char"], [[2, 0]])
    assert data.facts.label is not None
    assert data.facts.label.largest == 2


def test_parts_share_the_vocabulary_of_the_training_text(block: MakeBlock, write: Write) -> None:
    write("t", "abcd")
    write("u", "dcb")
    test = read(block("chars", path="t", length=2, test="u").request)["test"]
    np.testing.assert_array_equal(test["char"], [[3, 2]])
    np.testing.assert_array_equal(test["next"], [[2, 1]])


def test_more_than_256_characters(block: MakeBlock, write: Write) -> None:
    text = "".join(chr(0x4E00 + n) for n in range(1000))
    write("t", text)
    char = read(block("chars", path="t", length=999).request)["train"]["char"]
    np.testing.assert_array_equal(char[0], np.arange(999))


def test_words_and_ends_of_lines(block: MakeBlock, write: Write) -> None:
    write("t", "the cat\n\n  the\tdog sat\n")
    data = block("words", path="t", length=3)
    assert vocabulary(data.request) == ["</s>", "cat", "dog", "sat", "the"]
    train = read(data.request)["train"]
    np.testing.assert_array_equal(train["word"], [[4, 1, 0], [4, 2, 3]])
    np.testing.assert_array_equal(train["next"], [[1, 0, 4], [2, 3, 0]])


def test_words_the_vocabulary_lacks(block: MakeBlock, write: Write) -> None:
    write("t", "the cat sat")
    write("v", "the <unk>")
    data = block("words", path="t", length=3, vocab="v")
    np.testing.assert_array_equal(read(data.request)["train"]["word"], [[2, 1, 1]])
    write("w", "the cat")
    fault = block("words", path="t", length=3, vocab="w").fault
    assert (fault.code, fault.exit) == ("SG0247", Exit.DAMAGED)
    assert fault.message == "line 1: 'sat' is not in the vocabulary"
    assert fault.help is not None
    assert "3 words; with a vocab that has <unk>" in fault.help


def test_packed_text(tmp_path: Path, block: MakeBlock) -> None:
    (tmp_path / "t.gz").write_bytes(packed(b"abc"))
    assert block("chars", path="t.gz", length=1).facts.train == 2


# fmt: off
FAULTS: dict[str, tuple[bytes, dict[str, SettingValue], str, Exit, str]] = {
    "empty":      (b"",             {},              "SG0224", Exit.DAMAGED, "the file is empty"),
    "Latin-1":    (b"ab\nc\xe9d\n", {},              "SG0231", Exit.DAMAGED, "line 2, byte 2: e9"),
    "cut":        (b"ab\xc3",       {},              "SG0231", Exit.DAMAGED, "line 1, byte 3: c3"),
    "too short":  (b"ab",           {},              "SG0246", Exit.FAILED,  "a text of 2 char"),
    "vocabulary": (b"ab\nax",       {"vocab": "v"},  "SG0247", Exit.DAMAGED, "line 2: 'x' is not"),
    "no length":  (b"abc",          {"length": 0},   "SG0201", Exit.FAILED,  "`length` must be"),
}
# fmt: on


@pytest.mark.parametrize("name", FAULTS)
def test_faults(tmp_path: Path, block: MakeBlock, write: Write, name: str) -> None:
    text, given, code, exit, message = FAULTS[name]
    (tmp_path / "t").write_bytes(text)
    write("v", "ab\n")
    fault = block("chars", **{"path": "t", "length": 2, **given}).fault
    assert (fault.code, fault.exit) == (code, exit)
    assert message in fault.message
    assert fault.place is not None


def test_faults_are_found_on_reading_too(tmp_path: Path, block: MakeBlock, write: Write) -> None:
    write("t", "ab")
    write("v", "a")
    for setting in ({"length": 5}, {"length": 1, "vocab": "v"}):
        data = block("chars", path="t", **setting)
        with pytest.raises(Failed) as failed:
            read(data.request)
        assert failed.value.diagnostics == (data.fault,)
