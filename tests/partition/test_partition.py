"""Batches cut for workers, params cut for servers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from singac.model.choices import Choices
from singac.model.types import Initialiser, Topology
from singac.partition.owners import levelled, own
from singac.partition.partition import partition
from singac.partition.shares import Share
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
    slices = own(of_all(params), Topology(1, servers, 1, servers, False, ""))
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
    slices = own(of_all(params), Topology(1, servers, 1, servers, False, ""))
    loads = [sum(s.stop - s.start for s in slices if s.server == k) for k in range(servers)]
    assert max(loads) <= most + LANES, "but for pads of params to whole vectors"
    assert len(slices) <= len(sizes) + servers - 1


def of_all(params: tuple[Param, ...]) -> tuple[Share, ...]:
    """Every worker has a gradient of all params."""
    return tuple(Share(k, p.start, p.start + p.floats, None) for k, p in enumerate(params))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=9), st.integers(0, 200))
def test_a_rest_goes_to_those_who_have_least(owned: list[int], rest: int) -> None:
    more = levelled(owned, rest)
    assert sum(more) == rest
    assert min(more) >= 0
    after = [had + got for had, got in zip(owned, more, strict=True)]
    for got, has in zip(more, after, strict=True):
        assert not got or has <= min(after) + 1, "who gets any has no more than the others"


PIECES = """    features -> a: dense(64) -> b: dense(48) -> c: dense(3)
    [c, label] -> softmax_loss"""
RULES = "partition cut of small { a on feature  c at 1 }\n"
SEPARATE = "cluster c { 1 worker group of 2  1 server group of 2  servers = separate }\n"


def test_a_piece_is_owned_beside_its_worker() -> None:
    cut = partition(model(small(PIECES) + RULES, Choices(np=2, partition="cut")))
    told = [(cut.params[s.param].name, s.workers, s.server) for s in cut.slices]
    assert told[:4] == [
        ("a.weight", (0,), 0), ("a.weight", (1,), 1), ("a.bias", (0,), 0), ("a.bias", (1,), 1),
    ]  # fmt: skip
    assert told[-2:] == [("c.weight", (1,), 1), ("c.bias", (1,), 1)]
    assert all(workers is None for name, workers, _ in told if name.startswith("b"))
    owned = [sum(s.floats for s in cut.slices if s.server == k) for k in (0, 1)]
    assert abs(owned[0] - owned[1]) <= LANES, "b, of both, makes up for c, of one"


def test_servers_apart_own_alike() -> None:
    text = small(PIECES) + RULES + SEPARATE
    cut = partition(model(text, Choices(np=4, partition="cut", cluster="c")))
    owned = [sum(s.floats for s in cut.slices if s.server == k) for k in (0, 1)]
    assert abs(owned[0] - owned[1]) <= LANES
    alone = {cut.params[s.param].name for s in cut.slices if s.workers is not None}
    assert alone == {"a.weight", "a.bias", "c.weight", "c.bias"}


TIED = """
    param w ~ gaussian(std = 0.3)
    features -> a: dense(64, weight = w)
    features -> b: dense(64, weight = w)
    [a, b] -> add -> c: dense(3)
    [c, label] -> softmax_loss"""


def test_a_param_of_some_workers() -> None:
    rules = "partition cut of small { a at 0  b at 2 }\n"
    cut = partition(model(small(TIED) + rules, Choices(np=4, partition="cut")))
    shared = [s for s in cut.slices if cut.params[s.param].name == "w"]
    assert {s.workers for s in shared} == {(0, 2)}


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
