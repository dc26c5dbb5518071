"""Records: what is packed is read back, and no byte of the file can change unseen."""

from __future__ import annotations

import dataclasses
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_files import Block, packed
from hypothesis import given, settings
from hypothesis import strategies as st

from singac.diagnostics import Exit, Failed
from singac.settings import SettingValue
from singac.sources import pack as writer
from singac.sources import records
from singac.sources.pack import pack
from singac.sources.prepare import read
from singac.sources.records import Packed, header_bytes

MakeBlock = Callable[..., Block]

ROWS = [(n, n / 4, n % 5) for n in range(20)]


@pytest.fixture
def data(tmp_path: Path, block: MakeBlock) -> Block:
    text = "".join(",".join(map(str, row)) + "\n" for row in ROWS)
    (tmp_path / "t.csv").write_text(text)
    return block("csv", path="t.csv", shape=(2, 1), scale=0.5, test=0.2, validate=0.1)


@pytest.fixture
def file(data: Block, tmp_path: Path) -> Path:
    path = tmp_path / "d.records"
    assert pack(data.request, data.facts, str(path)) == path.stat().st_size
    return path


def test_what_is_packed_is_read_back(data: Block, file: Path, block: MakeBlock) -> None:
    again = block("records", path="d.records")
    assert (again.facts.train, again.facts.test, again.facts.validate) == (14, 4, 2)
    wanted = {f.name: f.shape for f in data.facts.fields}
    assert {f.name: f.shape for f in again.facts.fields} == wanted
    assert again.facts.fields[0].scale == 1.0, "values are packed before they are scaled"
    for part, fields in read(data.request).items():
        for field, values in fields.items():
            found = read(again.request)[part][field]
            assert found.dtype == values.dtype
            np.testing.assert_array_equal(found, values)
    assert os.listdir(file.parent) in (["t.csv", file.name], [file.name, "t.csv"])


def test_the_largest_label_has_its_example(file: Path, block: MakeBlock) -> None:
    data = block("records", path="d.records")
    label = data.facts.label
    assert label is not None
    train = read(data.request)["train"]["label"][:, 0]
    row = int(np.flatnonzero(train == 4)[0])
    assert (label.largest, label.place) == (4, f"example {row + 1} of its train part")


def test_other_parts_can_be_chosen(file: Path, block: MakeBlock) -> None:
    facts = block("records", path="d.records", test=0.5, validate="d.records").facts
    assert (facts.train, facts.test, facts.validate) == (7, 7, 14)


def test_both_fields_of_a_text_are_whole_numbers(tmp_path: Path, block: MakeBlock) -> None:
    (tmp_path / "t").write_text("abcb")
    data = block("chars", path="t", length=1)
    pack(data.request, data.facts, str(tmp_path / "r"))
    label = block("records", path="r").facts.label
    assert label is not None
    assert (label.largest, label.fields) == (2, ("char", "next"))


def test_targets_are_no_classes(tmp_path: Path, block: MakeBlock) -> None:
    (tmp_path / "t.csv").write_text("1,2.5\n2,3.5\n")
    data = block("csv", path="t.csv")
    pack(data.request, data.facts, str(tmp_path / "r"))
    assert block("records", path="r").facts.label is None


def test_arrays_can_be_mapped(file: Path, data: Block) -> None:
    """Another program finds the values with the header alone."""
    arrays = records._arrays(str(file))
    assert [a.start % 64 for a in arrays] == [0] * len(arrays)
    (array,) = (a for a in arrays if (a.part, a.field) == ("test", "features"))
    mapped = np.memmap(file, f"<{array.type}", "r", array.start, (array.examples, 2))
    np.testing.assert_array_equal(mapped, read(data.request)["test"]["features"])


