"""Arrays by name in an HDF5 file, through h5py, which is an extra of its own.

Of each array there may be one for each part, told by its name or its group:

    features = "x", label = "y"     x_train y_train x_test y_test    or    train/x train/y test/x
                                    x y                              all to train on
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singac.settings import Setting, Sort, shape_text
from singac.sources.damage import damaged, no_array, placed
from singac.sources.extras import largest_label, library, rows, whole
from singac.sources.kind import COMMON_SETTINGS, Part, Request, SourceKind, Survey

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

Names = dict[str, tuple[tuple[int, ...], str]]  # sizes and kind of number of each array


def locate(request: Request) -> tuple[Part, ...]:
    """The file of each part; its names say whether it has a test or validation part."""
    path = request.text("path")
    with placed(request.span_of("path")):
        names = _names(path)
        parts = [Part("train", "path", (path,))]
        for name in ("test", "validate"):
            own = any(n in names for n in _own(request.text("features"), name))
            if own and request.get(name) is None:
                parts.append(Part(name, "path", (path,)))
    for name in ("test", "validate"):
        given = request.get(name)
        if isinstance(given, str):
            parts.append(Part(name, name, (given,)))
    return tuple(parts)


def _own(name: str, part: str) -> tuple[str, str]:
    return f"{name}_{part}", f"{part}/{name}"


def survey(request: Request, part: Part) -> Survey:
    """Sizes from the file's tables; the labels are read for the largest."""
    (path,) = part.files
    names, chosen = _names(path), _chosen(request, part, path)
    counts = {names[array][0][0] for array in chosen.values()}
    if len(counts) > 1:
        told = " and ".join(f"{names[a][0][0]} in `{a}`" for a in chosen.values())
        raise damaged("SG0223", f"there are {told} examples", path)
    fields = tuple((field, names[array][0][1:] or (1,)) for field, array in chosen.items())
    label = None
    if fields[-1] == ("label", (1,)):
        label = largest_label(_read(path, chosen["label"]), path)
    return Survey(counts.pop(), fields, label)


def load(request: Request, part: Part) -> dict[str, Array]:
    """Every value of the arrays, one row an example."""
    (path,) = part.files
    chosen = _chosen(request, part, path)
    return {f: rows(_read(path, array), f"array `{array}`", path) for f, array in chosen.items()}


def _chosen(request: Request, part: Part, path: str) -> dict[str, str]:
    """The array of each field; raises `Failed` where there is none, or it holds no numbers."""
    names = _names(path)
    fields = ["features"] if request.get("label") == "none" else ["features", "label"]
    chosen = {}
    for field in fields:
        plain = request.text(field)
        found = [n for n in (*_own(plain, part.name), plain) if n in names]
        if not found:
            raise no_array(plain, names, path, request.span_of(field))
        sizes, kind = names[found[0]]
        if not sizes or kind not in "biuf":
            raise damaged("SG0236", f"array `{found[0]}` holds no numbers of examples", path)
        if 0 in sizes:
            message = f"there are no examples: `{found[0]}` has sizes {shape_text(sizes)}"
            raise damaged("SG0225", message, path)
        chosen[field] = found[0]
    return chosen


def _names(path: str) -> Names:
    names: Names = {}

    def visit(name: str, found: Any) -> None:
        if hasattr(found, "dtype"):
            names[name] = (tuple(found.shape), found.dtype.kind)

    h5py = library("h5py", "h5py", "hdf5", path)
    with whole(path, "HDF5", OSError, RuntimeError, KeyError), h5py.File(path, "r") as file:
        file.visititems(visit)
    return names


def _read(path: str, name: str) -> Any:
    h5py = library("h5py", "h5py", "hdf5", path)
    with whole(path, "HDF5", OSError, RuntimeError, KeyError), h5py.File(path, "r") as file:
        return file[name][...]


HDF5 = SourceKind(
    name="hdf5",
    doc="arrays of an HDF5 file by name, x_train or train/x for a part of their own; needs h5py",
    settings=(
        Setting("path", "an HDF5 file", sorts=(Sort.PATH,), positional=True),
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
