"""NumPy's arrays: where they are found, every type of number, and what is said of damage."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_files import Block, packed
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from singac.diagnostics import Exit, Failed
from singac.settings import SettingValue
from singac.sources.prepare import read

MakeBlock = Callable[..., Block]
Array = NDArray[np.generic]

X = np.arange(24, dtype=np.float32).reshape(4, 2, 3) - 5
Y = np.array([1, 0, 7, 7])


def npy(values: Array) -> bytes:
    file = io.BytesIO()
    np.save(file, values, allow_pickle=True)
    return file.getvalue()


def npz(**members: bytes) -> bytes:
    """A zip file of members of any bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


# -- where arrays are found ------------------------------------------------------------------------


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_by_their_names(tmp_path: Path, block: MakeBlock, save: Callable[..., None]) -> None:
    save(tmp_path / "d.npz", x=X, y=Y, other=np.array("text"))
    data = block("npz", path="d.npz", features="x", label="y")
    assert data.facts.train == 4
    assert [(f.name, f.shape) for f in data.facts.fields] == [("features", (2, 3)), ("label", (1,))]
    label = data.facts.label
    assert label is not None
    assert (label.largest, label.place) == (7, "example 3")
    train = read(data.request)["train"]
    np.testing.assert_array_equal(train["features"], X.reshape(4, 6))
    np.testing.assert_array_equal(train["label"][:, 0], Y)


def test_a_name_with_a_part_behind_it(tmp_path: Path, block: MakeBlock) -> None:
    np.savez(tmp_path / "d.npz", x_train=X, y_train=Y, x_test=X[:1], y_test=Y[:1])
    data = block("npz", path="d.npz", features="x", label="y")
    assert (data.facts.train, data.facts.test) == (4, 1)
    np.testing.assert_array_equal(read(data.request)["test"]["label"], [[1]])
    data = block("npz", path="d.npz", features="x", label="y", test=0.5)
    assert (data.facts.train, data.facts.test) == (2, 2)


def test_a_folder_of_arrays(tmp_path: Path, block: MakeBlock) -> None:
    for name, values in {"features": X, "label": Y, "label_test": Y[:2]}.items():
        np.save(tmp_path / f"{name}.npy", values)
    data = block("npz", path=".")
    assert (data.facts.train, data.facts.test) == (4, 0)
    np.testing.assert_array_equal(read(data.request)["train"]["features"], X.reshape(4, 6))


def test_a_file_of_one_array(tmp_path: Path, block: MakeBlock) -> None:
    np.save(tmp_path / "x.npy", X)
    data = block("npz", path="x.npy", label="none", test="x.npy")
    assert (data.facts.train, data.facts.test, data.facts.label) == (4, 4, None)
    assert [f.name for f in data.facts.fields] == ["features"]
    fault = block("npz", path="x.npy").fault
    assert (fault.code, fault.exit) == ("SG0219", Exit.FAILED)
    assert fault.help == "say label = none, or give its folder"


def test_labels_of_real_numbers_are_targets(tmp_path: Path, block: MakeBlock) -> None:
    for targets in (np.array([1.5, 2, 3, 4]), np.ones((4, 5))):
        np.savez(tmp_path / "d.npz", features=X, label=targets)
        facts = block("npz", path="d.npz").facts
        assert facts.label is None
        assert facts.fields[1].shape == (targets.shape[1:] or (1,))


TYPES = ("?", "u1", "i1", "u2", ">i2", "i4", ">u4", "i8", "f2", "f4", ">f4", "f8", ">f8")


@pytest.mark.parametrize("type", TYPES)
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_type_and_order_of_numbers(
    tmp_path: Path, block: MakeBlock, type: str, order: str
) -> None:
    values = np.array(np.arange(24).reshape(4, 2, 3) % 2, dtype=type, order=order)  # type: ignore[call-overload]
    np.savez(tmp_path / "d.npz", features=values, label=Y)
    train = read(block("npz", path="d.npz").request)["train"]
    assert train["features"].dtype == np.uint8
    np.testing.assert_array_equal(train["features"], np.arange(24).reshape(4, 6) % 2)