def test_long_arrays_have_a_checksum_a_block(
    data: Block, tmp_path: Path, block: MakeBlock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (writer, records):
        monkeypatch.setattr(module, "BLOCK", 48)
    path = tmp_path / "small"
    pack(data.request, data.facts, str(path))
    features = records._arrays(str(path))[0]
    assert len(features.sums) == -(-14 * 2 * 4 // 48)
    changed = bytearray(path.read_bytes())
    changed[features.start + 50] ^= 1
    path.write_bytes(changed)
    with pytest.raises(Failed) as failed:
        read(block("records", path="small").request)
    (fault,) = failed.value.diagnostics
    first = features.start + 48
    assert f"`features` of the train part, bytes {first} to {first + 48} do not" in fault.message


def test_a_folder_that_cannot_be_written(data: Block, tmp_path: Path) -> None:
    with pytest.raises(Failed) as failed:
        pack(data.request, data.facts, str(tmp_path / "absent" / "d.records"))
    assert failed.value.exit is Exit.ENVIRONMENT


# -- damage ----------------------------------------------------------------------------------------

LABEL = Packed("train", "label", (1,), "u1", 4, (zlib.crc32(b"abcd"),), 100, "example 4")


def made(*arrays: Packed, values: bytes = b"abcd") -> bytes:
    """A file of such a header, whatever it says."""
    header = header_bytes(list(arrays))
    return header + bytes(-len(header) % 64) + values


def with_text(old: bytes, new: bytes) -> bytes:
    """The same with another header text, its length and checksum right."""
    header = header_bytes([LABEL])
    text = header[16:].replace(old, new)
    assert text != header[16:]
    start = header[:8] + len(text).to_bytes(4, "little") + zlib.crc32(text).to_bytes(4, "little")
    return start + text


GOOD = made(LABEL)
HUGE = dataclasses.replace(LABEL, shape=(1 << 20,), sums=(0,))

# fmt: off
DAMAGE = {
    "empty":         (b"",                                "SG0224", "the file is empty"),
    "magic":         (GOOD.replace(b"\r\n", b"\n"),       "SG0221", "89 53 49 4e 47 41 0a"),
    "two bytes":     (GOOD[:2],                           "SG0221", "bytes 89 53"),
    "packed":        (packed(GOOD),                       "SG0221", "packed by gzip"),
    "header length": (GOOD[:11] + b"\x7f" + GOOD[12:],    "SG0226", "more than the file can hold"),
    "header":        (GOOD.replace(b"label", b"lapel"),   "SG0239", "the header, bytes 16 to"),
    "cut":           (GOOD[:-1],                          "SG0226", "4x1 values of `label`"),
    "trailing":      (GOOD + b"!",                        "SG0226", "bytes after the last value"),
    "huge":          (made(HUGE),                         "SG0226", "4x1048576 values of `label`"),
    "version":       (with_text(b'"1.0"', b'"9.0"'),      "SG0238", "records of version 9.0"),
    "no JSON":       (with_text(b"{", b""),               "SG0238", "does not list arrays"),
    "deep JSON":     (with_text(b"{", b"[" * 100_000),    "SG0238", "does not list arrays"),
    "a list":        (with_text(b'"part":', b'"p":'),     "SG0238", "does not list arrays"),
    "negative":      (with_text(b'"examples":4', b'"examples":-4'), "SG0238", "does not list"),
    "a fraction":    (with_text(b'"examples":4', b'"examples":4.0'), "SG0238", "does not list"),
    "type":          (with_text(b'"u1"', b'"O8"'),        "SG0238", "does not list arrays"),
    "shape":         (with_text(b"[1]", b"[0]"),          "SG0238", "does not list arrays"),
    "no checksums":  (made(dataclasses.replace(LABEL, sums=())), "SG0238", "does not list"),
    "a path":        (made(dataclasses.replace(LABEL, field="../x")), "SG0238", "does not list"),
    "no such part":  (with_text(b'"train"', b'"tram"'),   "SG0238", "does not list arrays"),
    "no train part": (with_text(b'"train"', b'"test"'),   "SG0238", "the train part do not fit"),
    "a field twice": (made(LABEL, LABEL, values=b"abcd".ljust(64) + b"abcd"), "SG0238", "not fit"),
}
# fmt: on


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files(tmp_path: Path, block: MakeBlock, name: str) -> None:
    data, code, message = DAMAGE[name]
    (tmp_path / "r").write_bytes(data)
    request = block("records", path="r")
    fault = request.fault
    assert (fault.code, fault.exit) == (code, Exit.DAMAGED)
    assert message in fault.message
    assert fault.file == str(tmp_path / "r")
    with pytest.raises(Failed) as failed:
        read(request.request)
    assert failed.value.diagnostics == (fault,)


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, len(GOOD) - 1), change=st.integers(1, 255), kept=st.booleans())
def test_no_byte_changes_unseen(
    tmp_path_factory: pytest.TempPathFactory, place: int, change: int, kept: bool
) -> None:
    """Only the bytes between the header and the first array mean nothing."""
    folder = tmp_path_factory.getbasetemp()
    changed = bytearray(GOOD)
    changed[place] ^= change
    (folder / "r").write_bytes(changed if kept else changed[:place])
    made = Block(folder, "records", {"path": "r"})
    unused = kept and len(header_bytes([LABEL])) <= place < len(GOOD) - 4
    try:
        outcome: object = read(made.request)["train"]["label"].tobytes()
    except Failed as failed:
        outcome = failed.exit
    assert outcome == (b"abcd" if unused else Exit.DAMAGED)


SETTINGS: list[tuple[dict[str, SettingValue], str]] = [
    ({"path": "absent"}, "SG0210"),
    ({"path": "."}, "SG0211"),
]


@pytest.mark.parametrize(("given", "code"), SETTINGS)
def test_paths_that_lead_to_no_file(
    block: MakeBlock, given: dict[str, SettingValue], code: str
) -> None:
    assert block("records", **given).fault.code == code
