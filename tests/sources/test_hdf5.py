"""Arrays of HDF5 files: where they are found, and what is said of damage."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_files import Block

from singac.diagnostics import Exit, Failed
from singac.sources.prepare import read

h5py = pytest.importorskip("h5py", reason="the extra `hdf5` is not installed")
MakeBlock = Callable[..., Block]
X = np.arange(24, dtype=np.float64).reshape(4, 2, 3) - 5
Y = np.array([1, 0, 7, 7])


def save(path: Path, **arrays: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file.create_dataset(name.replace("__", "/"), data=values, compression=None)


@pytest.mark.parametrize("form", ["x_{}", "{}__x"])
def test_parts_by_name_or_group(form: str, tmp_path: Path, block: MakeBlock) -> None:
    names = {"x": form, "y": form.replace("x", "y")}
    train = {names["x"].format("train"): X, names["y"].format("train"): Y}
    test = {names["x"].format("test"): X[:2], names["y"].format("test"): Y[:2]}
    save(tmp_path / "d.h5", **train, **test)
    data = block("hdf5", path="d.h5", features="x", label="y")
    assert (data.facts.train, data.facts.test) == (4, 2)
    assert [(f.name, f.shape) for f in data.facts.fields] == [("features", (2, 3)), ("label", (1,))]
    assert data.facts.label is not None
    assert (data.facts.label.largest, data.facts.label.place) == (7, "example 3")
    parts = read(data.request)
    np.testing.assert_array_equal(parts["train"]["features"], X.reshape(4, 6))
    np.testing.assert_array_equal(parts["test"]["label"][:, 0], Y[:2])


def test_one_array_without_labels_is_split(tmp_path: Path, block: MakeBlock) -> None:
    save(tmp_path / "d.h5", features=X)
    data = block("hdf5", path="d.h5", label="none", test=0.5)
    assert (data.facts.train, data.facts.test) == (2, 2)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"featurez": X, "label": Y}, "there is no array `features`"),
        ({"features": X, "label": Y[:3]}, "there are 4 in `features` and 3 in `label` examples"),
        ({"features": X * np.nan, "label": Y}, "value 1 of example 1, nan, is not finite"),
        ({"features": np.array([b"a", b"b"]), "label": Y[:2]}, "`features` holds no numbers"),
        ({"features": X[:0], "label": Y[:0]}, "there are no examples: `features` has sizes 0x2x3"),
    ],
)
def test_faults(arrays: dict[str, np.ndarray], told: str, tmp_path: Path, block: MakeBlock) -> None:
    save(tmp_path / "d.h5", **arrays)
    if "nan" in told:
        with pytest.raises(Failed) as failed:
            read(block("hdf5", path="d.h5").request)
        (fault,) = failed.value.diagnostics
    else:
        fault = block("hdf5", path="d.h5").fault
    assert told in fault.message
    assert fault.exit is (Exit.FAILED if fault.code == "SG0219" else Exit.DAMAGED)
    assert str(fault.file).endswith("d.h5")


@pytest.mark.parametrize("kept", [0, 7, 600])
def test_a_file_cut_short(kept: int, tmp_path: Path, block: MakeBlock) -> None:
    save(tmp_path / "d.h5", features=X, label=Y)
    (tmp_path / "d.h5").write_bytes((tmp_path / "d.h5").read_bytes()[:kept])
    assert block("hdf5", path="d.h5").fault.exit is Exit.DAMAGED


def test_without_the_library_the_extra_is_named(
    tmp_path: Path, block: MakeBlock, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "d.h5", features=X, label=Y)
    monkeypatch.setitem(sys.modules, "h5py", None)
    fault = block("hdf5", path="d.h5").fault
    assert "read by h5py, which is not installed" in fault.message
    assert fault.help == "pip install 'singac[hdf5]'"
