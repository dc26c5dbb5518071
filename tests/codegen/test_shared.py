"""Functions that kernels share are kept by their names: one name, one text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from singac.codegen import load, native
from singac.compile import compile_file
from singac.model.choices import Choices

MODELS = Path(__file__).parents[2] / "models"
PICTURES = ("alexnet", "cifar10_quick", "resnet", "vgg")  # convolutions of all shapes, and products


def shared(needs: Mapping[str, native.Build]) -> Iterator[tuple[str, str]]:
    for name, build in needs.items():
        source = build()
        yield name, source.text
        yield from shared(source.needs)


@pytest.mark.slow
def test_a_name_tells_all_that_a_shared_function_depends_on() -> None:
    texts: dict[str, str] = {}
    for model in PICTURES:
        for compiled in compile_file(str(MODELS / f"{model}.singa"), Choices(np=3)):
            for name, kernel in load.kernels_of(compiled.plan).items():
                for key, text in shared({name: partial(load.kernel_source, name, kernel)}):
                    assert texts.setdefault(key, text) == text, key
    assert len(texts) > 200
