"""Fixtures of the tests of sources."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from data_files import Block

from singac.settings import SettingValue


@pytest.fixture
def block(tmp_path: Path) -> Callable[..., Block]:
    def make(kind: str, **settings: SettingValue) -> Block:
        return Block(tmp_path, kind, settings)

    return make