MISTAKES: dict[str, tuple[dict[str, SettingValue], str, str]] = {
    "no features": ({"features": "xx", "label": "y"}, "features", "did you mean `x`?"),
    "no label": ({"features": "x"}, "label", "known here: x, y"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_names_of_no_array(tmp_path: Path, block: MakeBlock, name: str) -> None:
    given, setting, help = MISTAKES[name]
    np.savez(tmp_path / "d.npz", x=X, y=Y)
    fault = block("npz", path="d.npz", **given).fault
    assert (fault.code, fault.exit) == ("SG0219", Exit.FAILED)
    assert fault.message == f"there is no array `{given.get(setting, setting)}`"
    assert fault.help == help


# -- damage ----------------------------------------------------------------------------------------

GOOD = npy(X)
OBJECTS = npy(np.array([{"a": 1}] * 4, dtype=object))
HUGE = GOOD.replace(b"(4, 2, 3), }", b"(4, 2, 3000000000), }")
BOMB = npy(np.zeros((4, 1 << 22), np.uint8))
NAN = X.copy()
NAN[1, 1, 1] = np.nan
LARGE = np.full((4, 1), 1e39)

# fmt: off
DAMAGE = {
    "empty":       (b"",                  "SG0224", "array `features` is empty"),
    "magic":       (b"\x93NUMPZ" + GOOD,  "SG0221", "starts with bytes 93 4e 55 4d 50 5a"),
    "version":     (GOOD[:6] + b"\7" + GOOD[7:], "SG0221", "is no .npy array"),
    "two bytes":   (GOOD[:2],             "SG0221", "bytes 93 4e"),
    "long header": (GOOD[:8] + b"\xff\xff" + GOOD[10:], "SG0221", "a header of 65535 bytes"),
    "no header":   (GOOD[:30],            "SG0226", "ends within its header"),
    "no dict":     (GOOD.replace(b"{'descr'", b"['descr'"), "SG0221", "cannot be read"),
    "unclosed":    (GOOD.replace(b"}", b" "), "SG0221", "cannot be read"),
    "a zero byte": (GOOD.replace(b"}", b"\0"), "SG0221", "cannot be read"),
    "a call":      (GOOD.replace(b"'<f4'", b"id(0)"), "SG0221", "cannot be read"),
    "cut":         (GOOD[:-3],            "SG0226", "takes 224 bytes, and has 221"),
    "trailing":    (GOOD + b"!",          "SG0226", "and has 225"),
    "huge":        (HUGE,                 "SG0226", "sizes 4x2x3000000000, which takes"),
    "negative":    (GOOD.replace(b"(4, ", b"(-4,"), "SG0225", "there are no examples"),
    "no examples": (npy(X[:0]),           "SG0225", "has sizes 0x2x3"),
    "a number":    (npy(np.array(1.0)),   "SG0236", "a single number"),
    "objects":     (OBJECTS,              "SG0236", "values of type object"),
    "text":        (npy(np.array(["a"])), "SG0236", "values of type <U1"),
    "complex":     (npy(X * 1j),          "SG0236", "values of type complex64"),
    "fewer":       (npy(X[:3]),           "SG0223", "4 examples in `label` for 3 in `features`"),
}
VALUES = {
    "nan":       (npy(NAN),   "value 5 of example 2, nan, is not finite"),
    "too large": (npy(LARGE), "value 1 of example 1, 1e+39, is too large"),
}
# fmt: on


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_arrays(tmp_path: Path, block: MakeBlock, name: str) -> None:
    data, code, message = DAMAGE[name]
    (tmp_path / "d.npz").write_bytes(npz(features=data, label=npy(Y)))
    made = block("npz", path="d.npz")
    fault = made.fault
    assert (fault.code, fault.exit) == (code, Exit.DAMAGED)
    assert message in fault.message
    assert fault.file == str(tmp_path / "d.npz")
    with pytest.raises(Failed) as failed:
        read(made.request)
    assert failed.value.diagnostics == (fault,)


@pytest.mark.parametrize("name", VALUES)
def test_values_that_are_no_float32(tmp_path: Path, block: MakeBlock, name: str) -> None:
    data, message = VALUES[name]
    (tmp_path / "d.npz").write_bytes(npz(features=data, label=npy(Y)))
    with pytest.raises(Failed, match="array `features`") as failed:
        read(block("npz", path="d.npz").request)
    assert failed.value.diagnostics[0].code == "SG0227"
    assert message in failed.value.diagnostics[0].message


def with_entry(data: bytes, offset: int, format: str, value: int) -> bytes:
    """The zip file with a field of its first directory entry changed."""
    changed = bytearray(data)
    struct.pack_into(format, changed, data.index(b"PK\x01\x02") + offset, value)
    return bytes(changed)


ZIP = npz(features=GOOD, label=npy(Y))

# fmt: off
ARCHIVES = {
    "empty":      (b"",                               "SG0224", "the file is empty"),
    "no zip":     (b"1,2\n",                          "SG0237", "file is not a zip file"),
    "cut":        (ZIP[:-9],                          "SG0237", "not a whole .npz file"),
    "checksum":   (with_entry(ZIP, 16, "<I", 1),      "SG0237", "bad CRC-32"),
    "encrypted":  (with_entry(ZIP, 8, "<H", 1),       "SG0237", "in a way that np.savez never"),
    "packed":     (with_entry(ZIP, 10, "<H", 12),     "SG0237", "in a way that np.savez never"),
    "size":       (with_entry(ZIP, 24, "<I", 1 << 30), "SG0226", "said to have 1073741824 bytes"),
    "packed size": (with_entry(ZIP, 20, "<I", 1 << 30), "SG0226", "more than the file can hold"),
    "place":      (with_entry(ZIP, 42, "<I", 7),      "SG0237", "not a whole .npz file"),
    "gzip":       (packed(ZIP),                       "SG0237", "not a whole .npz file"),
}
# fmt: on


@pytest.mark.parametrize("name", ARCHIVES)
def test_damaged_archives(tmp_path: Path, block: MakeBlock, name: str) -> None:
    data, code, message = ARCHIVES[name]
    (tmp_path / "d.npz").write_bytes(data)
    with pytest.raises(Failed) as failed:
        read(block("npz", path="d.npz").request)
    (fault,) = failed.value.diagnostics
    assert (fault.code, fault.exit) == (code, Exit.DAMAGED)
    assert message in fault.message
    assert fault.file == str(tmp_path / "d.npz")
    assert fault.place is not None


def test_an_array_packed_by_gzip(tmp_path: Path, block: MakeBlock) -> None:
    (tmp_path / "x.npy").write_bytes(packed(GOOD))
    assert "packed by gzip" in block("npz", path="x.npy", label="none").fault.message


@settings(max_examples=150, deadline=None)
@given(data=st.data(), stored=st.booleans())
def test_changed_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, stored: bool
) -> None:
    folder = tmp_path_factory.getbasetemp()
    file = io.BytesIO()
    np.savez(file, features=X, label=Y)
    changed = bytearray(file.getvalue() if stored else ZIP)
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    kept = data.draw(st.just(len(changed)) | st.integers(0, len(changed)))
    (folder / "d.npz").write_bytes(changed[:kept])
    request = Block(folder, "npz", {"path": "d.npz"}).request
    try:
        outcome: object = len(read(request)["train"]["features"])
    except Failed as failed:
        outcome = failed.diagnostics[0].code
    assert outcome == 4 or str(outcome).startswith("SG02")
