"""IDX files: the images and labels of MNIST and its kin.

    byte 0   2          3           4                      4 + 4 dims
         0 0 type code  dims        size, size, ...        values, big-endian, row-major

Format: Y. LeCun, C. Cortes, C. Burges, The MNIST database, "The IDX file format".
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from singac.settings import Setting, Sort
from singac.sources.arrays import compact, is_whole
from singac.sources.damage import damaged, found_in, placed, size_of
from singac.sources.kind import COMMON_SETTINGS, LabelFacts, Part, Request, SourceKind, Survey
from singac.sources.stream import Stream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]
    Numbers = NDArray[np.number]

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_PREFIXES = {"train": "train", "test": "t10k"}
_IMAGES = re.compile(r"images([-.])idx\d")
_SPELLINGS = ("-idx", ".idx")
_PACKINGS = ("", ".gz")


@dataclass(frozen=True, slots=True)
class Header:
    """Type and sizes an IDX file says it has; `start` is the byte of its first value."""

    type: str
    sizes: tuple[int, ...]

    @property
    def start(self) -> int:
        return 4 + 4 * len(self.sizes)

    @property
    def bytes(self) -> int:
        return math.prod(self.sizes) * int(self.type[-1])


# -- finding the files -----------------------------------------------------------------------------


def locate(request: Request) -> tuple[Part, ...]:
    """Images and labels of each part: by their usual names in a folder, or beside given images."""
    path = request.text("path")
    with placed(request.span_of("path")):
        if os.path.isdir(path):
            parts = _parts_of_folder(path, with_test=request.get("test") is None)
        else:
            parts = [Part("train", "path", _images_and_labels(path))]
    for name in ("test", "validate"):
        given = request.get(name)
        if isinstance(given, str):
            with placed(request.span_of(name)):
                parts.append(Part(name, name, _images_and_labels(given)))
    return tuple(parts)


def _parts_of_folder(folder: str, with_test: bool) -> list[Part]:
    train = _usual_files(folder, "train")
    for what, path in zip(("images", "labels"), train, strict=True):
        if path is None:
            raise damaged(
                "SG0210",
                f"no training {what} in this folder",
                folder,
                f"wanted train-{_usual(what)} or train-{_usual(what)}.gz; {found_in(folder)}",
            )
    parts = [Part("train", "path", _both(train))]
    test = _usual_files(folder, "test")
    if with_test and any(test):
        if not all(test):
            present = next(t for t in test if t)
            raise damaged("SG0210", "its images or labels are not beside it", present)
        parts.append(Part("test", "path", _both(test)))
    return parts


def _usual_files(folder: str, part: str) -> tuple[str | None, str | None]:
    prefix = os.path.join(folder, _PREFIXES[part])
    images, labels = (_first(_spellings(f"{prefix}-{_usual(w)}")) for w in ("images", "labels"))
    return images, labels


def _both(paths: tuple[str | None, str | None]) -> tuple[str, ...]:
    return tuple(p for p in paths if p is not None)


def _usual(what: str) -> str:
    return "images-idx3-ubyte" if what == "images" else "labels-idx1-ubyte"


def _images_and_labels(images: str) -> tuple[str, ...]:
    if os.path.isdir(images):
        raise damaged("SG0211", "this is a folder; give its images file", images, found_in(images))
    size_of(images)
    folder, name = os.path.split(images)
    if not _IMAGES.search(name):
        raise damaged(
            "SG0210",
            "no labels can be found by this name",
            images,
            f"the name of an images file has `images-idx3` in it, as in train-{_usual('images')}",
        )
    wanted = os.path.join(folder, _IMAGES.sub(r"labels\1idx1", name).removesuffix(".gz"))
    labels = _first(_spellings(wanted))
    if labels is None:
        help = f"wanted {wanted} or {wanted}.gz; {found_in(folder)}"
        raise damaged("SG0210", "the labels of these images are not beside them", images, help)
    return images, labels


def _spellings(path: str) -> Iterator[str]:
    folder, name = os.path.split(path)
    for spelling in _SPELLINGS:
        for packing in _PACKINGS:
            yield os.path.join(folder, re.sub(r"[-.]idx", spelling, name) + packing)


def _first(paths: Iterator[str]) -> str | None:
    return next((p for p in paths if os.path.exists(p)), None)


# -- reading ---------------------------------------------------------------------------------------


def survey(request: Request, part: Part) -> Survey:
    """Sizes from the headers; the labels, which are few bytes, are read for the largest."""
    images, labels = part.files
    with Stream(images) as stream:
        header = _image_header(stream)
    values = _read_labels(labels, header.sizes[0], images)
    fields = (("image", _image_shape(header)), ("label", (1,)))
    return Survey(header.sizes[0], fields, _largest_label(values, labels))


def load(request: Request, part: Part) -> dict[str, Array]:
    """Every value of both files, one row an example."""
    images, labels = part.files
    with Stream(images) as stream:
        header = _image_header(stream)
        values = _values(stream, header)
    _check_finite(values, header, images)
    count = header.sizes[0]
    return {
        "image": compact(values).reshape(count, -1),
        "label": compact(_read_labels(labels, count, images)).reshape(count, 1),
    }


def _image_header(stream: Stream) -> Header:
    header = _header(stream)
    if len(header.sizes) < 2:
        raise damaged(
            "SG0222",
            "these are not images: the file has one dimension",
            stream.path,
            "give the images file; its labels are found beside it",
        )
    return header


def _image_shape(header: Header) -> tuple[int, ...]:
    """[channels, height, width]; images without channels have one."""
    shape = header.sizes[1:]
    return (1, *shape) if len(shape) == 2 else shape


def _read_labels(path: str, images: int, images_path: str) -> Numbers:
    with Stream(path) as stream:
        header = _header(stream)
        if len(header.sizes) != 1:
            sizes = "x".join(map(str, header.sizes))
            raise damaged("SG0222", f"these are not labels: the file holds {sizes} values", path)
        if header.sizes[0] != images:
            raise damaged(
                "SG0223",
                f"{header.sizes[0]} labels for {images} images",
                path,
                f"the images are in {images_path}",
            )
        values = _values(stream, header)
    _check_finite(values, header, path)
    return values


def _largest_label(values: Numbers, path: str) -> LabelFacts | None:
    if not is_whole(values):
        return None
    index = int(values.argmax())
    return LabelFacts(int(values[index]), path, f"example {index + 1}")


def _header(stream: Stream) -> Header:
    start = stream.read(4)
    if not start:
        raise damaged("SG0224", "the file is empty", stream.path)
    if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _TYPES or start[3] == 0:
        raise damaged(
            "SG0221",
            f"not an IDX file: it starts with bytes {start.hex(' ')}",
            stream.path,
            "bytes 0 and 1 are 0, byte 2 the type (08 for bytes), byte 3 the number of dimensions",
        )
    dimensions = start[3]
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise _too_short(stream, f"its header of {4 + 4 * dimensions} bytes")
    header = Header(_TYPES[start[2]], struct.unpack(f">{dimensions}I", sizes))
    _check_sizes(stream, header)
    return header


def _check_sizes(stream: Stream, header: Header) -> None:
    """Before anything is allocated: the file can hold what its header says."""
    if math.prod(header.sizes) == 0:
        raise damaged("SG0225", f"there are no examples: sizes {_sizes(header)}", stream.path)
    wanted = header.start + header.bytes
    if wanted > stream.largest:
        raise damaged(
            "SG0226",
            f"the header says {_sizes(header)}, more than the file can hold",
            stream.path,
            f"that takes {wanted} bytes; the file has {stream.size}",
        )
    if not stream.packed and wanted < stream.size:
        raise _too_long(stream, header)


def _values(stream: Stream, header: Header) -> Numbers:
    """The values after the header; one byte more is asked for, to see that the file ends there."""
    import numpy as np

    values = np.empty(math.prod(header.sizes), dtype=header.type)
    got = stream.read_into(values.view(np.uint8).data)
    if got < header.bytes:
        raise _too_short(stream, f"the {header.start + header.bytes} of sizes {_sizes(header)}")
    if stream.read(1):
        raise _too_long(stream, header)
    return values


def _check_finite(values: Numbers, header: Header, path: str) -> None:
    import numpy as np

    if values.dtype.kind != "f" or bool(np.isfinite(values).all()):
        return
    index = int(np.flatnonzero(~np.isfinite(values))[0])
    byte = header.start + index * values.itemsize
    raise damaged("SG0227", f"the value at byte {byte} is {values[index]}", path)


def _too_short(stream: Stream, wanted: str) -> Exception:
    return damaged(
        "SG0226", f"the file ends at byte {stream.position}, before {wanted}", stream.path
    )


def _too_long(stream: Stream, header: Header) -> Exception:
    wanted = header.start + header.bytes
    return damaged(
        "SG0226",
        f"there are bytes after the last value, from byte {wanted} on",
        stream.path,
        f"the header says {_sizes(header)}, which takes {wanted} bytes",
    )


def _sizes(header: Header) -> str:
    return "x".join(map(str, header.sizes))


IDX = SourceKind(
    name="idx",
    doc="images and labels in the files of MNIST, .gz or not",
    settings=(
        Setting(
            "path",
            "a folder with the files of their usual names, or the images file",
            sorts=(Sort.PATH,),
            positional=True,
        ),
        *COMMON_SETTINGS,
    ),
    gives="image, label",
    locate=locate,
    survey=survey,
    load=load,
    declared=("image", "label"),
)
