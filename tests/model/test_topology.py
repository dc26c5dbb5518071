"""Clusters: what they come to, and what they are called."""

from __future__ import annotations

import pytest

from singac.model.topology import framework_of, mentions_np
from singac.model.types import Every, Topology
from singac.syntax.parse import parse
from tests.programs import source


@pytest.mark.parametrize(
    ("groups", "framework"),
    [
        ((1, 4, 1, 4, False), "AllReduce"),
        ((1, 4, 1, 2, False), "Sandblaster"),
        ((1, 4, 1, 4, True), "Sandblaster"),
        ((2, 4, 1, 2, False), "Downpour"),
        ((2, 4, 1, 2, True), "Downpour"),
        ((4, 1, 4, 1, False), "Distributed Hogwild"),
        ((4, 1, 4, 1, True), "hybrid"),
        ((4, 1, 2, 1, False), "hybrid"),
    ],
)
def test_frameworks_follow_from_the_groups(
    groups: tuple[int, int, int, int, bool], framework: str
) -> None:
    assert framework_of(*groups) == framework


def test_processes() -> None:
    assert Topology(1, 4, 1, 2, False, "").processes == 4
    assert Topology(1, 4, 1, 2, True, "").processes == 6
    assert Topology(1, 2, 1, 4, False, "").processes == 4


def test_np_is_found_wherever_it_stands() -> None:
    for text, found in (("1 worker group of np", True), ("np worker groups of 1", True),
                        ("1 worker group of n", False)):  # fmt: skip
        (block,) = parse(source(f"cluster c {{ {text} }}")).items
        assert mentions_np(block) is found


def test_when_something_falls_due() -> None:
    def steps(every: Every) -> list[int]:
        return [s for s in range(13) if every.due(s)]

    assert steps(Every()) == []
    assert steps(Every(5)) == [5, 10]
    assert steps(Every(5, after=2)) == [2, 7, 12]
    assert steps(Every(4, after=8)) == [8, 12]
    assert steps(Every(1)) == list(range(1, 13))
