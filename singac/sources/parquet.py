"""Columns of numbers in Parquet files, through pyarrow, which is an extra of its own.

A folder is its files end to end, in the order of their names. A column of lists has as many values
an example as each list, every other column has one:

    pixels [784 values] | age | class       features: 785 values, label: class
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from singac.diagnostics import Diagnostic, Exit, Failed, Place, did_you_mean
from singac.settings import Setting, Sort
from singac.sources.damage import damaged, found_in, names_in, placed, size_of
from singac.sources.extras import largest_label, library, rows, whole
from singac.sources.kind import COMMON_SETTINGS, Part, Request, SourceKind, Survey

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

_SUFFIX = ".parquet"


def locate(request: Request) -> tuple[Part, ...]:
    """The file or files of each part."""
    parts = []
    for name, setting in (("train", "path"), ("test", "test"), ("validate", "validate")):
        given = request.get(setting)
        if isinstance(given, str):
            with placed(request.span_of(setting)):
                parts.append(Part(name, setting, _files(given)))
    return tuple(parts)


def _files(path: str) -> tuple[str, ...]:
    if not os.path.isdir(path):
        size_of(path)
        return (path,)
    found = [n for n in names_in(path) if n.endswith(_SUFFIX)]
    if not found:
        raise damaged("SG0225", "there are no .parquet files", path, found_in(path))
    return tuple(os.path.join(path, name) for name in found)


def survey(request: Request, part: Part) -> Survey:
    """Sizes and the largest label; all of the files is read for them."""
    fields = load(request, part)
    features = fields["features"]
    label = None
    if "label" in fields:
        label = largest_label(fields["label"], part.files[0])
    shapes = tuple((name, (int(values.shape[1]),)) for name, values in fields.items())
    return Survey(int(features.shape[0]), shapes, label)


def load(request: Request, part: Part) -> dict[str, Array]:
    """Every value of the columns, one row an example."""
    import numpy as np

    pieces = [_piece(request, path) for path in part.files]
    widths = {piece["features"].shape[1] for piece in pieces}
    if len(widths) > 1:
        path = next(
            p for p, piece in zip(part.files, pieces, strict=True)
            if piece["features"].shape != (len(piece["features"]), pieces[0]["features"].shape[1])
        )  # fmt: skip
        message = f"its examples have other values than those of {part.files[0]}"
        raise damaged("SG0228", message, path)
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _piece(request: Request, path: str) -> dict[str, Array]:
    import numpy as np

    table = _table(path)
    names = list(table.column_names)
    if table.num_rows == 0 or not names:
        raise damaged("SG0225", "there are no examples", path)
    label = _label(request, names, path)
    values = {name: _values(table.column(name), name, path) for name in names}
    features = [values[name] for name in names if name != label]
    if not features:
        raise damaged("SG0225", "there is no column beside the label", path)
    found = {"features": rows(np.concatenate(features, axis=1), "the columns", path)}
    if label is not None:
        found["label"] = rows(values[label], f"column `{label}`", path)
    return found


def _table(path: str) -> Any:
    parquet = library("pyarrow.parquet", "pyarrow", "parquet", path)
    with whole(path, "Parquet", OSError, ValueError):
        return parquet.read_table(path)


def _label(request: Request, names: list[str], path: str) -> str | None:
    given = request.text("label")
    if given in ("first", "last", "none"):
        return {"first": names[0], "last": names[-1], "none": None}[given]
    if given not in names:
        span = request.span_of("label")
        message, place = f"there is no column `{given}`", Place(span) if span else None
        help = did_you_mean(given, names)
        raise Failed(
            [Diagnostic("SG0216", message, place, help=help, file=path, exit=Exit.DAMAGED)]
        )
    return given


def _values(column: Any, name: str, path: str) -> Any:
    """Values of a column, [examples][values of each]."""
    import numpy as np

    examples, column = len(column), column.combine_chunks()
    while hasattr(column.type, "value_type") and hasattr(column, "flatten"):
        _no_gaps(column, name, path)
        if hasattr(column, "offsets") and len(set(np.diff(column.offsets))) > 1:
            raise damaged("SG0236", f"the lists of column `{name}` differ in length", path)
        column = column.flatten()
    _no_gaps(column, name, path)
    values = column.to_numpy(zero_copy_only=False)
    if values.dtype.kind not in "biuf":
        raise damaged("SG0236", f"column `{name}` holds no numbers but {column.type}", path)
    return np.ascontiguousarray(values).reshape(examples, -1)


def _no_gaps(column: Any, name: str, path: str) -> None:
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise damaged("SG0227", f"column `{name}` has no value in row {row + 1}", path)


PARQUET = SourceKind(
    name="parquet",
    doc="columns of numbers in a Parquet file, or a folder of them end to end; needs pyarrow",
    settings=(
        Setting("path", "a file, or a folder of .parquet files", (Sort.PATH,), positional=True),
        Setting(
            "label",
            "the column of the label: its name, or first, last, none",
            sorts=(Sort.WORD, Sort.TEXT),
            choices=("first", "last", "none"),
            default="last",
        ),
        *COMMON_SETTINGS,
    ),
    gives="features, label",
    locate=locate,
    survey=survey,
    load=load,
    declared=("features", "label"),
)
