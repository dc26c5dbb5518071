"""CIFAR files: both formats, the usual names, and what is said of damage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_files import Block, packed
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from singac.diagnostics import Exit, Failed
from singac.sources.prepare import read

MakeBlock = Callable[..., Block]
Bytes = NDArray[np.uint8]


def records(labels: list[tuple[int, ...]]) -> Bytes:
    """Images of random values, each after its labels."""
    images = np.random.default_rng(len(labels)).integers(0, 256, (len(labels), 3072))
    return np.hstack([np.array(labels), images]).astype(np.uint8)


TEN = records([(n % 10,) for n in (3, 9, 0)])
HUNDRED = records([(19, 3), (2, 99), (7, 0), (7, 99)])


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    """CIFAR-10: five files of three images each, and one for testing."""
    for n in range(1, 6):
        (tmp_path / f"data_batch_{n}.bin").write_bytes(TEN.tobytes())
    (tmp_path / "test_batch.bin").write_bytes(TEN[:2].tobytes())
    return tmp_path


@pytest.fixture
def hundred(tmp_path: Path) -> Path:
    (tmp_path / "train.bin").write_bytes(HUNDRED.tobytes())
    (tmp_path / "test.bin").write_bytes(HUNDRED[:1].tobytes())
    return tmp_path


def test_the_five_files_of_cifar_10(ten: Path, block: MakeBlock) -> None:
    data = block("cifar", path=".")
    assert (data.facts.train, data.facts.test) == (15, 2)
    assert [(f.name, f.shape) for f in data.facts.fields] == [
        ("image", (3, 32, 32)),
        ("label", (1,)),
    ]
    label = data.facts.label
    assert label is not None
    assert (label.largest, label.place) == (9, "image 2")
    assert label.file.endswith("data_batch_1.bin")
    arrays = read(data.request)
    np.testing.assert_array_equal(arrays["train"]["image"], np.tile(TEN[:, 1:], (5, 1)))
    np.testing.assert_array_equal(arrays["train"]["label"], np.tile(TEN[:, :1], (5, 1)))
    np.testing.assert_array_equal(arrays["test"]["image"], TEN[:2, 1:])


@pytest.mark.parametrize(("labels", "column"), [(None, 1), ("fine", 1), ("coarse", 0)])
def test_both_labels_of_cifar_100(
    hundred: Path, block: MakeBlock, labels: str | None, column: int
) -> None:
    data = block("cifar", path=".", **({"labels": labels} if labels else {}))
    train = read(data.request)["train"]
    np.testing.assert_array_equal(train["label"][:, 0], HUNDRED[:, column])
    np.testing.assert_array_equal(train["image"], HUNDRED[:, 2:])
    assert data.facts.label is not None
    assert data.facts.label.largest == HUNDRED[:, column].max()


def test_one_file_of_any_name(tmp_path: Path, block: MakeBlock) -> None:
    (tmp_path / "a").write_bytes(TEN.tobytes())
    (tmp_path / "b").write_bytes(HUNDRED.tobytes())
    facts = block("cifar", path="a", validate="a").facts
    assert (facts.train, facts.validate) == (3, 3)
    assert block("cifar", path="b").facts.train == 4


def test_a_fraction_replaces_the_folder_s_own_test_part(ten: Path, block: MakeBlock) -> None:
    facts = block("cifar", path=".", test=0.2).facts
    assert (facts.train, facts.test) == (12, 3)


def test_labels_of_cifar_10_are_not_chosen(ten: Path, block: MakeBlock) -> None:
    fault = block("cifar", path=".", labels="fine").fault
    assert (fault.code, fault.exit) == ("SG0218", Exit.FAILED)
    assert fault.place is not None
    assert fault.place.span.text == "labels"


def test_files_that_are_missing(ten: Path, block: MakeBlock) -> None:
    (ten / "data_batch_3.bin").unlink()
    fault = block("cifar", path=".").fault
    assert (fault.code, Path(fault.file or "")) == ("SG0210", ten / "data_batch_3.bin")
    (ten / "empty").mkdir()
    fault = block("cifar", path="empty").fault
    assert fault.message == "no training images in this folder"
    assert fault.help is not None
    assert "wanted data_batch_1.bin or train.bin" in fault.help


WRONG = HUNDRED.copy()
WRONG[2, 0] = 20

# fmt: off
DAMAGE = {
    "empty":     (b"",                            "SG0224", "the file is empty"),
    "cut":       (HUNDRED.tobytes()[:-1],         "SG0235", "12295 bytes are no whole number"),
    "trailing":  (HUNDRED.tobytes() + b"!",       "SG0235", "12297 bytes are no whole number"),
    "the other": (TEN.tobytes(),                  "SG0235", "9219 bytes are no whole number"),
    "label":     (WRONG.tobytes(),                "SG0229", "image 3, byte 6148: coarse 20 is out"),
    "packed":    (packed(HUNDRED.tobytes()),      "SG0235", "no whole number of images"),
}
# fmt: on


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files(tmp_path: Path, block: MakeBlock, name: str) -> None:
    data, code, message = DAMAGE[name]
    (tmp_path / "train.bin").write_bytes(data)
    made = block("cifar", path=".")
    fault = made.fault
    assert (fault.code, fault.exit) == (code, Exit.DAMAGED)
    assert message in fault.message
    assert Path(fault.file or "") == tmp_path / "train.bin"
    with pytest.raises(Failed) as failed:
        read(made.request)
    assert failed.value.diagnostics == (fault,)


def test_a_packed_file_of_a_fitting_size_is_told(tmp_path: Path, block: MakeBlock) -> None:
    (tmp_path / "a").write_bytes(packed(b"x")[:20].ljust(3073, b"\0"))
    assert block("cifar", path="a").fault.message == "the file is packed"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, HUNDRED.size - 1), st.integers(0, 255), st.integers(0, 4))
def test_changed_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int, kept: int
) -> None:
    folder = tmp_path_factory.getbasetemp()
    changed = bytearray(HUNDRED.tobytes())
    changed[place] = value
    (folder / "train.bin").write_bytes(changed[: kept * 3074])
    request = Block(folder, "cifar", {"path": "train.bin"}).request
    try:
        train = read(request)["train"]
        outcome: object = (len(train["image"]), bool(train["label"].max() < 100))
    except Failed as failed:
        outcome = failed.exit
    assert outcome in (Exit.DAMAGED, (kept, True))
