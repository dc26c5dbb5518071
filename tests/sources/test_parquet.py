"""Columns of Parquet files, whole or in pieces, and what is said of damage."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_files import Block

from singac.diagnostics import Exit
from singac.sources.prepare import read

MakeBlock = Callable[..., Block]


def test_without_the_library_the_extra_is_named(
    tmp_path: Path, block: MakeBlock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "d.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    fault = block("parquet", path="d.parquet").fault
    assert "read by pyarrow, which is not installed" in fault.message
    assert fault.help == "pip install 'singac[parquet]'"


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., None]:
    reason = "the extra `parquet` is not installed: pyarrow is 45 MB"
    arrow = pytest.importorskip("pyarrow", reason=reason)
    parquet = pytest.importorskip("pyarrow.parquet", reason=reason)

    def write(name: str, **columns: object) -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        parquet.write_table(arrow.table(columns), tmp_path / name)

    return write


def test_columns_and_lists_side_by_side(save: Callable[..., None], block: MakeBlock) -> None:
    save("d.parquet", a=[1, 2, 3], b=[[0.5, 1], [2, 3], [4, 5]], c=[0, 4, 1])
    data = block("parquet", path="d.parquet")
    assert [(f.name, f.shape) for f in data.facts.fields] == [("features", (3,)), ("label", (1,))]
    assert data.facts.label is not None
    assert (data.facts.label.largest, data.facts.label.place) == (4, "example 2")
    train = read(data.request)["train"]
    np.testing.assert_array_equal(train["features"], [[1, 0.5, 1], [2, 2, 3], [3, 4, 5]])
    np.testing.assert_array_equal(train["label"][:, 0], [0, 4, 1])


def test_a_folder_is_its_files_end_to_end(save: Callable[..., None], block: MakeBlock) -> None:
    save("d/0.parquet", y=[1, 2], x=[10, 20])
    save("d/1.parquet", y=[0], x=[0.5])
    data = block("parquet", path="d", label="y")
    assert data.facts.train == 3
    np.testing.assert_array_equal(read(data.request)["train"]["features"][:, 0], [10, 20, 0.5])


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"x": [1.0, None], "y": [0, 1]}, "column `x` has no value in row 2"),
        ({"x": ["a", "b"], "y": [0, 1]}, "column `x` holds no numbers"),
        ({"x": [[1.0], [1.0, 2.0, 3.0]], "y": [0, 1]}, "the lists of column `x` differ in length"),
        ({"x": [1.0, float("inf")], "y": [0, 1]}, "value 1 of example 2, inf, is not finite"),
        ({"y": [0, 1]}, "there is no column beside the label"),
    ],
)
def test_faults(
    columns: dict[str, object], told: str, save: Callable[..., None], block: MakeBlock
) -> None:
    save("d.parquet", **columns)
    fault = block("parquet", path="d.parquet").fault
    assert told in fault.message
    assert fault.exit is Exit.DAMAGED


def test_a_column_that_is_not_there(save: Callable[..., None], block: MakeBlock) -> None:
    save("d.parquet", x=[1, 2], kind=[0, 1])
    assert (
        "there is no column `kinds`"
        in block("parquet", path="d.parquet", label="kinds").fault.message
    )


@pytest.mark.parametrize("kept", [0, 7, 100])
def test_a_file_cut_short(
    kept: int, save: Callable[..., None], tmp_path: Path, block: MakeBlock
) -> None:
    save("d.parquet", x=[1, 2], y=[0, 1])
    (tmp_path / "d.parquet").write_bytes((tmp_path / "d.parquet").read_bytes()[:kept])
    assert block("parquet", path="d.parquet").fault.exit is Exit.DAMAGED
