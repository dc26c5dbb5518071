"""Ten thousand mutated programs; `make fuzz` runs more."""

from __future__ import annotations

import pytest

from tests.fuzz import check_text, mutant, run, seeds

COUNT = 10_000
PARTS = 8  # so that they share the processors of a test run


@pytest.mark.parametrize("part", range(PARTS))
def test_mutants_are_refused_with_a_place_or_keep_their_meaning(part: int) -> None:
    refused = run(range(part, COUNT, PARTS), check_text, seeds())
    assert COUNT // PARTS // 4 < refused < COUNT // PARTS, "mutants are of both kinds"


def test_a_mutant_is_known_by_its_number() -> None:
    programs = seeds()
    assert [mutant(n, programs) for n in range(50)] == [mutant(n, programs) for n in range(50)]
