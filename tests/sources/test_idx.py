"""IDX files: what is read, how files are found, and what is said of damaged ones."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_files import Block, idx_bytes, packed
from hypothesis import given, settings
from hypothesis import strategies as st

from singac.diagnostics import Exit, Failed
from singac.sources.prepare import read

MakeBlock = Callable[..., Block]

IMAGES = np.arange(5 * 2 * 3, dtype=np.uint8).reshape(5, 2, 3)
LABELS = np.array([3, 1, 9, 0, 9], dtype=np.uint8)
TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def write(folder: Path, names: tuple[str, str], images: bytes, labels: bytes) -> None:
    (folder / names[0]).write_bytes(images)
    (folder / names[1]).write_bytes(labels)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five training examples and two for testing."""
    write(tmp_path, TRAIN, idx_bytes(IMAGES), idx_bytes(LABELS))
    write(tmp_path, TEST, idx_bytes(IMAGES[:2]), idx_bytes(LABELS[:2]))
    return tmp_path


def test_a_folder_is_read_by_its_usual_names(folder: Path, block: MakeBlock) -> None:
    data = block("idx", path=".", scale=0.5)
    facts = data.facts
    assert (facts.train, facts.test, facts.validate) == (5, 2, 0)
    assert [(f.name, f.shape, f.scale) for f in facts.fields] == [
        ("image", (1, 2, 3), 0.5),
        ("label", (1,), 1.0),
    ]
    arrays = read(data.request)
    np.testing.assert_array_equal(arrays["train"]["image"], IMAGES.reshape(5, 6))
    np.testing.assert_array_equal(arrays["train"]["label"][:, 0], LABELS)
    np.testing.assert_array_equal(arrays["test"]["image"], IMAGES[:2].reshape(2, 6))


def test_the_largest_label_is_named_with_its_first_place(folder: Path, block: MakeBlock) -> None:
    label = block("idx", path=".").facts.label
    assert label is not None
    assert (label.largest, label.place) == (9, "example 3")
    assert label.file.endswith("train-labels-idx1-ubyte")


@pytest.mark.parametrize("spelling", ["-idx", ".idx"])
@pytest.mark.parametrize("packing", ["", ".gz"])
def test_spellings_and_packing(
    tmp_path: Path, block: MakeBlock, spelling: str, packing: str
) -> None:
    def encode(data: bytes) -> bytes:
        return packed(data) if packing else data

    names = tuple(n.replace("-idx", spelling) + packing for n in TRAIN)
    write(tmp_path, (names[0], names[1]), encode(idx_bytes(IMAGES)), encode(idx_bytes(LABELS)))
    for path in (".", names[0]):
        arrays = read(block("idx", path=path).request)
        np.testing.assert_array_equal(arrays["train"]["image"], IMAGES.reshape(5, 6))


def test_test_and_validate_can_be_given(folder: Path, block: MakeBlock) -> None:
    facts = block("idx", path=TRAIN[0], test=TEST[0], validate=0.2).facts
    assert (facts.train, facts.test, facts.validate) == (4, 2, 1)


def test_a_fraction_replaces_the_folder_s_own_test_part(folder: Path, block: MakeBlock) -> None:
    facts = block("idx", path=".", test=0.4).facts
    assert (facts.train, facts.test) == (3, 2)


@pytest.mark.parametrize("type", ["u1", "i1", "i2", "i4", "f4", "f8"])
def test_every_type_of_value(tmp_path: Path, block: MakeBlock, type: str) -> None:
    images = (np.arange(12).reshape(2, 6) - (0 if type == "u1" else 4)).astype(type)
    write(tmp_path, TRAIN, idx_bytes(images), idx_bytes(LABELS[:2]))
    data = block("idx", path=".")
    assert data.facts.fields[0].shape == (6,)
    np.testing.assert_array_equal(read(data.request)["train"]["image"], images)


def test_another_shape_of_as_many_values(folder: Path, block: MakeBlock) -> None:
    assert block("idx", path=".", shape=6.0).facts.fields[0].shape == (6,)


def test_a_shape_that_does_not_fit(folder: Path, block: MakeBlock) -> None:
    fault = block("idx", path=".", shape=(1, 2, 4)).fault
    assert (fault.code, fault.exit) == ("SG0214", Exit.FAILED)
    assert fault.place is not None
    assert fault.place.label == "takes 1 x 2 x 4 = 8 values an example"
    assert fault.help == "the file has 1x2x3, 6 values an example"


# -- damage ----------------------------------------------------------------------------------------

GOOD = idx_bytes(IMAGES)
HUGE = bytes([0, 0, 8, 3]) + struct.pack(">III", 2**31, 2**20, 2**20)
BROKEN_CHECKSUM = packed(GOOD)[:-8] + b"\0\0\0\0" + packed(GOOD)[-4:]
BOMB = packed(GOOD + bytes(1 << 24))
NAN = np.array([[1, 2], [3, np.nan]], dtype=np.float32)

