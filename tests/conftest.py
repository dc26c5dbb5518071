"""One cache for all the tests, apart from the user's."""

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["SINGAC_CACHE"] = str(tmp_path_factory.getbasetemp().parent / "singac-cache")
