"""Objects in the cache, functions from objects, and the state they run in."""

from pathlib import Path

import numpy as np
import pytest

from singac.codegen import compiler, host, native
from singac.codegen.ir import entry, fma, load, new_module, store, vector

NAMES = ("twice",)


def twice_ir() -> str:
    """out = 2 * in, one vector."""
    module = new_module(host.current())
    with entry(module, "twice", 2) as function:
        value = load(function.builder, function.arguments[0])
        doubled = fma(function.builder, value, vector(2.0), vector(0.0))
        store(function.builder, doubled, function.arguments[1])
    return str(module)


class Builder:
    """`twice_ir`, counting its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        return twice_ir()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(native.CACHE_VARIABLE, str(tmp_path))
    return tmp_path


def doubles(library: native.Library) -> bool:
    arena = native.allocate(128).view(np.float32)
    arena[:16] = np.arange(16)
    assert library.function("twice", 2)(arena.ctypes.data, arena.ctypes.data + 64) == 0
    return bool((arena[16:] == 2 * np.arange(16)).all())


def test_object_is_built_once(cache):
    build = Builder()
    assert all(doubles(native.load("key", NAMES, build)) for _ in range(3))
    assert build.calls == 1
    assert len(list(cache.iterdir())) == 1


def test_another_key_is_another_object(cache):
    build = Builder()
    for key in ("one", "two"):
        native.load(key, NAMES, build)
    assert build.calls == 2


def test_another_instruction_set_is_another_object(cache, monkeypatch):
    build = Builder()
    for isa in ("avx2", "baseline"):
        monkeypatch.setenv(host.ISA_VARIABLE, isa)
        assert doubles(native.load("key", NAMES, build))
    assert build.calls == 2


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_damaged_object_is_built_again(cache, damage):
    build = Builder()
    native.load("key", NAMES, build)
    (path,) = cache.iterdir()
    stored = bytearray(path.read_bytes())
    stored[-1] ^= 1
    path.write_bytes({"cut": stored[:-9], "flip": stored, "empty": b""}[damage])
    assert doubles(native.load("key", NAMES, build))
    assert build.calls == 2
    assert doubles(native.load("key", NAMES, build))
    assert build.calls == 2


def test_folder_that_cannot_be_made_is_no_cache(tmp_path, monkeypatch):
    """A file stands where the folder should be: not even a superuser can write into it."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(native.CACHE_VARIABLE, str(tmp_path / "file" / "cache"))
    build = Builder()
    assert all(doubles(native.load("key", NAMES, build)) for _ in range(2))
    assert build.calls == 2


def test_user_without_a_home_has_no_cache(monkeypatch):
    def homeless() -> Path:
        raise RuntimeError("could not determine home directory")

    for variable in (native.CACHE_VARIABLE, "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert doubles(native.load("key", NAMES, twice_ir))


def test_full_disk_leaves_nothing_behind(cache, monkeypatch):
    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(native.os, "replace", full)
    assert doubles(native.load("key", NAMES, twice_ir))
    assert not list(cache.iterdir())


def test_cache_lies_where_the_desktop_says(tmp_path, monkeypatch):
    monkeypatch.delenv(native.CACHE_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    native.load("key", NAMES, twice_ir)
    assert len(list((tmp_path / "singac").iterdir())) == 1


def test_unknown_instruction_set_is_named(monkeypatch):
    monkeypatch.setenv(host.ISA_VARIABLE, "mmx")
    with pytest.raises(ValueError, match=r"mmx.*avx512, avx2, baseline"):
        host.current()


def test_arena_is_zero_and_aligned():
    arena = native.allocate(12345)
    assert arena.size == 12345
    assert arena.ctypes.data % native.HUGE_PAGE == 0
    assert not arena.any()
    arena[:] = 1


def test_denormals_are_zero_inside_and_not_after():
    denormal = np.float32(1e-40)
    arena = native.allocate(128).view(np.float32)
    arena[:16] = denormal
    machine = host.current()
    library = native.Library([compiler.compile_object(twice_ir(), machine)], NAMES)
    library.function("twice", 2)(arena.ctypes.data, arena.ctypes.data + 64)
    assert not arena[16:].any()
    assert np.add(arena[:16], arena[:16]).all()


def test_assembly_names_the_function():
    assert "twice:" in compiler.assembly(twice_ir())
