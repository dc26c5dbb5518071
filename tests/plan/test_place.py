"""Buffers alive together never overlap, and little is lost to gaps."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from singac.model.choices import Choices
from singac.plan.place import ALIGNMENT, Wish, place
from singac.plan.plan import Space
from tests.plan.orders import NETS
from tests.programs import plan, small


@st.composite
def wishes(draw: st.DrawFn) -> list[Wish]:
    found = []
    for number in range(draw(st.integers(0, 15))):
        first = draw(st.integers(0, 10))
        last = draw(st.integers(first, 12))
        found.append(Wish(f"b{number}", draw(st.integers(0, 1000)), first, last))
    return found


def alive_at_once(some: list[Wish]) -> int:
    """Bytes, in whole alignments, that no placing can do without."""
    sizes = [(w, -(-w.size // ALIGNMENT) * ALIGNMENT) for w in some]
    return max((sum(s for w, s in sizes if w.first <= t <= w.last) for t in range(13)), default=0)


@settings(max_examples=300, deadline=None)
@given(wishes())
def test_no_two_overlap(some: list[Wish]) -> None:
    offsets, arena = place(some)
    assert sorted(offsets) == sorted(w.name for w in some)
    assert arena >= alive_at_once(some)
    for k, a in enumerate(some):
        assert offsets[a.name] % ALIGNMENT == 0
        assert offsets[a.name] + a.size <= arena
        for b in some[:k]:
            together = a.first <= b.last and b.first <= a.last
            apart = (
                offsets[a.name] + a.size <= offsets[b.name]
                or offsets[b.name] + b.size <= offsets[a.name]
            )
            assert not together or apart


def test_buffers_that_follow_each_other_share_a_place() -> None:
    offsets, arena = place([Wish("a", 640, 0, 1), Wish("b", 640, 2, 3), Wish("c", 640, 4, 5)])
    assert set(offsets.values()) == {0}
    assert arena == 640


def test_nets_come_near_the_lower_bound() -> None:
    """At most a twentieth more than what is alive at once, on every net of the tests."""
    for net in NETS.values():
        process = plan(small(net), Choices(np=1)).processes[0]
        buffers = [b for b in process.train.buffers if b.space is Space.ARENA]
        bound = max(
            sum(b.floats * 4 for b in buffers if b.first <= t <= b.last)
            for t in range(1 + max(b.last for b in buffers))
        )
        assert process.memory.arena <= 1.05 * bound
