"""Mutated programs, one thousand or ten; `make fuzz` runs more."""

from __future__ import annotations

import pytest

from tests.fuzz import check_text, mutant, run, seeds

QUICK, COUNT = 1_000, 10_000
PARTS = 8  # so that they share the processors of a test run
SLOW = [pytest.param(part, marks=pytest.mark.slow) for part in range(PARTS)]


@pytest.mark.parametrize("part", range(2))
def test_mutants_are_refused_with_a_place_or_keep_their_meaning(part: int) -> None:
    some_are_refused(range(part, QUICK, 2))


@pytest.mark.parametrize("part", SLOW)
def test_many_more_mutants(part: int) -> None:
    some_are_refused(range(QUICK + part, COUNT, PARTS))


def some_are_refused(numbers: range) -> None:
    refused = run(numbers, check_text, seeds())
    assert len(numbers) // 4 < refused < len(numbers), "mutants are of both kinds"


def test_a_mutant_is_known_by_its_number() -> None:
    programs = seeds()
    assert [mutant(n, programs) for n in range(50)] == [mutant(n, programs) for n in range(50)]
