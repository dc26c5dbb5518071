"""Text of separated numbers -> matrices, a block of whole lines at a time.

A block is parsed at once. Only one that does not parse is gone through line by line, to find the
place of its first fault.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from singac.diagnostics import Failed
from singac.sources.damage import damaged
from singac.sources.stream import Stream

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 1 << 22  # bytes of text parsed at once
LONGEST_LINE = 1 << 26
WHITE_SPACE = "space"
_BOM = b"\xef\xbb\xbf"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf|infinity)", re.I | re.A)
_LARGEST = 3.4028234663852886e38  # the largest finite float32
_OTHER_SEPARATORS = (",", ";", "\t", "|")
_SHOWN = 40  # characters of a cell shown at most


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines of a text, from line `line` (counted from 1) on."""

    text: bytes
    line: int

    def lines(self) -> Iterator[tuple[int, str]]:
        """Lines that are not blank, with their numbers."""
        for number, line in enumerate(self.text.decode().split("\n"), self.line):
            if line.strip():
                yield number, line.rstrip("\r")


@dataclass(frozen=True, slots=True)
class Table:
    """How a file is cut in cells: the separator, the columns, and their names where it has any."""

    path: str
    separator: str
    columns: int
    names: tuple[str, ...] = ()


def blocks(path: str) -> Iterator[Block]:
    """The text of a file, packed or not, in blocks of whole lines; it is checked to be text."""
    line, rest, empty = 1, b"", True
    with Stream(path) as stream:
        while chunk := stream.read(BLOCK):
            chunk = chunk.removeprefix(_BOM) if empty else chunk
            empty = False
            cut = chunk.rfind(b"\n") + 1
            whole, rest = (rest + chunk[:cut], chunk[cut:]) if cut else (b"", rest + chunk)
            _check_text(whole or rest, line, path)
            if whole:
                yield Block(whole, line)
                line += whole.count(b"\n")
    if empty:
        raise damaged("SG0224", "the file is empty", path)
    if rest.strip():
        _check_text(rest + b"\n", line, path)
        yield Block(rest, line)


def _check_text(text: bytes, line: int, path: str) -> None:
    if b"\0" in text:
        place = _place(text, text.index(0), line)
        help = "a csv file is UTF-8 text; other encodings and formats must be converted"
        raise damaged("SG0230", f"{place}: a zero byte, so this is no text", path, help)
    if len(text) > LONGEST_LINE and b"\n" not in text:
        raise damaged("SG0230", f"line {line} is longer than {LONGEST_LINE} bytes", path)
    if not text.endswith(b"\n"):
        return  # a character may be cut at the end; the whole line comes with the next chunk
    _check_utf8(text, line, path)


def _check_utf8(text: bytes, line: int, path: str) -> None:
    try:
        text.decode()
    except UnicodeDecodeError as error:
        place = _place(text, error.start, line)
        byte = f"{text[error.start]:02x}"
        raise damaged("SG0231", f"{place}: {byte} is not UTF-8 text", path) from None


def _place(text: bytes, offset: int, line: int) -> str:
    """`line 3, byte 14`, both counted from 1; the text starts with line `line`."""
    start = text.rfind(b"\n", 0, offset) + 1
    number = line + text.count(b"\n", 0, offset)
    return f"line {number}, byte {offset - start + 1}"


def table_of(path: str, separator: str, first: Block) -> tuple[Table, Block]:
    """How the file is cut, from its first line, and the first block without a header.

    A header is a first line without any number.
    """
    number, line = next(first.lines(), (first.line, ""))
    cells = split(line, separator)
    if not line:
        raise damaged("SG0224", "the file has only blank lines", path)
    if any(_NUMBER.fullmatch(c) for c in cells):
        return Table(path, separator, len(cells)), first
    position = 0
    for _ in range(number - first.line + 1):
        position = first.text.find(b"\n", position) + 1 or len(first.text)
    body = Block(first.text[position:], number + 1)
    return Table(path, separator, len(cells), tuple(cells)), body


def split(line: str, separator: str) -> list[str]:
    """Cells of a line, without the space and quotes around them."""
    if separator == WHITE_SPACE:
        return line.split()
    cells = line.split(separator)
    if '"' in line:
        with suppress(csv.Error):  # quotes without sense stay in their cells, and are told there
            cells = next(csv.reader([line], delimiter=separator))
    return [c.strip() for c in cells]


