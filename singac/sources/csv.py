"""Tables of numbers in text: features, and a label in a column of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from singac.diagnostics import Diagnostic, Failed, Place, did_you_mean
from singac.settings import AT_LEAST_ONE, Setting, Sort
from singac.sources.arrays import compact, is_whole, joined
from singac.sources.cells import WHITE_SPACE, Block, Table, blocks, parse, table_of
from singac.sources.damage import damaged
from singac.sources.kind import COMMON_SETTINGS, LabelFacts, Part, Request, SourceKind, Survey

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]
    Numbers = NDArray[np.float64] | NDArray[np.int16]

_SEPARATORS = {"tab": "\t", "space": WHITE_SPACE}


def locate(request: Request) -> tuple[Part, ...]:
    """The file of each part."""
    parts = [Part("train", "path", (request.text("path"),))]
    for name in ("test", "validate"):
        given = request.get(name)
        if isinstance(given, str):
            parts.append(Part(name, name, (given,)))
    return tuple(parts)


def survey(request: Request, part: Part) -> Survey:
    """The whole file is read: a text has no header that says how many examples it holds."""
    examples = features = 0
    largest: LabelFacts | None = None
    classes = True
    for table, block, values in _matrices(request, part.files[0]):
        label = _label_column(request, table)
        features = table.columns - (label is not None)
        examples += len(values)
        if label is None or not classes:
            continue
        classes = is_whole(values[:, label])
        if classes and len(values):
            found = _largest_label(block, values[:, label], table.path)
            largest = found if largest is None or found.largest > largest.largest else largest
    fields: tuple[tuple[str, tuple[int, ...]], ...] = (("features", (features,)),)
    if request.get("label") != "none":
        fields = (*fields, ("label", (1,)))
    return Survey(examples, fields, largest if classes else None)


def load(request: Request, part: Part) -> dict[str, Array]:
    """Every value of the file, one row an example; no `label` with `label = none`."""
    import numpy as np

    features: list[Array] = []
    labels: list[Array] = []
    for table, _, values in _matrices(request, part.files[0]):
        label = _label_column(request, table)
        if label is None:
            features.append(compact(values))
        else:
            features.append(compact(np.delete(values, label, axis=1)))
            labels.append(compact(values[:, label : label + 1]))
    fields = {"features": joined(features)}
    return fields | {"label": joined(labels)} if labels else fields


def _matrices(request: Request, path: str) -> Iterator[tuple[Table, Block, Numbers]]:
    """The numbers of a file block by block; raises `Failed` where there is no example."""
    written = request.text("separator")
    table: Table | None = None
    examples = 0
    for block in blocks(path):
        if table is None:
            table, block = table_of(path, _SEPARATORS.get(written, written), block)
        values = parse(block, table)
        examples += len(values)
        yield table, block, values
    if not examples:
        raise damaged("SG0225", "there are no examples: the file has only a header", path)


def _largest_label(block: Block, labels: Numbers, path: str) -> LabelFacts:
    row = int(labels.argmax())
    line = block.line + row
    lines = block.text.count(b"\n") + (not block.text.endswith(b"\n"))
    if lines > len(labels):  # some are blank
        line = next(n for i, (n, _) in enumerate(block.lines()) if i == row)
    return LabelFacts(int(labels[row]), path, f"line {line}")


# -- the label's column ----------------------------------------------------------------------------


def _label_column(request: Request, table: Table) -> int | None:
    """Index of the label's column, None with `label = none`; raises `Failed` (SG0216)."""
    label = request.get("label")
    if label == "none":
        return None
    if table.columns == 1:
        raise _no_label(request, table, "the only column cannot be the label", "say label = none")
    if isinstance(label, str):
        return _column_by_word(request, table, label)
    column = int(request.number("label"))
    if column > table.columns:
        fact = f"there is no column {column} to be the label"
        raise _no_label(request, table, fact, f"the first line has {table.columns} columns")
    return column - 1


def _column_by_word(request: Request, table: Table, label: str) -> int:
    if label in ("first", "last"):
        return 0 if label == "first" else table.columns - 1
    if label in table.names:
        return table.names.index(label)
    fact = f"there is no column `{label}` to be the label"
    if not table.names:
        raise _no_label(request, table, fact, "the file has no header; give the column's number")
    raise _no_label(request, table, fact, did_you_mean(label, table.names))


def _no_label(request: Request, table: Table, message: str, help: str | None) -> Failed:
    span = request.span_of("label")
    place = Place(span) if span else None
    return Failed([Diagnostic("SG0216", message, place, help=help, file=table.path)])


CSV = SourceKind(
    name="csv",
    doc="numbers in text, one example a line, .gz or not; a header is recognised",
    settings=(
        Setting("path", "the file", sorts=(Sort.PATH,), positional=True),
        Setting(
            "label",
            "the label's column; whole numbers of at least 0 in it are classes, others targets",
            sorts=(Sort.WORD, Sort.INTEGER, Sort.TEXT),
            choices=("last", "first", "none"),
            default="last",
            within=AT_LEAST_ONE,
        ),
        Setting(
            "separator",
            "one character between cells, or any white space",
            sorts=(Sort.WORD, Sort.TEXT),
            choices=("tab", "space"),
            default=",",
        ),
        *COMMON_SETTINGS,
    ),
    gives="features, label",
    locate=locate,
    survey=survey,
    load=load,
    declared=("features", "label"),
)
