"""Folders of pictures: classes and parts, sizes, and what is said of damage."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_files import Block
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from singac.diagnostics import Exit, Failed
from singac.sources.prepare import prepare, read

MakeBlock = Callable[..., Block]
Bytes = NDArray[np.uint8]

COLOURS = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)


def encoded(pixels: Bytes, format: str = "PNG", mode: str | None = None) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(file, format)
    return file.getvalue()


def write(folder: Path, name: str, data: bytes) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four training pictures of two classes and two for testing."""
    names = ("train/cat/1", "train/cat/2", "train/dog/a", "train/dog/b", "test/cat/1", "test/dog/1")
    for name, pixels in zip(names, COLOURS, strict=True):
        write(tmp_path, f"{name}.png", encoded(pixels))
    write(tmp_path, "train/dog/notes.txt", b"not a picture")
    return tmp_path


def test_parts_and_classes_are_folders(folder: Path, block: MakeBlock) -> None:
    data = block("images", path=".")
    assert (data.facts.train, data.facts.test) == (4, 2)
    assert [(f.name, f.shape) for f in data.facts.fields] == [("image", (3, 4, 5)), ("label", (1,))]
    assert data.facts.label is not None
    assert (data.facts.label.largest, data.facts.label.place) == (1, "class `dog`")
    arrays = read(data.request)
    wanted = COLOURS.transpose(0, 3, 1, 2).reshape(6, -1)
    np.testing.assert_array_equal(arrays["train"]["image"], wanted[:4])
    np.testing.assert_array_equal(arrays["test"]["image"], wanted[4:])
    np.testing.assert_array_equal(arrays["train"]["label"][:, 0], [0, 0, 1, 1])


def test_a_folder_without_parts_is_all_to_train_on(folder: Path, block: MakeBlock) -> None:
    facts = block("images", path="train", validate=0.25, test="test").facts
    assert (facts.train, facts.test, facts.validate) == (3, 2, 1)
    facts = block("images", path=".", test=0.5).facts
    assert (facts.train, facts.test) == (2, 2)


def test_shape_resizes_and_chooses_the_channels(folder: Path, block: MakeBlock) -> None:
    write(folder, "train/cat/other.png", encoded(np.full((9, 9, 3), 7, np.uint8)))
    data = block("images", path="train", shape=(1, 2, 3))
    assert data.facts.fields[0].shape == (1, 2, 3)
    images = read(data.request)["train"]["image"]
    assert images.shape == (5, 6)
    np.testing.assert_array_equal(images[2], 7)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("1", 1), ("P", 3), ("RGBA", 3)])
def test_pictures_that_are_all_grey_have_one_channel(
    tmp_path: Path, block: MakeBlock, mode: str, channels: int
) -> None:
    for n in (0, 1):
        write(tmp_path, f"c/{n}.png", encoded(COLOURS[n], mode=mode))
    data = block("images", path=".")
    assert data.facts.fields[0].shape == (channels, 4, 5)
    assert read(data.request)["train"]["image"].shape == (2, channels * 20)


@pytest.mark.parametrize("format", ["BMP", "GIF", "JPEG", "PPM", "TIFF", "WEBP"])
def test_formats(tmp_path: Path, block: MakeBlock, format: str) -> None:
    ending = {"JPEG": "jpg", "TIFF": "tif"}.get(format, format.lower())
    write(tmp_path, f"c/x.{ending}", encoded(np.full((4, 4, 3), 200, np.uint8), format))
    images = read(block("images", path=".").request)["train"]["image"]
    np.testing.assert_allclose(images, 200.0, atol=3)


def test_a_changed_picture_is_prepared_anew(folder: Path, block: MakeBlock) -> None:
    data = block("images", path=".")
    first = prepare(data.request, data.facts, str(folder / "cache"))
    write(folder, "train/cat/3.png", encoded(COLOURS[0]))
    assert prepare(data.request, data.facts, str(folder / "cache")) != first


# -- faults ----------------------------------------------------------------------------------------


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


GOOD = encoded(COLOURS[0])
HUGE = GOOD[:8] + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)) + GOOD[33:]
DEEP = encoded(np.zeros((4, 5), np.uint16))

