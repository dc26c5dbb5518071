"""Checkpoints: resumed exactly, damage found, other nets refused."""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import nets
import numpy as np
import pytest
from running import Finished, run
from safetensors.numpy import load_file, save_file

from runtime.checkpoints import checkpoint
from runtime.checkpoints.checkpoint import Damaged
from singac.plan.plan import Every
from singac.saved import listed

STEPS = 12


def tensors(folder: Path, step: int) -> dict[str, np.ndarray]:
    path = folder / "checkpoints" / checkpoint.folder_name(step)
    return load_file(path / "params.safetensors") | load_file(path / "states.safetensors")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run that has saved on its way."""
    folder = tmp_path_factory.mktemp("whole")
    plan = nets.plan(2, 2, steps=STEPS, checkpoint=Every(4), display=Every(1))
    assert run(plan, folder).code == 0
    return folder


@pytest.fixture
def saved(whole: Path, tmp_path: Path) -> Path:
    """A copy of its first two checkpoints, to be resumed or damaged."""
    for step in (4, 8):
        name = checkpoint.folder_name(step)
        shutil.copytree(whole / "checkpoints" / name, tmp_path / "checkpoints" / name)
    return tmp_path


def resumed(saved: Path, workers: int, servers: int, **env: str) -> Finished:
    plan = nets.plan(workers, servers, steps=STEPS, display=Every(1))
    return run(plan, saved, resume=saved, **env)


@pytest.mark.parametrize("transport", ["shared", "messages"])
def test_a_resumed_run_ends_with_the_same_bits(transport: str, whole: Path, saved: Path) -> None:
    finished = resumed(saved, 2, 2, SINGAC_TRANSPORT=transport)
    assert finished.code == 0
    assert [e["step"] for e in finished.of("step")] == [9, 10, 11, 12]
    expected, found = tensors(whole, STEPS), tensors(saved, STEPS)
    assert list(found) == list(expected)
    assert all(np.array_equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("workers", [1, 3])
def test_another_number_of_processes_resumes_to_rounding(
    workers: int, whole: Path, saved: Path
) -> None:
    assert resumed(saved, workers, workers).code == 0
    expected = tensors(whole, STEPS)
    for name, tensor in tensors(saved, STEPS).items():
        np.testing.assert_allclose(tensor, expected[name], rtol=1e-5, atol=1e-6)


def test_a_damaged_checkpoint_is_passed_over(whole: Path, saved: Path) -> None:
    flip_a_bit(saved / "checkpoints" / checkpoint.folder_name(8) / "params.safetensors", 5000)
    finished = resumed(saved, 2, 2)
    assert finished.code == 0
    assert "step-00000008" in finished.stderr
    assert "fc/w in params.safetensors does not have its digest" in finished.stderr
    assert finished.of("step")[0]["step"] == 5
    assert np.array_equal(tensors(saved, STEPS)["fc/w"], tensors(whole, STEPS)["fc/w"])


def test_without_a_sound_checkpoint_nothing_starts(saved: Path) -> None:
    for path in listed(saved / "checkpoints"):
        (path / "params.safetensors").write_bytes(b"nonsense")
    finished = resumed(saved, 2, 2)
    assert finished.code == 4
    assert finished.events == []
    assert "no sound checkpoint to resume from" in finished.stderr


def test_a_checkpoint_of_another_net_is_refused(saved: Path) -> None:
    path = saved / "checkpoints" / checkpoint.folder_name(8)
    manifest = checkpoint.read_manifest(path)
    kept = [t for t in manifest.tensors if t.name != "fc/b"]
    params = load_file(path / "params.safetensors")
    save_file(
        {name: params[name] for name in params if name != "fc/b"}, path / "params.safetensors"
    )
    checkpoint.write_manifest(path, replace(manifest, net="other", tensors=tuple(kept)))
    finished = resumed(saved, 2, 2)
    assert finished.code == 4
    assert "it has no fc/b" in finished.stderr


def test_any_flipped_bit_is_found(saved: Path) -> None:
    chance = random.Random(5)
    path = saved / "checkpoints" / checkpoint.folder_name(8)
    checkpoint.verify(path)
    for file in ("manifest.json", "params.safetensors", "states.safetensors"):
        sound = (path / file).read_bytes()
        for _ in range(100):
            flip_a_bit(path / file, chance.randrange(8 * len(sound)))
            if not harmless(path, file, sound):
                with pytest.raises(Damaged):
                    checkpoint.verify(path)
            (path / file).write_bytes(sound)


def harmless(path: Path, file: str, sound: bytes) -> bool:
    """A flip between two ways of writing the same text, such as a space that becomes a tab."""
    found = (path / file).read_bytes()
    try:
        if file == "manifest.json":
            return bool(json.loads(found) == json.loads(sound))
        return same_tensors(load_file(path / file), path, file, sound)
    except Exception:
        return False


def same_tensors(found: dict[str, np.ndarray], path: Path, file: str, sound: bytes) -> bool:
    (path / "sound").write_bytes(sound)
    expected = load_file(path / "sound")
    (path / "sound").unlink()
    same = [np.array_equal(found[n], t, equal_nan=True) for n, t in expected.items() if n in found]
    return len(same) == len(expected) and all(same)


def flip_a_bit(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << (bit % 8)
    path.write_bytes(content)


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    plan = nets.plan(1, 1, steps=10, checkpoint=Every(2, keep=2))
    assert run(plan, tmp_path).code == 0
    names = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000008", "step-00000010"]


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_what_a_run_does_not_go_on_from_is_set_aside(saved: Path) -> None:
    """It would count for `keep`, and be the newest of the folder."""
    plan = nets.plan(1, 1, steps=6, checkpoint=Every(3, keep=1))
    first = checkpoint.folder_name(4)
    assert run(plan, saved, resume=saved / "checkpoints" / first).code == 0
    assert names(saved / "checkpoints") == [checkpoint.folder_name(6)]
    assert names(saved / "checkpoints-1") == [checkpoint.folder_name(8)]
    anew = run(plan, saved)
    assert anew.code == 0
    assert "SG0926" in anew.stderr
    assert names(saved / "checkpoints") == [checkpoint.folder_name(6)]
    assert names(saved / "checkpoints-2") == [checkpoint.folder_name(6)]
    assert "SG0926" not in run(plan, saved, resume=saved).stderr


def test_fewer_steps_than_are_done_are_told(saved: Path) -> None:
    finished = run(nets.plan(1, 1, steps=5), saved, resume=saved)
    assert finished.code == 0
    assert "this checkpoint has 8 steps, and the run is to have 5" in finished.stderr
