"""Prepared data: parts held out, folders found again, nothing left unfinished."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_files import Block
from hypothesis import given
from hypothesis import strategies as st

from singac.diagnostics import Exit, Failed
from singac.sources.kind import facts_from_json, request_from_json
from singac.sources.pack import pack
from singac.sources.parts import held_out_rows
from singac.sources.prepare import known_facts, prepare, prepared, read

MakeBlock = Callable[..., Block]
DIGITS = Path(__file__).parents[2] / "models/data/digits.csv.gz"


@pytest.fixture
def data(tmp_path: Path, block: MakeBlock) -> Block:
    (tmp_path / "t.csv").write_bytes(b"".join(b"%d,%d\n" % (n, n % 3) for n in range(50)))
    return block("csv", path="t.csv", test=0.2, validate=0.1)


@given(st.integers(2, 300), st.integers(0, 100), st.integers(0, 100))
def test_parts_are_disjoint_and_complete(examples: int, test: int, validate: int) -> None:
    rows = held_out_rows({"test": test, "validate": validate}, examples)
    assert sorted(np.concatenate(list(rows.values()))) == list(range(examples))
    for part in rows.values():
        assert (np.diff(part) > 0).all(), "in the order of the file"


def test_held_out_rows_are_the_same_everywhere() -> None:
    """Pinned: another order would move examples between the parts of data already in use."""
    rows = held_out_rows({"test": 4}, 10)
    assert rows["test"].tolist() == [0, 1, 2, 9]


def test_the_arrays_of_a_folder(data: Block, tmp_path: Path) -> None:
    folder = prepare(data.request, data.facts, str(tmp_path / "cache"))
    parts = {p: np.load(f"{folder}/{p}.features.npy")[:, 0] for p in ("train", "test", "validate")}
    assert {p: len(v) for p, v in parts.items()} == {"train": 35, "test": 10, "validate": 5}
    for part, values in parts.items():
        labels = np.load(f"{folder}/{part}.label.npy")
        np.testing.assert_array_equal(labels[:, 0], values % 3)
    assert data.facts.train == 35


def test_a_folder_is_found_again(data: Block, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    assert prepared(data.request, cache) is None
    folder = prepare(data.request, data.facts, cache)
    assert prepared(data.request, cache) == folder
    assert prepare(data.request, data.facts, cache) == folder
    assert prepared(request_from_json(data.request.as_json()), cache) == folder
    assert os.listdir(cache) == [os.path.basename(folder)]


def test_facts_are_found_again(data: Block, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    assert known_facts(data.request, cache) is None
    prepare(data.request, data.facts, cache)
    assert known_facts(data.request, cache) == data.facts
    assert facts_from_json(data.facts.as_json()) == data.facts


def test_changed_files_and_settings_are_prepared_anew(
    data: Block, block: MakeBlock, tmp_path: Path
) -> None:
    cache = str(tmp_path / "cache")
    prepare(data.request, data.facts, cache)
    assert prepared(block("csv", path="t.csv", test=0.1).request, cache) is None
    os.utime(tmp_path / "t.csv", ns=(1, 1))
    assert prepared(data.request, cache) is None


def test_no_folder_is_left_of_damaged_data(data: Block, tmp_path: Path) -> None:
    facts = data.facts
    (tmp_path / "t.csv").write_bytes(b"1,2\n3,x\n")
    with pytest.raises(Failed) as failed:
        prepare(data.request, facts, str(tmp_path / "cache"))
    assert failed.value.exit is Exit.DAMAGED
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written(data: Block, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(Failed) as failed:
        prepare(data.request, data.facts, str(tmp_path / "cache"))
    assert failed.value.exit is Exit.ENVIRONMENT


def test_finding_a_folder_needs_no_numpy(data: Block, tmp_path: Path) -> None:
    cache = str(tmp_path / "cache")
    folder = prepare(data.request, data.facts, cache)
    script = (
        "import sys\n"
        "from singac.sources.kind import request_from_json\n"
        "from singac.sources.prepare import prepared\n"
        "print(prepared(request_from_json(sys.argv[1]), sys.argv[2]))\n"
        "print([m for m in ('numpy', 'lark', 'rich', 'networkx') if m in sys.modules])\n"
    )
    command = [sys.executable, "-c", script, data.request.as_json(), cache]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [folder, "[]"]


# fmt: off
KINDS = {
    "csv":     {"path": "t.csv"},
    "cifar":   {"path": "c.bin"},
    "npz":     {"path": "a.npz", "label": "none"},
    "images":  {"path": "pictures"},
    "records": {"path": "r"},
    "chars":   {"path": "t.csv", "length": 5, "vocab": "t.csv"},
    "words":   {"path": "t.csv", "length": 5},
}
# fmt: on


def test_keys_need_no_library(data: Block, tmp_path: Path) -> None:
    """What a warm start does, for a kind of source each."""
    np.savez(tmp_path / "a.npz", features=np.ones((2, 2)))
    (tmp_path / "pictures/one").mkdir(parents=True)
    (tmp_path / "pictures/one/1.png").write_bytes(b"not looked at")
    pack(data.request, data.facts, str(tmp_path / "r"))
    requests = [Block(tmp_path, kind, settings).request for kind, settings in KINDS.items()]
    script = (
        "import sys\n"
        "from singac.sources.kind import request_from_json\n"
        "from singac.sources.prepare import prepared\n"
        "print([prepared(request_from_json(r), 'none') for r in sys.argv[1:]])\n"
        "print([m for m in ('numpy', 'PIL') if m in sys.modules])\n"
    )
    command = [sys.executable, "-c", script, *(r.as_json() for r in requests)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str([None] * len(KINDS)), "[]"]


def test_the_digits(block: MakeBlock) -> None:
    data = block("csv", path=str(DIGITS), shape=(1, 8, 8), test=0.2)
    assert data.facts.label is not None
    assert (data.facts.train, data.facts.test, data.facts.label.largest) == (1438, 359, 9)
    train = read(data.request)["train"]
    assert train["features"].dtype == np.uint8
    assert train["features"].max() == 16
    assert np.bincount(train["label"][:, 0]).min() > 100
