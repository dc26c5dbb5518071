"""Files -> texts, and what keeps a file from being read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from singac.diagnostics import Diagnostic, Failed, show
from singac.syntax.read import read


def refused(path: Path | str) -> Diagnostic:
    with pytest.raises(Failed) as failed:
        read(path)
    (diagnostic,) = failed.value.diagnostics
    assert show([diagnostic])
    return diagnostic


def test_a_program_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.singa"
    path.write_bytes("\ufefflet a = 1  # größer\r\n".encode())
    assert read(path).text == "let a = 1  # größer\r\n"
    assert read(path).path == str(path)


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    assert refused(tmp_path / "missing.singa").message == "there is no such file"
    assert refused(tmp_path).message == "this is a folder, not a program"
    assert refused("a\0b").message == "this is not a path"
    assert refused(tmp_path / "a.singa" / "b").code == "SG0003"
    assert refused(str(tmp_path / ("a" * 300))).code == "SG0003"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.singa"
    path.write_text("let a = 1")
    path.chmod(0)
    assert refused(path).message == "the file may not be read"


def test_a_byte_that_is_not_utf8_has_a_place(tmp_path: Path) -> None:
    path = tmp_path / "a.singa"
    path.write_bytes(b"let a = 1\nlet b = \xff\xfe 2\n")
    diagnostic = refused(path)
    assert diagnostic.code == "SG0004"
    assert f"{path}:2:9" in show([diagnostic])
    assert "byte 0xff" in show([diagnostic])


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.singa"
    path.write_bytes(b"# " * (4 * 2**20 + 1))
    assert refused(path).code == "SG0006"
