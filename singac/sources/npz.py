"""NumPy's arrays by name: in an .npz file, in a folder of .npy files, or one .npy file alone.

Where an array has the part's name behind its own, it is of that part alone:

    features = "x", label = "y"     x_train y_train x_test y_test    two parts
                                    x y                              all to train on
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from singac.settings import Setting, Sort
from singac.sources.archive import file_of, is_single, names_of, opened
from singac.sources.arrays import is_whole
from singac.sources.damage import damaged, lacking, no_array, placed
from singac.sources.kind import COMMON_SETTINGS, LabelFacts, Part, Request, SourceKind, Survey
from singac.sources.npy import Header, read_header, read_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]


def locate(request: Request) -> tuple[Part, ...]:
    """The files of each part; a file's names say whether it has a test or validation part."""
    path = request.text("path")
    with placed(request.span_of("path")):
        names = names_of(path)
        parts = [_part(request, "train", "path")]
        for name in ("test", "validate"):
            own = f"{request.text('features')}_{name}" in names
            if own and not is_single(path) and request.get(name) is None:
                parts.append(_part(request, name, "path"))
    for name in ("test", "validate"):
        if isinstance(request.get(name), str):
            with placed(request.span_of(name)):
                parts.append(_part(request, name, name))
    return tuple(parts)


def _part(request: Request, name: str, setting: str) -> Part:
    path = request.text(setting)
    arrays = _arrays(request, name, path)
    files = dict.fromkeys(file_of(path, array) for array in arrays.values())
    return Part(name, setting, tuple(files))


def _arrays(request: Request, part: str, path: str) -> dict[str, str]:
    """The array of each field; raises `Failed` (SG0219) where there is none of that name."""
    names = names_of(path)
    if is_single(path):
        if request.get("label") != "none":
            fact = f"{os.path.basename(path)} holds one array and no label"
            help = "say label = none, or give its folder"
            raise lacking(fact, help, path, request.span_of("label"))
        return {"features": names[0]}
    fields = ["features"] if request.get("label") == "none" else ["features", "label"]
    of_part = f"{request.text('features')}_{part}" in names
    wanted = {f: request.text(f) + (f"_{part}" if of_part else "") for f in fields}
    for field, name in wanted.items():
        if name not in names:
            raise no_array(name, names, path, request.span_of(field))
    return wanted


# -- reading ---------------------------------------------------------------------------------------


def survey(request: Request, part: Part) -> Survey:
    """Sizes from the headers; the labels are read for the largest."""
    path = request.text(part.setting)
    arrays = _arrays(request, part.name, path)
    headers = {field: _header(path, name) for field, name in arrays.items()}
    _check_counts(arrays, headers, path)
    label = None
    if "label" in arrays and headers["label"].shape == (1,):
        label = _largest_label(path, arrays["label"])
    fields = tuple((field, header.shape) for field, header in headers.items())
    return Survey(headers["features"].sizes[0], fields, label)


def load(request: Request, part: Part) -> dict[str, Array]:
    """Every value of the arrays, one row an example."""
    path = request.text(part.setting)
    arrays = _arrays(request, part.name, path)
    _check_counts(arrays, {field: _header(path, name) for field, name in arrays.items()}, path)
    return {field: _values(path, name) for field, name in arrays.items()}


def _header(path: str, name: str) -> Header:
    with opened(path, name) as source:
        return read_header(source)


def _values(path: str, name: str) -> Array:
    with opened(path, name) as source:
        return read_values(source, read_header(source))


def _check_counts(arrays: dict[str, str], headers: dict[str, Header], path: str) -> None:
    counts = [header.sizes[0] for header in headers.values()]
    if len(set(counts)) > 1:
        features, label = arrays.values()
        message = f"{counts[1]} examples in `{label}` for {counts[0]} in `{features}`"
        raise damaged("SG0223", message, path)


def _largest_label(path: str, name: str) -> LabelFacts | None:
    import numpy as np

    values = _values(path, name).astype(np.float64)
    if not is_whole(values):
        return None
    row = int(values.argmax())
    return LabelFacts(int(values[row, 0]), file_of(path, name), f"example {row + 1}")


NPZ = SourceKind(
    name="npz",
    doc="arrays of numbers by name, one row an example; x_train and x_test are two parts of x",
    settings=(
        Setting(
            "path",
            "an .npz file, a folder of .npy files, or one .npy file",
            sorts=(Sort.PATH,),
            positional=True,
        ),
        Setting("features", "the array of the features", sorts=(Sort.TEXT,), default="features"),
        Setting(
            "label",
            "the array of the labels; whole numbers of at least 0 are classes, others targets",
            sorts=(Sort.WORD, Sort.TEXT),
            choices=("none",),
            default="label",
        ),
        *COMMON_SETTINGS,
    ),
    gives="features, label",
    locate=locate,
    survey=survey,
    load=load,
    declared=("features", "label"),
)
