"""Batches cut for workers, params cut for servers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from singac.model.resolve import Choices
from singac.model.types import Initialiser
from singac.partition.partition import cut_params, partition
from singac.partition.space import LANES, Layout, Param, padded
from singac.partition.split import split
from tests.programs import model, small

ZEROS = Initialiser("constant", (("value", 0.0),))


@given(st.integers(0, 500), st.integers(1, 40), st.sampled_from([1, 16]))
def test_pieces_cover_and_differ_by_a_grain(size: int, pieces: int, grain: int) -> None:
    found = split(size, pieces, grain)
    assert len(found) == pieces
    assert found[0].start == 0
    assert found[-1].stop == size
    assert all(a.stop == b.start for a, b in pairwise(found))
    assert all(p.start % grain == 0 or p.start == size for p in found)
    sizes = [p.size for p in found]
    assert max(sizes) - min(sizes) <= grain or size % grain
    assert sizes == sorted(sizes, reverse=True)


shapes = st.lists(
    st.one_of(st.tuples(st.integers(1, 70)), st.tuples(st.integers(1, 40), st.integers(1, 70))),
    min_size=1, max_size=6,
)  # fmt: skip


@given(shapes, st.integers(1, 20))
def test_servers_own_every_float_once_and_nearly_as_many(
    some: list[tuple[int, ...]], servers: int
) -> None:
    params = placed(some)
    slices = cut_params(params, servers)
    owned = dict.fromkeys(range(servers), 0)
    at = 0
    for piece in slices:
        param = params[piece.param]
        assert piece.start == at, "slices lie end to end, in order"
        assert param.start <= piece.start < piece.stop <= param.start + param.floats
        assert piece.start % LANES == 0
        owned[piece.server] += piece.stop - piece.start
        at = piece.stop
    assert at == sum(p.floats for p in params)
    assert max(owned.values()) - min(owned.values()) <= LANES
    assert [s.server for s in slices] == sorted(s.server for s in slices)


# Sizes of params, and the most that one of so many servers has when the original system cuts them.
# fmt: off
ORIGINAL = (
    ((14112, 96, 256, 884736, 384),               2, 449792),
    ((14112, 96, 256, 884736, 384),               4, 224896),
    ((14112, 96, 256, 884736, 384),               8, 112448),
    ((2400, 32, 25600, 32, 51200, 64, 5760, 10),  2, 42549),
)
# fmt: on


@pytest.mark.parametrize(("sizes", "servers", "most"), ORIGINAL)
def test_no_server_has_more_than_in_the_original(
    sizes: tuple[int, ...], servers: int, most: int
) -> None:
    params = placed([(size,) for size in sizes])
    slices = cut_params(params, servers)
    loads = [sum(s.stop - s.start for s in slices if s.server == k) for k in range(servers)]
    assert max(loads) <= most + LANES, "but for pads of params to whole vectors"
    assert len(slices) <= len(sizes) + servers - 1


def placed(some: list[tuple[int, ...]]) -> tuple[Param, ...]:
    found: list[Param] = []
    start = 0
    for number, shape in enumerate(some):
        *outer, columns = shape
        floats = (outer[0] if outer else 1) * padded(columns)
        layout = Layout.PANELS if outer else Layout.ROWS
        found.append(Param(f"p{number}", shape, layout, start, floats, ZEROS))
        start += floats
    return tuple(found)


@pytest.mark.parametrize("workers", [1, 2, 3, 6])
def test_sublayers(workers: int) -> None:
    net = "features -> a: dense(20) -> b: tanh -> c: dense(3)\n[c, label] -> softmax_loss"
    cut = partition(model(small(net), Choices(np=workers)))
    assert sum(p.size for p in cut.rows) == 6
    assert len(cut.sublayers) == workers * len(cut.graph.layers())
    names = [s.name for s in cut.of_worker(workers - 1)]
    assert names[:2] == [f"features@{workers - 1}", f"label@{workers - 1}"]
    assert {s.server for s in cut.slices} == set(range(workers))
    starts = [(p.name, p.start, p.floats) for p in cut.params]
    assert starts == [("a.weight", 0, 128), ("a.bias", 128, 32), ("c.weight", 160, 320),
                      ("c.bias", 480, 16)]  # fmt: skip
