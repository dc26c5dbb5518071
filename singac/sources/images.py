"""Pictures in a folder for each class, decoded by Pillow, which is an extra of its own.

    pets/train/cat/1.jpg          pets/cat/1.jpg
               dog/2.jpg               dog/2.jpg         all to train on
         test/cat/3.jpg
              dog/4.jpg

Classes are numbered in the order of their folders' names.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from singac.diagnostics import Diagnostic, Failed, Place
from singac.settings import AT_LEAST_ONE, Setting, Sort, shape_text
from singac.sources.damage import damaged, found_in, missing, names_in, placed
from singac.sources.kind import COMMON_SETTINGS, LabelFacts, Part, Request, SourceKind, Survey
from singac.sources.pictures import decoded, is_grey, picture

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_PARTS = ("train", "test", "validate")
_SHAPE = Setting(
    "shape",
    "channels, height and width every picture is brought to; the pictures' own when left out",
    sorts=(Sort.SHAPE,),
    optional=True,
    within=AT_LEAST_ONE,
)


# -- finding the files -----------------------------------------------------------------------------


def locate(request: Request) -> tuple[Part, ...]:
    """Every picture of each part, class by class."""
    path = request.text("path")
    own = [n for n in _PARTS if os.path.isdir(os.path.join(path, n))]
    in_parts = "train" in own
    with placed(request.span_of("path")):
        train = os.path.join(path, "train") if in_parts else path
        parts = [Part("train", "path", _pictures(train))]
        for name in own[1:] if in_parts else ():
            if request.get(name) is None:
                parts.append(Part(name, "path", _pictures(os.path.join(path, name))))
    for name in _PARTS[1:]:
        given = request.get(name)
        if isinstance(given, str):
            with placed(request.span_of(name)):
                parts.append(Part(name, name, _pictures(given)))
    return tuple(parts)


def _pictures(folder: str) -> tuple[str, ...]:
    if not os.path.exists(folder):
        raise missing(folder)
    if not os.path.isdir(folder):
        raise damaged("SG0211", "this is a file; wanted a folder with a folder a class", folder)
    files: list[str] = []
    for name in names_in(folder):
        inner = os.path.join(folder, name)
        if not os.path.isdir(inner):
            continue
        found = [n for n in names_in(inner) if n.lower().endswith(_ENDINGS)]
        if not found:
            help = f"pictures end in {' '.join(_ENDINGS)}; {found_in(inner)}"
            raise damaged("SG0225", "there are no pictures of this class", inner, help)
        files += [os.path.join(inner, n) for n in found]
    if not files:
        help = f"wanted a folder of pictures for each class; {found_in(folder)}"
        raise damaged("SG0225", "there are no classes", folder, help)
    return tuple(files)


def _class_of(file: str) -> str:
    return os.path.basename(os.path.dirname(file))


def _classes(request: Request) -> tuple[str, ...]:
    """Names of the classes, those of the training part."""
    train = locate(request)[0]
    return tuple(dict.fromkeys(_class_of(f) for f in train.files))


def _labels(request: Request, part: Part) -> list[int]:
    """The class of each picture; raises `Failed` (SG0245) for one the training part lacks."""
    numbers = {name: number for number, name in enumerate(_classes(request))}
    for file in part.files:
        if _class_of(file) not in numbers:
            message = f"`{_class_of(file)}` is no class of the training part"
            help = f"its classes are {', '.join(list(numbers)[:8])}"
            raise damaged("SG0245", message, os.path.dirname(file), help)
    return [numbers[_class_of(f)] for f in part.files]


# -- reading ---------------------------------------------------------------------------------------


def survey(request: Request, part: Part) -> Survey:
    """The size of every picture from its header; no picture is decoded."""
    labels = _labels(request, part)
    largest = labels.index(max(labels))
    folder = os.path.dirname(part.files[largest])
    label = LabelFacts(labels[largest], folder, f"class `{os.path.basename(folder)}`")
    return Survey(len(labels), (("image", _shape(request, part)), ("label", (1,))), label)


def load(request: Request, part: Part) -> dict[str, Array]:
    """Every picture, [channels][height][width] a row."""
    import numpy as np

    labels = _labels(request, part)
    shape = _shape(request, part)
    images = np.empty((len(labels), *shape), np.uint8)
    for image, file in zip(images, part.files, strict=True):
        image[...] = decoded(file, shape)
    classes = np.array(labels, np.uint8 if max(labels) < 256 else np.float32)
    return {"image": images.reshape(len(labels), -1), "label": classes.reshape(-1, 1)}


def _shape(request: Request, part: Part) -> tuple[int, ...]:
    """`shape` as it was given, else that of all pictures; they have one channel if all are grey."""
    given = request.get("shape")
    if isinstance(given, tuple):
        return _checked(given, request)
    grey = True
    with picture(part.files[0]) as image:
        size = image.size
    for file in part.files:
        with picture(file) as image:
            grey = grey and is_grey(image)
            if image.size != size:
                raise _other_size(file, image.size, part.files[0], size)
    width, height = size
    return (1 if grey else 3, height, width)


def _checked(shape: tuple[int, ...], request: Request) -> tuple[int, ...]:
    if len(shape) == 3 and shape[0] in (1, 3):
        return shape
    span = request.span_of("shape")
    message = f"the shape {shape_text(shape)} is none of a picture"
    place = Place(span) if span else None
    help = "channels, height and width, as in 3x32x32 for colours or 1x32x32 for grey"
    raise Failed([Diagnostic("SG0214", message, place, help=help)])


def _other_size(file: str, size: tuple[int, int], first: str, wanted: tuple[int, int]) -> Failed:
    width, height = wanted
    message = f"a picture of {shape_text(size)} pixels; {first} has {shape_text(wanted)}"
    help = f"shape = 3x{height}x{width} resizes every picture"
    return damaged("SG0244", message, file, help)


IMAGES = SourceKind(
    name="images",
    doc="pictures in a folder for each class, in folders train and test or not; needs Pillow",
    settings=(
        Setting("path", "the folder of the classes", sorts=(Sort.PATH,), positional=True),
        *(_SHAPE if s.name == "shape" else s for s in COMMON_SETTINGS),
    ),
    gives="image, label",
    locate=locate,
    survey=survey,
    load=load,
    declared=("image", "label"),
)
