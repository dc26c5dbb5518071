"""Clusters: what they come to, and what they are called."""

from __future__ import annotations

import pytest

from singac.model.frameworks import framework_of
from singac.model.topology import mentions_np
from singac.model.types import Every, Topology
from singac.syntax.parse import parse
from tests.programs import source


def topology(
    worker_groups: int, workers: int, server_groups: int, servers: int, separate: bool = False,
    threads: int = 1,
) -> Topology:  # fmt: skip
    return Topology(worker_groups, workers, server_groups, servers, separate, "", threads)


@pytest.mark.parametrize(
    ("made", "framework"),
    [
        (topology(1, 4, 1, 4), "AllReduce"),
        (topology(1, 4, 1, 2), "Sandblaster"),
        (topology(1, 4, 1, 4, True), "Sandblaster"),
        (topology(2, 4, 1, 2), "Downpour"),
        (topology(2, 4, 1, 2, True), "Downpour"),
        (topology(4, 1, 1, 1, threads=2), "Downpour"),
        (topology(4, 1, 1, 1, threads=4), "in-memory Hogwild"),
        (topology(4, 1, 1, 1, True, threads=4), "Downpour"),
        (topology(4, 1, 4, 1), "Distributed Hogwild"),
        (topology(4, 1, 4, 1, True), "hybrid"),
        (topology(4, 1, 2, 1), "hybrid"),
        (topology(4, 1, 2, 1, threads=2), "hybrid"),
    ],
)
def test_frameworks_follow_from_the_groups(made: Topology, framework: str) -> None:
    assert framework_of(made) == framework


def test_who_sits_where() -> None:
    def seats(made: Topology) -> list[tuple[int, int, int | None, int | None]]:
        return [(s.rank, s.thread, s.worker, s.server) for s in made.seats()]

    apart, wide = topology(1, 2, 1, 1, True), topology(2, 2, 1, 1, threads=2)
    assert seats(apart) == [(0, 0, 0, None), (1, 0, 1, None), (2, 0, None, 0)]
    assert seats(wide) == [(0, 0, 0, 0), (0, 1, 1, None), (1, 0, 2, None), (1, 1, 3, None)]
    assert [wide.in_memory(g) for g in range(2)] == [True, False]
    assert [topology(3, 1, 2, 1).served_by(g) for g in range(3)] == [0, 0, 1]
    assert topology(5, 1, 2, 1).groups_of(1) == (3, 4)


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
