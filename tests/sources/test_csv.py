"""Tables of numbers: what is read, the label's column, and what is said of faults in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_files import Block, packed
from hypothesis import given, settings
from hypothesis import strategies as st

from singac.diagnostics import Exit, Failed
from singac.settings import SettingValue
from singac.sources import cells
from singac.sources.cells import Table, parse
from singac.sources.prepare import read
from singac.sources.probe import probe

MakeBlock = Callable[..., Block]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], None]:
    def to_file(data: bytes) -> None:
        (tmp_path / "t.csv").write_bytes(data)

    return to_file


Write = Callable[[bytes], None]

# fmt: off
TEXTS = {
    "plain":           (b"1,2,3\n4,5,6\n",                        {}),
    "no last newline": (b"1,2,3\n4,5,6",                          {}),
    "carriage return": (b"1,2,3\r\n4,5,6\r\n",                    {}),
    "header":          (b"a,b,c\n1,2,3\n4,5,6\n",                 {}),
    "quoted header":   (b'"a, x",b,c\n1,2,3\n4,5,6\n',            {}),
    "byte order mark": (b"\xef\xbb\xbf1,2,3\n4,5,6\n",            {}),
    "blank lines":     (b"\n1,2,3\n\n\n4,5,6\n\n",                {}),
    "spaces":          (b"1, 2 ,3\n 4,5,6\n",                     {}),
    "quoted":          (b'"1","2","3"\n4,5,6\n',                  {}),
    "floats":          (b"1.0,2e0,+3\n40e-1,.5e1,6.\n",           {}),
    "packed":          (packed(b"1,2,3\n4,5,6\n"),                {}),
    "semicolons":      (b"1;2;3\n4;5;6\n",                        {"separator": ";"}),
    "tabs":            (b"1\t2\t3\n4\t5\t6\n",                    {"separator": "tab"}),
    "white space":     (b"1  2\t3\n 4 5 6 \n",                    {"separator": "space"}),
}
# fmt: on


@pytest.mark.parametrize("name", TEXTS)
def test_texts(block: MakeBlock, write: Write, name: str) -> None:
    text, settings = TEXTS[name]
    write(text)
    data = block("csv", path="t.csv", **settings)
    assert (data.facts.train, data.facts.fields[0].shape) == (2, (2,))
    train = read(data.request)["train"]
    np.testing.assert_array_equal(train["features"], [[1, 2], [4, 5]])
    np.testing.assert_array_equal(train["label"], [[3], [6]])


# fmt: off
LABELS: list[tuple[SettingValue, int]] = [
    ("last", 2), ("first", 0), (1.0, 0), (2.0, 1), (3.0, 2), ("a", 0), ("b", 1),
]
# fmt: on


@pytest.mark.parametrize(("label", "column"), LABELS)
def test_the_label_s_column(
    block: MakeBlock, write: Write, label: SettingValue, column: int
) -> None:
    write(b"a,b,c\n1,2,3\n4,5,6\n")
    train = read(block("csv", path="t.csv", label=label).request)["train"]
    values = np.array([[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(train["label"][:, 0], values[:, column])
    np.testing.assert_array_equal(train["features"], np.delete(values, column, axis=1))


def test_no_label(block: MakeBlock, write: Write) -> None:
    write(b"1\n2\n3\n")
    data = block("csv", path="t.csv", label="none")
    assert [f.name for f in data.facts.fields] == ["features"]
    assert data.facts.label is None
    assert list(read(data.request)["train"]) == ["features"]


@pytest.mark.parametrize("last", [b"1.5", b"-1"])
def test_labels_that_are_no_classes_are_targets(
    block: MakeBlock, write: Write, last: bytes
) -> None:
    write(b"1,2\n3," + last + b"\n")
    data = block("csv", path="t.csv")
    assert data.facts.label is None
    train = read(data.request)["train"]
    np.testing.assert_array_equal(train["label"][:, 0], [2, float(last)])
    assert train["label"].dtype == np.float32


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (b"0,1\n0,7\n0,7\n", 2),
        (b"a,b\n\n0,1\n\n0,7\n", 5),
        (b"0,1\n\n0,7", 3),
        (b"0,1\n0,7.0\n", 2),
    ],
)
def test_the_line_of_the_largest_label(
    block: MakeBlock, write: Write, text: bytes, line: int
) -> None:
    write(text)
    label = block("csv", path="t.csv").facts.label
    assert label is not None
    assert (label.largest, label.place) == (7, f"line {line}")


def test_blocks_are_joined(block: MakeBlock, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "BLOCK", 7)
    write(b"a,b\n" + b"".join(b"%d,%d\n" % (n, n % 10) for n in range(100)) + b"1234567890.5,3")
    data = block("csv", path="t.csv")
    assert data.facts.train == 101
    label = data.facts.label
    assert label is not None
    assert (label.largest, label.place) == (9, "line 11")
    features = read(data.request)["train"]["features"]
    np.testing.assert_array_equal(features[:100, 0], np.arange(100))
    assert features[100, 0] == np.float32(1234567890.5)


@given(st.lists(st.lists(st.integers(0, 1200), min_size=3, max_size=3), min_size=1), st.booleans())
def test_small_whole_numbers_are_read_as_any_others(rows: list[list[int]], newline: bool) -> None:
    text = "\n".join(",".join(map(str, row)) for row in rows) + "\n" * newline
    values = parse(cells.Block(text.encode(), 1), Table("t.csv", ",", 3))
    np.testing.assert_array_equal(values, rows)


# -- faults ----------------------------------------------------------------------------------------

# fmt: off
DAMAGE = {
    "empty":             (b"",                        "SG0224", "the file is empty"),
    "blank":             (b"\n \n\n",                 "SG0224", "only blank lines"),
    "only a header":     (b"a,b\n",                   "SG0225", "only a header"),
    "fewer columns":     (b"1,2\n3,4\n5\n",           "SG0232", "line 3 has 1 column, the"),
    "more columns":      (b"1,2\n\n3,4,5\n",          "SG0232", "line 3 has 3 columns"),
    "after a header":    (b"a,b\n1,2,3\n4,5,6\n",     "SG0232", "line 2 has 3 columns"),
    "a word":            (b"1,2\n3,four\n",           "SG0233", "line 2, column 2: `four` is"),
    "a word, header":    (b"a,b\n1,2\n3,x\n",         "SG0233", "line 3, column 2 (b): `x` is"),
    "a word at first":   (b"1,b\n1,2\n",              "SG0233", "line 1, column 2: `b` is not"),
    "an empty cell":     (b"1,2\n,4\n",               "SG0233", "column 1: the cell is empty"),
    "an underscore":     (b"1,2\n1_0,4\n",            "SG0233", "line 2, column 1: `1_0` is not"),
    "nan":               (b"1,2\n3,nan\n",            "SG0234", "column 2: `nan` is not finite"),
    "infinite":          (b"1,2\n-inf,3\n",           "SG0234", "column 1: `-inf` is not finite"),
    "too large":         (b"1,2\n1e39,3\n",           "SG0234", "`1e39` is too large"),
    "far too large":     (b"1,2\n1e999,3\n",          "SG0234", "`1e999` is too large"),
    "a zero byte":       (b"1,2\n3,\x004\n",          "SG0230", "line 2, byte 3: a zero byte"),
    "UTF-16":            ("1,2\n".encode("utf-16"),   "SG0230", "line 1, byte 4: a zero byte"),
    "Latin-1":           (b"a,b\n1,2\n\xe9,4\n",      "SG0231", "line 3, byte 1: e9 is not UTF-8"),
    "Latin-1 at last":   (b"1,2\n3,\xe9",             "SG0231", "line 2, byte 3: e9 is not UTF-8"),
    "packed, cut":       (packed(b"1,2\n" * 99)[:-9], "SG0220", "ends at byte"),
}
# fmt: on


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_text(block: MakeBlock, write: Write, name: str) -> None:
    text, code, message = DAMAGE[name]
    write(text)
    data = block("csv", path="t.csv")
    fault = data.fault
    assert (fault.code, fault.exit) == (code, Exit.DAMAGED)
    assert message in fault.message
    assert fault.file is not None
    assert fault.file.endswith("t.csv")
    with pytest.raises(Failed) as failed:
        read(data.request)
    assert failed.value.diagnostics == (fault,)


def test_faults_have_their_line_in_any_block(
    block: MakeBlock, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "BLOCK", 16)
    write(b"1,2\n" * 50 + b"1,x\n" + b"1,2\n" * 50)
    assert block("csv", path="t.csv").fault.message.startswith("line 51, column 2")


def test_a_line_without_end_is_not_read_to_its_end(
    block: MakeBlock, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cells, "BLOCK", 1 << 10)
    monkeypatch.setattr(cells, "LONGEST_LINE", 1 << 12)
    write(packed(b"1,2\n" + b"1" * (1 << 20)))
    assert "line 2 is longer than 4096 bytes" in block("csv", path="t.csv").fault.message


def test_another_separator_is_seen(block: MakeBlock, write: Write) -> None:
    write(b"a,b\n1;2\n")
    fault = block("csv", path="t.csv").fault
    assert fault.help is not None
    assert "';'" in fault.help


@pytest.mark.parametrize(
    ("text", "help"),
    [
        (b"a;b\n1;2\n", "it has the separator ';': write `separator`"),
        (b"a,b\n1,cat\n", "a csv holds numbers: write classes as 0, 1, 2, ..."),
        (b"a,b\n1,1_0\n", None),
    ],
)
def test_what_a_cell_may_mean_is_told(
    text: bytes, help: str | None, block: MakeBlock, write: Write
) -> None:
    write(text)
    fault = block("csv", path="t.csv").fault
    assert (fault.code, fault.help) == ("SG0233", help)


# -- mistakes in the block -------------------------------------------------------------------------

# fmt: off
MISTAKES: dict[str, tuple[dict[str, SettingValue], str, str]] = {
    "no such column":    ({"label": 9.0},        "SG0216", "there is no column 9"),
    "column zero":       ({"label": 0.0},        "SG0201", "`label` must be"),
    "half a column":     ({"label": 1.5},        "SG0200", "`label` must be"),
    "no such name":      ({"label": "specie"},   "SG0216", "there is no column `specie`"),
    "all held out":      ({"test": 0.9},         "SG0213", "leave none"),
    "none held out":     ({"test": 0.01},        "SG0213", "0.01 of 4 examples is no example"),
    "both too many":     ({"test": 0.5, "validate": 0.5}, "SG0213", "2 + 2 of 4"),
    "over one":          ({"test": 1.0},         "SG0201", "below 1"),
    "negative":          ({"validate": -0.1},    "SG0201", "of at least 0"),
    "true as fraction":  ({"test": True},        "SG0200", "`test` must be"),
    "separator":         ({"separator": ".."},   "SG0215", "no part of a number"),
    "separator a digit": ({"separator": "1"},    "SG0215", "no part of a number"),
    "mean a word":       ({"mean": True},        "SG0200", "`mean` must be"),
    "std zero":          ({"std": 0.0},          "SG0201", "above 0"),
    "shape":             ({"shape": (2, 2)},     "SG0214", "2x2 does not fit"),
    "shuffle":           ({"shuffle": 1.0},      "SG0200", "true or false"),
}
# fmt: on


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(block: MakeBlock, write: Write, name: str) -> None:
    settings, code, message = MISTAKES[name]
    write(b"length,width,species\n" + b"1,2,0\n" * 4)
    fault = block("csv", path="t.csv", **settings).fault
    assert (fault.code, fault.exit) == (code, Exit.FAILED)
    assert message in fault.message
    assert fault.place is not None
    assert fault.place.span.text == next(iter(settings))


def test_the_nearest_column_is_named(block: MakeBlock, write: Write) -> None:
    write(b"length,width,species\n1,2,0\n")
    assert block("csv", path="t.csv", label="specie").fault.help == "did you mean `species`?"


def test_the_only_column_is_no_label(block: MakeBlock, write: Write) -> None:
    write(b"1\n2\n")
    assert block("csv", path="t.csv").fault.help == "say label = none"


def test_the_path_is_missing(block: MakeBlock) -> None:
    fault = block("csv").fault
    assert (fault.code, fault.message) == ("SG0202", "setting `path` is missing")


def test_paths_that_lead_to_no_file(block: MakeBlock, write: Write, tmp_path: Path) -> None:
    write(b"1,2\n")
    assert block("csv", path="s.csv").fault.help == f"did you mean {tmp_path / 't.csv'}?"
    assert block("csv", path="t.csv/u.csv").fault.code == "SG0210"
    assert "this is a folder" in block("csv", path=".").fault.message
    assert block("csv", path="/dev/zero").fault.message == "this is not a regular file"
    fault = block("csv", path="t.csv", test="far/away.csv").fault
    assert fault.file == str(tmp_path / "far/away.csv")
    assert fault.place is not None
    assert fault.place.span.text == "test"


def test_a_test_file_of_other_columns(block: MakeBlock, write: Write, tmp_path: Path) -> None:
    write(b"1,2,3\n")
    (tmp_path / "u.csv").write_bytes(b"1,2\n")
    fault = block("csv", path="t.csv", test="u.csv").fault
    assert fault.code == "SG0228"
    assert fault.file == str(tmp_path / "u.csv")


# Text that is nearly a table, so that faults lie deep in it.
NEARLY = st.lists(st.sampled_from([*'0123456789,,,\n\n\n.-e" \r;\t', "nan", "é", "\x00"])).map(
    lambda words: "".join(words).encode()
)


@settings(max_examples=150, deadline=None)
@given(text=NEARLY | st.binary(), label=st.sampled_from(["first", "last", "none"]))
def test_any_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, text: bytes, label: str
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.csv"
    file.write_bytes(text)
    data = Block(file.parent, "csv", {"path": "any.csv", "label": label})
    facts = probe(data.request, data.report)
    if facts is None:
        assert data.report.found
        with pytest.raises(Failed):
            read(data.request)
        return
    train = read(data.request)["train"]
    assert train["features"].shape == (facts.train, *facts.fields[0].shape)
    assert np.isfinite(train["features"].astype(np.float64)).all()