# fmt: off
DAMAGE = {
    "empty":            (b"",                          "SG0224", "the file is empty"),
    "magic":            (b"\x89PNG" + GOOD,            "SG0221", "starts with bytes 89 50 4e 47"),
    "unknown type":     (b"\0\0\x0a" + GOOD[3:],       "SG0221", "bytes 00 00 0a 03"),
    "no dimensions":    (b"\0\0\x08\0",                "SG0221", "bytes 00 00 08 00"),
    "two bytes":        (GOOD[:2],                     "SG0221", "bytes 00 00"),
    "short header":     (GOOD[:10],                    "SG0226", "ends at byte 10, before"),
    "short values":     (GOOD[:-3],                    "SG0226", "5x2x3, more than"),
    "trailing":         (GOOD + b"!",                  "SG0226", "from byte 46 on"),
    "huge":             (HUGE,                         "SG0226", "more than the file"),
    "huge, packed":     (packed(HUGE),                 "SG0226", "more than the file"),
    "no examples":      (idx_bytes(IMAGES[:0]),        "SG0225", "sizes 0x2x3"),
    "labels as images": (idx_bytes(LABELS),            "SG0222", "one dimension"),
    "fewer images":     (idx_bytes(IMAGES[:4]),        "SG0223", "5 labels for 4 images"),
    "packed, cut":      (packed(GOOD)[:-12],           "SG0220", "ends at byte"),
    "packed, trailer":  (packed(GOOD)[:-2],            "SG0220", "ends at byte"),
    "packed, checksum": (BROKEN_CHECKSUM,              "SG0220", "wrong checksum"),
    "packed, followed": (packed(GOOD) + b"abc",        "SG0220", "followed by other bytes"),
    "packed, short":    (packed(GOOD[:-3]),            "SG0226", "the file ends at byte 43"),
    "packed, bomb":     (BOMB,                         "SG0226", "from byte 46 on"),
}
# fmt: on


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_images(tmp_path: Path, block: MakeBlock, name: str) -> None:
    data, code, message = DAMAGE[name]
    write(tmp_path, TRAIN, data, idx_bytes(LABELS))
    with pytest.raises(Failed) as failed:
        read(block("idx", path=".").request)
    (fault,) = failed.value.diagnostics
    assert (fault.code, fault.exit) == (code, Exit.DAMAGED)
    assert message in fault.message
    assert fault.place is not None


def test_values_that_are_not_numbers(tmp_path: Path, block: MakeBlock) -> None:
    write(tmp_path, TRAIN, idx_bytes(NAN), idx_bytes(LABELS[:2]))
    with pytest.raises(Failed, match="the value at byte 24 is nan"):
        read(block("idx", path=".").request)


@pytest.mark.parametrize("name", ["magic", "short values", "huge", "no examples", "fewer images"])
def test_damage_in_a_header_is_found_without_reading_on(
    tmp_path: Path, block: MakeBlock, name: str
) -> None:
    data, code, message = DAMAGE[name]
    write(tmp_path, TRAIN, data, idx_bytes(LABELS))
    fault = block("idx", path=".").fault
    assert fault.code == code
    assert message in fault.message


def test_gz_in_name_only(tmp_path: Path, block: MakeBlock) -> None:
    names = tuple(f"{n}.gz" for n in TRAIN)
    write(tmp_path, (names[0], names[1]), GOOD, packed(idx_bytes(LABELS)))
    fault = block("idx", path=".").fault
    assert fault.code == "SG0220"
    assert "starts with bytes 00 00" in fault.message


def test_parts_of_different_shapes(folder: Path, block: MakeBlock) -> None:
    (folder / TEST[0]).write_bytes(idx_bytes(IMAGES[:2, :, :2]))
    fault = block("idx", path=".").fault
    assert fault.code == "SG0228"
    assert "1x2x2" in fault.message
    assert "1x2x3" in fault.message


# -- files that are not there ----------------------------------------------------------------------


def test_a_folder_that_is_not_there(tmp_path: Path, block: MakeBlock) -> None:
    (tmp_path / "mnist").mkdir()
    fault = block("idx", path="mnits").fault
    assert (fault.code, fault.exit) == ("SG0210", Exit.DAMAGED)
    assert fault.file == str(tmp_path / "mnits")
    assert fault.help == f"did you mean {tmp_path / 'mnist'}?"


def test_a_folder_without_labels(folder: Path, block: MakeBlock) -> None:
    (folder / TRAIN[1]).unlink()
    fault = block("idx", path=".").fault
    assert fault.message == "no training labels in this folder"
    assert fault.help is not None
    assert "wanted train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz" in fault.help
    assert TRAIN[0] in fault.help


def test_test_images_without_labels(folder: Path, block: MakeBlock) -> None:
    (folder / TEST[1]).unlink()
    assert "not beside it" in block("idx", path=".").fault.message
    assert "not beside them" in block("idx", path=TRAIN[0], test=TEST[0]).fault.message


def test_images_by_a_name_without_convention(tmp_path: Path, block: MakeBlock) -> None:
    (tmp_path / "pictures").write_bytes(GOOD)
    assert "no labels can be found by this name" in block("idx", path="pictures").fault.message


@settings(max_examples=100, deadline=None)
@given(data=st.data(), pack=st.booleans())
def test_changed_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, pack: bool
) -> None:
    """Any byte changed and any end cut off: what is read has as many examples as labels."""
    folder = tmp_path_factory.getbasetemp()
    changed = bytearray(packed(GOOD) if pack else GOOD)
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    kept = changed[: data.draw(st.integers(0, len(changed)) | st.just(len(changed)))]
    write(folder, TRAIN, bytes(kept), idx_bytes(LABELS))
    request = Block(folder, "idx", {"path": "."}).request
    try:
        outcome: object = len(read(request)["train"]["image"])
    except Failed as failed:
        outcome = failed.exit
    assert outcome is Exit.DAMAGED or outcome == len(LABELS)
