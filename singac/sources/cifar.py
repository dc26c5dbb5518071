"""The binary files of CIFAR-10 and CIFAR-100: small colour images, each after its labels.

    CIFAR-10     label          1024 red  1024 green  1024 blue      3073 bytes an image
    CIFAR-100    coarse fine    1024 red  1024 green  1024 blue      3074 bytes an image

Format: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from singac.diagnostics import Diagnostic, Failed, Place
from singac.settings import Setting, Sort
from singac.sources.damage import damaged, found_in, placed, size_of
from singac.sources.kind import COMMON_SETTINGS, LabelFacts, Part, Request, SourceKind, Survey
from singac.sources.stream import Stream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]
    Bytes = NDArray[np.uint8]

_SHAPE = (3, 32, 32)
_PIXELS = 3072


@dataclass(frozen=True, slots=True)
class Format:
    """Labels before each image with their number of classes, and the usual names of the files."""

    name: str
    labels: tuple[tuple[str, int], ...]
    train: tuple[str, ...]
    test: str

    @property
    def bytes(self) -> int:
        """Bytes of one image with its labels."""
        return len(self.labels) + _PIXELS


# fmt: off
_FORMATS = (
    Format("CIFAR-10",  (("label", 10),),
           tuple(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"),
    Format("CIFAR-100", (("coarse", 20), ("fine", 100)), ("train.bin",), "test.bin"),
)
# fmt: on
_TEN, _HUNDRED = _FORMATS


# -- finding the files -----------------------------------------------------------------------------


def locate(request: Request) -> tuple[Part, ...]:
    """The files of each part: by their usual names in a folder, or one file."""
    path = request.text("path")
    with placed(request.span_of("path")):
        parts = _parts_of_folder(path) if os.path.isdir(path) else [Part("train", "path", (path,))]
    if request.get("test") is not None:
        parts = parts[:1]
    for name in ("test", "validate"):
        given = request.get(name)
        if isinstance(given, str):
            parts.append(Part(name, name, (given,)))
    return tuple(parts)


def _parts_of_folder(folder: str) -> list[Part]:
    for format in _FORMATS:
        train = [os.path.join(folder, name) for name in format.train]
        if not any(os.path.exists(path) for path in train):
            continue
        for path in train:
            size_of(path)
        parts = [Part("train", "path", tuple(train))]
        test = os.path.join(folder, format.test)
        return parts + [Part("test", "path", (test,))] * os.path.exists(test)
    wanted = " or ".join(f.train[0] for f in _FORMATS)
    help = f"wanted {wanted}; {found_in(folder)}"
    raise damaged("SG0210", "no training images in this folder", folder, help)


# -- reading ---------------------------------------------------------------------------------------


def survey(request: Request, part: Part) -> Survey:
    """Images by the sizes of the files, which are read for the largest label."""
    examples, largest = 0, None
    for path, records, column in _records(request, part):
        examples += len(records)
        labels = records[:, column]
        row = int(labels.argmax())
        if largest is None or labels[row] > largest.largest:
            largest = LabelFacts(int(labels[row]), path, f"image {row + 1}")
    return Survey(examples, (("image", _SHAPE), ("label", (1,))), largest)


def load(request: Request, part: Part) -> dict[str, Array]:
    """Every value of the files, one row an example."""
    import numpy as np

    found = list(_records(request, part))
    images = [records[:, -_PIXELS:] for _, records, _ in found]
    labels = [records[:, column : column + 1] for _, records, column in found]
    return {"image": np.concatenate(images), "label": np.concatenate(labels)}


def _records(request: Request, part: Part) -> Iterator[tuple[str, Bytes, int]]:
    """Every file, its bytes one row an image, and the column of the label that is asked for."""
    for path in part.files:
        format = _format(request, path)
        records = _read(path, format)
        for column, (name, classes) in enumerate(format.labels):
            _check_labels(records[:, column], name, classes, column, format, path)
        yield path, records, _label_column(request, format, path)


def _format(request: Request, path: str) -> Format:
    """The format whose images fill the file to its last byte."""
    size = size_of(path)
    if size == 0:
        raise damaged("SG0224", "the file is empty", path)
    name = os.path.basename(path)
    usual = [f for f in _FORMATS if name in (*f.train, f.test)]
    hundred_first = (_HUNDRED, _TEN) if request.get("labels") else _FORMATS
    candidates = usual or hundred_first
    for format in candidates:
        if size % format.bytes == 0:
            return format
    facts = [f"{f.name} has {f.bytes} an image, so {size % f.bytes} too many" for f in candidates]
    message = f"{size} bytes are no whole number of images"
    raise damaged("SG0235", message, path, "; ".join(facts))


def _read(path: str, format: Format) -> Bytes:
    import numpy as np

    with Stream(path) as stream:
        if stream.packed:
            raise damaged("SG0235", "the file is packed", path, "unpack it with gunzip first")
        records = np.empty((stream.size // format.bytes, format.bytes), np.uint8)
        got = stream.read_into(records.reshape(-1).data)
        if got < records.size:
            raise damaged("SG0226", f"the file ends at byte {got}, while it was read", path)
    return records


def _check_labels(
    labels: Bytes, name: str, classes: int, column: int, format: Format, path: str
) -> None:
    row = int(labels.argmax())
    if labels[row] >= classes:
        message = f"image {row + 1}, byte {row * format.bytes + column}: {name} {labels[row]}"
        help = f"{format.name} has classes 0 to {classes - 1}"
        raise damaged("SG0229", f"{message} is out of range", path, help)


def _label_column(request: Request, format: Format, path: str) -> int:
    asked = request.get("labels")
    if asked is None or format is _HUNDRED:
        return 0 if asked == "coarse" else len(format.labels) - 1
    span = request.span_of("labels")
    message = f"{format.name} has one label an image, neither fine nor coarse"
    place = Place(span) if span else None
    raise Failed([Diagnostic("SG0218", message, place, help="leave out labels", file=path)])


CIFAR = SourceKind(
    name="cifar",
    doc="images of 3x32x32 and labels in the binary files of CIFAR-10 and CIFAR-100",
    settings=(
        Setting(
            "path",
            "a folder with the files of their usual names, or one file",
            sorts=(Sort.PATH,),
            positional=True,
        ),
        Setting(
            "labels",
            "which labels of CIFAR-100, fine when left out",
            sorts=(Sort.WORD,),
            choices=("fine", "coarse"),
            optional=True,
        ),
        *COMMON_SETTINGS,
    ),
    gives="image, label",
    locate=locate,
    survey=survey,
    load=load,
    declared=("image", "label"),
)