def parse(block: Block, table: Table) -> NDArray[np.float64] | NDArray[np.int16]:
    """The numbers of a block, [lines][columns]; raises `Failed` at the first fault."""
    import numpy as np

    values = _small_whole_numbers(block.text, table)
    if values is not None:
        return values
    delimiter = None if table.separator == WHITE_SPACE else table.separator
    lines = [line for _, line in block.lines()]
    if not lines:
        return np.empty((0, table.columns))
    try:
        read = np.loadtxt(lines, delimiter=delimiter, comments=None, quotechar='"', ndmin=2)
    except ValueError as error:
        raise first_fault(block, table, str(error)) from None
    if read.shape != (len(lines), table.columns) or not bool((np.abs(read) <= _LARGEST).all()):
        raise first_fault(block, table, "the numbers could not be read")
    return read


def _small_whole_numbers(text: bytes, table: Table) -> NDArray[np.int16] | None:
    """The numbers where all are whole, unsigned and of at most three digits, as in images.

    None where the text has anything else; it is some ten times as fast as the general way.

        text     1 2 3 , 4 \\n     ends     3 5
        digits   1 2 3   4        number  = digit before the end + 10 x the one before + ...
    """
    import numpy as np

    if len(table.separator) != 1 or not table.separator.isascii():
        return None
    text = text.replace(b"\r\n", b"\n")
    bytes_ = np.frombuffer(text if text.endswith(b"\n") else text + b"\n", dtype=np.uint8)
    digits = bytes_ - np.uint8(ord("0"))
    ends = np.flatnonzero(digits > 9)
    if ends.size % table.columns:
        return None
    found = bytes_[ends].reshape(-1, table.columns)
    if not ((found[:, -1] == ord("\n")).all() and (found[:, :-1] == ord(table.separator)).all()):
        return None
    lengths = np.diff(ends, prepend=-1) - 1
    if lengths.size == 0 or lengths.min() < 1 or lengths.max() > 3:
        return None
    values = digits[ends - 1].astype(np.int16)
    values += digits[ends - 2] * np.where(lengths > 1, np.int16(10), np.int16(0))
    values += digits[ends - 3] * np.where(lengths > 2, np.int16(100), np.int16(0))
    return values.reshape(-1, table.columns)


# -- faults ----------------------------------------------------------------------------------------


def first_fault(block: Block, table: Table, otherwise: str) -> Failed:
    """The first line that has another number of cells, or the first cell that is no number."""
    for number, line in block.lines():
        cells = split(line, table.separator)
        if len(cells) != table.columns:
            return _ragged(number, line, len(cells), table)
        for column, cell in enumerate(cells, 1):
            fault = _fault_of(cell)
            if fault:
                return _bad_cell(fault, number, column, table, _hint(cell, number, table))
    return damaged("SG0233", f"in the lines from {block.line} on, {otherwise}", table.path)


def _fault_of(cell: str) -> str | None:
    shown = f"`{cell[:_SHOWN]}`"
    if not cell:
        return "the cell is empty"
    if not _NUMBER.fullmatch(cell):
        return f"{shown} is not a number"
    if "n" in cell.lower():
        return f"{shown} is not finite"
    if abs(float(cell)) > _LARGEST:
        return f"{shown} is too large for a 32-bit float"
    return None


def _ragged(number: int, line: str, cells: int, table: Table) -> Failed:
    message = f"line {number} has {_columns(cells)}, the first line has {table.columns}"
    return damaged("SG0232", message, table.path, _other_separator(line, cells, table))


def _other_separator(line: str, cells: int, table: Table) -> str | None:
    others = (s for s in _OTHER_SEPARATORS if s != table.separator and s in line)
    other = next(others, None) if cells == 1 else None
    return f"it has the separator {other!r}: write `separator`" if other else None


def _hint(cell: str, line: int, table: Table) -> str | None:
    """What may be meant by a cell that is no number."""
    if line == 1:
        return "a header is a first line without any number"
    if other := _other_separator(cell, table.columns, table):
        return other
    words = any(c.isalpha() for c in cell)
    return "a csv holds numbers: write classes as 0, 1, 2, ..." if words else None


def _bad_cell(fault: str, line: int, column: int, table: Table, hint: str | None) -> Failed:
    name = f" ({table.names[column - 1]})" if table.names else ""
    code = "SG0234" if "finite" in fault or "large" in fault else "SG0233"
    return damaged(code, f"line {line}, column {column}{name}: {fault}", table.path, hint)


def _columns(count: int) -> str:
    return "1 column" if count == 1 else f"{count} columns"
