"""Checkpoints as they lie on disk: named, listed, proved sound. No numpy, no tensors here.

    checkpoints/step-00001000/
        params.safetensors     whole canonical tensors by the name of the param
        states.safetensors     the updater's states, STATE/PARAM
        carried.safetensors    states that go on from batch to batch, carried(LAYER), if there are
        manifest.json          written last; a checkpoint without it was never finished

A folder gets its name by one rename when everything in it has reached the disk.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import safetensors

from runtime.checkpoints.best import Best, Start
from singac.saved import MANIFEST, PREFIX, listed

FORMAT_VERSION = "1.0"
STATES = "states.safetensors"
DTYPE = "F32"
# Beside the checkpoints for a moment: being written, being removed, being replaced.
UNFINISHED, DOOMED, FORMER = ".tmp", ".old", ".former"


class Damaged(Exception):
    """A checkpoint is not what was written; the text says what differs."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A row of the manifest's table; `sha256` is that of the little-endian floats."""

    name: str
    shape: tuple[int, ...]
    file: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a checkpoint holds. `examples` have been read when `step` steps are done.

    `best` is the best validation so far, where training stops by it. What the params mean is told
    by the `layers` that use them, each with what it is made of, and the `vocabulary` of a text;
    a checkpoint of an earlier version says neither.
    """

    net: str
    step: int
    seed: int
    examples: int
    plan: str
    tensors: tuple[Tensor, ...]
    best: Best | None = None
    layers: Mapping[str, str] = field(default_factory=dict)
    vocabulary: str = ""


def folder_name(step: int) -> str:
    return f"{PREFIX}{step:08d}"


def remove_older(folder: Path, keep: int, best: Best | None, apart: Path | None) -> None:
    """Remove all but the newest `keep` checkpoints (0: keep all) and the best.

    One that stands `apart`, saved for being the best and nothing else, does not count.
    """
    spared = folder_name(best.step) if best is not None else ""
    counted = [path for path in listed(folder) if path != apart]
    for path in counted[keep:] if keep > 0 else []:
        if path.name != spared:
            discard(path)


def commit(temporary: Path, final: Path) -> None:
    """Everything reaches the disk, then one rename, then the rename reaches it too.

    A checkpoint of the same step stands aside until then, and comes back if this is interrupted.
    """
    for path in sorted(temporary.iterdir()):
        _to_disk(path)
    _to_disk(temporary)
    former = final.with_name(final.name + FORMER)
    if final.exists():
        os.replace(final, former)
    os.replace(temporary, final)
    _to_disk(final.parent)
    shutil.rmtree(former, ignore_errors=True)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def discard(path: Path) -> None:
    """Remove a checkpoint so that no half of one is ever taken for a whole."""
    doomed = path.with_name(path.name + DOOMED)
    os.replace(path, doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Remove what an interrupted writing or removal left; one that only stood aside comes back."""
    for former in folder.glob(PREFIX + "*" + FORMER):
        final = former.with_name(former.name.removesuffix(FORMER))
        if not final.exists():
            os.replace(former, final)
    for suffix in (UNFINISHED, DOOMED, FORMER):
        for path in folder.glob(PREFIX + "*" + suffix):
            shutil.rmtree(path, ignore_errors=True)


# -- the manifest ----------------------------------------------------------------------------------


def write_manifest(folder: Path, manifest: Manifest) -> None:
    (folder / MANIFEST).write_text(_text(_body(manifest)), encoding="utf-8")


def _text(body: dict[str, object]) -> str:
    return json.dumps({**body, "sha256": _digest(body)}, indent=1) + "\n"


def _body(manifest: Manifest) -> dict[str, object]:
    table = [
        {"name": t.name, "shape": list(t.shape), "dtype": DTYPE, "file": t.file, "sha256": t.sha256}
        for t in manifest.tensors
    ]
    return {
        "format_version": FORMAT_VERSION,
        "net": manifest.net,
        "step": manifest.step,
        "seed": manifest.seed,
        "examples": manifest.examples,
        "plan": manifest.plan,
        "best": dataclasses.asdict(manifest.best) if manifest.best is not None else None,
        "layers": dict(manifest.layers),
        "vocabulary": manifest.vocabulary,
        "tensors": table,
    }


def _digest(body: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a checkpoint; raises Damaged."""
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
        body = json.loads(text)
        stated = body.pop("sha256")
        if _digest(body) != stated or _text(body) != text:
            raise Damaged("the manifest is not as it was written")
        if body["format_version"] != FORMAT_VERSION:
            raise Damaged(f"format {body['format_version']} is not {FORMAT_VERSION}")
        tensors = tuple(
            Tensor(t["name"], tuple(t["shape"]), t["file"], t["sha256"]) for t in body["tensors"]
        )
        return Manifest(
            body["net"],
            body["step"],
            body["seed"],
            body["examples"],
            body["plan"],
            tensors,
            Best(**body["best"]) if body.get("best") else None,
            body.get("layers", {}),
            body.get("vocabulary", ""),
        )
    except OSError as error:
        raise Damaged(f"the manifest cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Damaged("the manifest is not one") from error


def start(resumed: Path | None) -> Start:
    """Where a run begins that resumes this checkpoint, or none; raises Damaged."""
    if resumed is None:
        return Start()
    manifest = read_manifest(resumed)
    return Start(manifest.step, manifest.best, manifest.examples)


# -- the tensors -----------------------------------------------------------------------------------


def tensors(folder: Path, manifest: Manifest) -> Iterator[tuple[Tensor, bytes]]:
    """Every tensor of the manifest with its bytes, each proved by its digest; raises Damaged."""
    for file in dict.fromkeys(t.file for t in manifest.tensors):
        held, own = _read_tensors(folder / file), [t for t in manifest.tensors if t.file == file]
        if unknown := [name for name in held if name not in [t.name for t in own]]:
            raise Damaged(f"{file} has a tensor {unknown[0]!r} that was not written")
        for tensor in own:
            yield tensor, _proved(tensor, held)


def verify(folder: Path) -> Manifest:
    """The manifest of a checkpoint all of whose tensors are sound; raises Damaged."""
    manifest = read_manifest(folder)
    if folder.name.startswith(PREFIX) and folder.name != folder_name(manifest.step):
        raise Damaged(f"it holds step {manifest.step}")
    for _ in tensors(folder, manifest):
        pass
    return manifest


def _read_tensors(path: Path) -> dict[str, dict[str, object]]:
    try:
        return dict(safetensors.deserialize(path.read_bytes()))  # type: ignore[no-untyped-call]
    except OSError as error:
        raise Damaged(f"{path.name} cannot be read: {error.strerror}") from error
    except safetensors.SafetensorError as error:
        raise Damaged(f"{path.name} is not a whole file of tensors") from error


def _proved(tensor: Tensor, held: dict[str, dict[str, object]]) -> bytes:
    found = held.get(tensor.name)
    if found is None:
        raise Damaged(f"{tensor.file} has no tensor {tensor.name}")
    data = found["data"]
    assert isinstance(data, bytes | bytearray), "the library gives bytes"
    shape = found["shape"]
    if found["dtype"] != DTYPE or shape != list(tensor.shape):
        raise Damaged(f"{tensor.name} in {tensor.file} has another shape")
    if hashlib.sha256(data).hexdigest() != tensor.sha256:
        raise Damaged(f"{tensor.name} in {tensor.file} does not have its digest")
    return bytes(data)