# fmt: off
DAMAGE = {
    "empty":       (b"",                  "SG0224", "the file is empty"),
    "text":        (b"not a picture",     "SG0243", "this is no picture"),
    "other size":  (encoded(COLOURS[0, :3]), "SG0244", "a picture of 5x3 pixels; "),
    "huge":        (HUGE,                 "SG0243", "said to have more than 67108864 pixels"),
    "16 bits":     (DEEP,                 "SG0243", "more than 8 bits a channel"),
}
PIXELS = {
    "cut":         GOOD[:-40],
    "altered":     GOOD[:60] + b"\0\0\0\0" + GOOD[64:],
}
# fmt: on


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_in_a_header_is_found_without_decoding(
    folder: Path, block: MakeBlock, name: str
) -> None:
    data, code, message = DAMAGE[name]
    write(folder, "train/dog/b.png", data)
    made = block("images", path="train")
    fault = made.fault
    assert (fault.code, fault.exit) == (code, Exit.DAMAGED)
    assert message in fault.message
    assert fault.file == str(folder / "train/dog/b.png")
    with pytest.raises(Failed) as failed:
        read(made.request)
    assert failed.value.diagnostics == (fault,)


@pytest.mark.parametrize("name", PIXELS)
def test_damage_in_pixels_is_found_on_reading(folder: Path, block: MakeBlock, name: str) -> None:
    write(folder, "train/dog/b.png", PIXELS[name])
    with pytest.raises(Failed, match="the picture cannot be decoded") as failed:
        read(block("images", path="train").request)
    (fault,) = failed.value.diagnostics
    assert (fault.code, fault.exit) == ("SG0243", Exit.DAMAGED)
    assert fault.file == str(folder / "train/dog/b.png")


def test_the_remedy_for_other_sizes(folder: Path, block: MakeBlock) -> None:
    write(folder, "train/dog/b.png", encoded(COLOURS[0, :3]))
    assert block("images", path=".").fault.help == "shape = 3x4x5 resizes every picture"


@pytest.mark.parametrize("shape", [60.0, (4, 4, 5), (4, 5)])
def test_a_shape_of_no_picture(folder: Path, block: MakeBlock, shape: tuple[int, ...]) -> None:
    fault = block("images", path=".", shape=shape).fault
    assert (fault.code, fault.exit) == ("SG0214", Exit.FAILED)
    assert fault.place is not None
    assert fault.place.span.text == "shape"


def test_classes_that_are_missing(folder: Path, block: MakeBlock) -> None:
    write(folder, "test/cow/1.png", GOOD)
    fault = block("images", path=".").fault
    assert (fault.code, Path(fault.file or "")) == ("SG0245", folder / "test/cow")
    assert fault.help == "its classes are cat, dog"
    (folder / "train/ant").mkdir()
    assert block("images", path=".").fault.message == "there are no pictures of this class"
    (folder / "none").mkdir()
    assert block("images", path="none").fault.message == "there are no classes"
    assert block("images", path="train/cat/1.png").fault.code == "SG0211"
    assert block("images", path="tain").fault.help == f"did you mean {folder / 'train'}?"


def test_pillow_is_missing(folder: Path, block: MakeBlock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    fault = block("images", path=".").fault
    assert (fault.code, fault.exit) == ("SG0242", Exit.ENVIRONMENT)
    assert fault.help == "pip install 'singac[images]'"
    assert fault.place is not None


FILES = {f: encoded(COLOURS[0], f) for f in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")}


@settings(max_examples=150, deadline=None)
@given(data=st.data(), format=st.sampled_from(sorted(FILES)))
def test_changed_bytes_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, format: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    changed = bytearray(FILES[format])
    for place in data.draw(st.lists(st.integers(0, len(changed) - 1), max_size=4)):
        changed[place] = data.draw(st.integers(0, 255))
    kept = data.draw(st.just(len(changed)) | st.integers(0, len(changed)))
    write(folder, "changed/c/x.png", bytes(changed[:kept]))
    request = Block(folder, "images", {"path": "changed", "shape": (3, 4, 5)}).request
    try:
        outcome: object = read(request)["train"]["image"].shape
    except Failed as failed:
        outcome = failed.exit
    assert outcome in (Exit.DAMAGED, (1, 60))
