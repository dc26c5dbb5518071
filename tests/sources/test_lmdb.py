"""LMDB databases: records by their keys, and what is said of those that are not arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from data_files import Block

from singac.diagnostics import Exit, Failed
from singac.sources.prepare import read

lmdb = pytest.importorskip("lmdb", reason="the extra `lmdb` is not installed")
MakeBlock = Callable[..., Block]
X = np.arange(24, dtype=np.float64).reshape(4, 2, 3) - 5
Y = np.array([1, 0, 7, 7])


def record(*arrays: np.ndarray | np.generic) -> bytes:
    stream = BytesIO()
    for array in arrays:
        np.save(stream, array)
    return stream.getvalue()


def save(path: Path, records: Sequence[bytes], in_folder: bool = True) -> None:
    """Under keys whose order is that of the records, written in the opposite order."""
    with (
        lmdb.open(str(path), map_size=2**22, subdir=in_folder) as base,
        base.begin(write=True) as writing,
    ):
        for k in reversed(range(len(records))):
            writing.put(b"%09d" % k, records[k])


@pytest.mark.parametrize("in_folder", [True, False])
def test_records_in_the_order_of_their_keys(
    in_folder: bool, tmp_path: Path, block: MakeBlock
) -> None:
    save(tmp_path / "train", [record(x, y) for x, y in zip(X, Y, strict=True)], in_folder)
    save(tmp_path / "test", [record(X[3], Y[3])], in_folder)
    data = block("lmdb", path="train", test="test")
    assert (data.facts.train, data.facts.test) == (4, 1)
    assert [(f.name, f.shape) for f in data.facts.fields] == [("features", (2, 3)), ("label", (1,))]
    assert data.facts.label is not None
    assert (data.facts.label.largest, data.facts.label.place) == (7, "example 3")
    parts = read(data.request)
    np.testing.assert_array_equal(parts["train"]["features"], X.reshape(4, 6))
    np.testing.assert_array_equal(parts["train"]["label"][:, 0], Y)
    np.testing.assert_array_equal(parts["test"]["features"], X[3:].reshape(1, 6))


def test_arrays_of_any_order_and_type(tmp_path: Path, block: MakeBlock) -> None:
    """Columns first and big-endian; the values change from record to record, the headers never."""
    written = [np.asfortranarray(x).astype(">i2") for x in X]
    save(tmp_path / "d", [record(x) for x in written])
    (found,) = read(block("lmdb", path="d").request)["train"].values()
    np.testing.assert_array_equal(found, X.reshape(4, 6))


def test_one_array_a_record_is_data_without_labels(tmp_path: Path, block: MakeBlock) -> None:
    save(tmp_path / "d", [record(x) for x in X])
    data = block("lmdb", path="d", test=0.5)
    assert (data.facts.train, data.facts.test, data.facts.label) == (2, 2, None)
    assert [f.name for f in data.facts.fields] == ["features"]


# Messages as Caffe's converters write them: a byte for the field, then a number or a length.
SIZES = b"\x08\x03\x10\x01\x18\x02"  # 3 channels, height 1, width 2
BYTES, LABEL = b"\x22\x06" + bytes(range(250, 256)), b"\x28\xac\x02"  # label 300
FLOATS = np.arange(6, dtype="<f4") / 4 - 1


@pytest.mark.parametrize("way", ["bytes", "floats", "packed", "unlabelled"])
def test_datums_of_caffe(way: str, tmp_path: Path, block: MakeBlock) -> None:
    each = b"".join(b"\x35" + value.tobytes() for value in FLOATS)
    message = {
        "bytes": SIZES + BYTES + LABEL + b"\x38\x00",
        "floats": LABEL + SIZES + each,
        "packed": SIZES + b"\x32\x18" + FLOATS.tobytes() + LABEL,
        "unlabelled": SIZES + BYTES,
    }[way]
    save(tmp_path / "d", [message, message])
    data = block("lmdb", path="d")
    fields = [(f.name, f.shape) for f in data.facts.fields]
    parts = read(data.request)["train"]
    assert fields == [("features", (3, 1, 2)), ("label", (1,))][: 1 + (way != "unlabelled")]
    wanted = FLOATS if way in ("floats", "packed") else np.arange(250, 256)
    np.testing.assert_array_equal(parts["features"], [wanted, wanted])
    if way != "unlabelled":
        np.testing.assert_array_equal(parts["label"], [[300], [300]])


GOOD = record(X[0], Y[0])
# fmt: off
FAULTS = {
    "no records":    ([], "there are no records"),
    "no array":      ([GOOD, b"pickled"], "is neither made of arrays in .npy nor a Datum of Caffe"),
    "cut short":     ([GOOD, GOOD[:-3]], "record b'000000001' is not made of arrays in .npy"),
    "objects":       ([record(np.array([{}]))], "Object arrays cannot be loaded"),
    "words":         ([record(np.array(["a"]))], "holds str32 1, no numbers"),
    "other sizes":   ([GOOD, record(X[0, 0], Y[0])], "holds float64 3 and int64 1, the first "),
    "three arrays":  ([record(*X[:3])], "record b'000000000' holds 3 arrays or more"),
    "an empty one":  ([record(X[0]), b""], "record b'000000001' holds no arrays"),
    "a Datum first": ([SIZES + BYTES, GOOD], "and int64 1, the first uint8 3x1x2"),
    "a picture":     ([SIZES + BYTES + b"\x38\x01"], "whose data is a compressed picture"),
    "too few":       ([SIZES + b"\x22\x02ab"], "a Datum of 3 x 1 x 2 with 2 values"),
    "half a Datum":  ([SIZES + BYTES[:-1]], "no whole message of Protocol Buffers"),
    "half a number": ([SIZES + b"\x28\xac"], "no whole message of Protocol Buffers"),
    "another field": ([SIZES + BYTES + b"\x4a\x01a"], "a Datum has no field 9 of bytes"),
    "not finite":    ([record(X[0] + np.inf, Y[0])], "value 1 of example 1, inf, is not finite"),
}
# fmt: on


@pytest.mark.parametrize(("records", "told"), FAULTS.values(), ids=FAULTS)
def test_faults(records: list[bytes], told: str, tmp_path: Path, block: MakeBlock) -> None:
    save(tmp_path / "d", records)
    data = block("lmdb", path="d")
    if "finite" in told:
        with pytest.raises(Failed) as failed:
            read(data.request)
        (fault,) = failed.value.diagnostics
    else:
        fault = data.fault
    assert told in fault.message
    assert fault.exit is Exit.DAMAGED
    assert str(fault.file).endswith("data.mdb")


@pytest.mark.parametrize("kept", [0, 100, 4096, 12288])
def test_a_file_cut_short(kept: int, tmp_path: Path, block: MakeBlock) -> None:
    save(tmp_path / "d", [GOOD] * 90, in_folder=False)
    (tmp_path / "d").write_bytes((tmp_path / "d").read_bytes()[:kept])
    assert block("lmdb", path="d").fault.exit is Exit.DAMAGED


def test_a_folder_that_is_no_database(tmp_path: Path, block: MakeBlock) -> None:
    (tmp_path / "d").mkdir()
    assert block("lmdb", path="d").fault.code == "SG0210"
    assert block("lmdb", path="nowhere").fault.code == "SG0210"


def test_without_the_library_the_extra_is_named(
    tmp_path: Path, block: MakeBlock, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "d", [GOOD])
    monkeypatch.setitem(sys.modules, "lmdb", None)
    assert block("lmdb", path="d").fault.help == "pip install 'singac[lmdb]'"
