"""One object cache for all runs of the tests, apart from the user's."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def object_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["SINGAC_CACHE"] = str(tmp_path_factory.getbasetemp().parent / "singac-cache")
