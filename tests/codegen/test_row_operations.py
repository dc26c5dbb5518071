"""Joining, norming and looking up against NumPy, on shapes drawn at random."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from singac.codegen import load, native
from singac.layers.access import writes
from singac.layers.operations import (
    Best,
    ColumnRange,
    Concat,
    Lookup,
    LookupGradient,
    Normalise,
    NormaliseGradient,
    OneHot,
    Operation,
    Softmax,
    SoftmaxGradient,
)
from singac.plan.plan import LANES, Buffer, Layout, Space, Stretch
from tests.codegen.kernels import Floats, from_panels, in_panels, row_major
from tests.reference.expressions import Array
from tests.reference.steps import run

GUARD = 7.0  # stands behind every buffer and must stay
Values = dict[str, Array]
Shapes = dict[str, tuple[int, int]]


def natively(
    operations: list[Operation], given_: Values, made: Shapes, panels: tuple[str, ...] = ()
) -> dict[str, Floats]:
    """The tensors in `made`, [rows][ld] with their pads.

    What is given has NaN in its pads, and so has all memory that nothing wrote.
    """
    empty = {n: np.full(shape, np.nan) for n, shape in made.items()}
    contents = {n: _laid_out(n, a, panels) for n, a in {**empty, **given_}.items()}
    buffers = []
    offset = 0
    for name, values in {**empty, **given_}.items():
        layout = Layout.PANELS if name in panels else Layout.ROWS
        buffers.append(Buffer(name, Space.ARENA, 4 * offset, *values.shape, layout))
        offset += contents[name].size + LANES
    arena = native.allocate(4 * offset).view(np.float32)
    arena[:] = GUARD
    for buffer in buffers:
        _view(arena, buffer)[...] = contents[buffer.name].reshape(-1)
    rows = next(iter(given_.values())).shape[0]
    _call(Stretch("test", rows, tuple(operations), tuple(buffers), 0, 0), arena)
    for buffer in buffers:
        end = buffer.offset // 4 + buffer.floats
        assert (arena[end : end + LANES] == GUARD).all(), f"written behind {buffer.name}"
    return {b.name: _as_rows(_view(arena, b), b) for b in buffers if b.name in made}


def _laid_out(name: str, values: Array, panels: tuple[str, ...]) -> Floats:
    single = values.astype(np.float32)
    return in_panels(single) if name in panels else row_major(single, np.nan)


def _view(arena: Floats, buffer: Buffer) -> Floats:
    return arena[buffer.offset // 4 : buffer.offset // 4 + buffer.floats]


def _as_rows(values: Floats, buffer: Buffer) -> Floats:
    if buffer.layout is Layout.PANELS:
        return from_panels(values.reshape(-1, buffer.rows, LANES))
    return values.reshape(buffer.rows, -1)


def _call(made: Stretch, arena: Floats) -> None:
    (routine,) = load.routines_of([made])
    scalars = np.array([0, 0, 0, made.rows, 0])
    routine(*(arena.ctypes.data for _ in range(4)), scalars.ctypes.data)


def check(
    operations: list[Operation], given_: Values, panels: tuple[str, ...] = (), *, pads: bool = True
) -> None:
    """Native results are those of the reference, with zeros in their pads."""
    expected = dict(given_)
    run(operations, expected)
    made = {n: expected[n].shape for o in operations for n in writes(o)}
    for name, found in natively(operations, given_, made, panels).items():
        columns = expected[name].shape[1]
        np.testing.assert_allclose(
            found[:, :columns], expected[name], rtol=1e-5, atol=1e-6, err_msg=name
        )
        if pads and columns > 1:
            assert (found[:, columns:] == 0).all(), f"pads of {name}"


def normal(seed: int, *shape: int, scale: float = 1.0) -> Array:
    """Numbers that float32 holds exactly."""
    values = scale * np.random.default_rng(seed).standard_normal(shape)
    return values.astype(np.float32).astype(np.float64)


SEEDS = st.integers(0, 1000)
ROWS = st.integers(1, 5)
COLUMNS = st.integers(2, 40)


@settings(max_examples=15, deadline=None)
@given(SEEDS, ROWS, st.lists(st.tuples(st.booleans(), COLUMNS, COLUMNS), min_size=1, max_size=4))
def test_ranges_end_to_end(seed: int, rows: int, parts: list[tuple[bool, int, int]]) -> None:
    """Each part: zeros or not, its columns, and how many columns of its source are left out."""
    tensors: Values = {"first": normal(seed, rows, 3)}
    ranges = [ColumnRange("first", 1, 2)]
    for k, (is_zeros, columns, before) in enumerate(parts):
        if not is_zeros:
            tensors[f"s{k}"] = normal(seed + k, rows, before + columns + k)
        ranges.append(ColumnRange(None if is_zeros else f"s{k}", before, columns))
    check([Concat("out", tuple(ranges))], tensors)


@settings(max_examples=12, deadline=None)
@given(SEEDS, ROWS, COLUMNS, st.sampled_from([0.1, 1.0, 300.0]))
def test_softmax(seed: int, rows: int, columns: int, scale: float) -> None:
    tensors = {"x": normal(seed, rows, columns, scale=scale), "dy": normal(seed + 1, rows, columns)}
    check([Softmax("y", "x"), SoftmaxGradient("dx", "dy", "y")], tensors)


@settings(max_examples=10, deadline=None)
@given(SEEDS, ROWS, COLUMNS, st.integers(1, 5))
def test_best(seed: int, rows: int, columns: int, count: int) -> None:
    """Of few values, so that many are equal."""
    random = np.random.default_rng(seed)
    tensors = {"x": random.choice([-np.inf, -1.0, 2.0, np.inf], (rows, columns))}
    check([Best("best", "x", min(count, columns))], tensors)


def test_best_of_what_is_no_number() -> None:
    tensors = {"x": np.array([[np.nan, 1.0, np.nan, 3.0], [np.nan] * 4])}
    found = natively([Best("best", "x", 3)], tensors, {"best": (2, 3)})["best"][:, :3]
    np.testing.assert_array_equal(found, [[3, 1, np.nan], [np.nan] * 3])


@settings(max_examples=12, deadline=None)
@given(SEEDS, ROWS, COLUMNS, st.sampled_from([1e-5, 0.5]))
def test_normalise(seed: int, rows: int, columns: int, epsilon: float) -> None:
    x = 3.0 + np.linspace(-2, 2, columns) + 0.1 * normal(seed, rows, columns)
    tensors = {"x": x.astype(np.float32).astype(float), "dy": normal(seed + 1, rows, columns)}
    operations = [Normalise("y", "i", "x", epsilon), NormaliseGradient("dx", "dy", "y", "i")]
    check(operations, tensors)


def test_equal_values_are_normed_to_zero() -> None:
    tensors = {"x": np.full((2, 5), 3.0), "dy": normal(1, 2, 5)}
    operations = [Normalise("y", "i", "x", 1e-4), NormaliseGradient("dx", "dy", "y", "i")]
    found = natively(operations, tensors, {"y": (2, 5), "i": (2, 1), "dx": (2, 5)})
    assert (found["y"] == 0).all()
    assert found["i"][:, 0] == pytest.approx(100)
    assert np.isfinite(found["dx"]).all()


@settings(max_examples=12, deadline=None)
@given(SEEDS, ROWS, st.integers(1, 3), st.integers(1, 9), COLUMNS, st.booleans())
def test_lookup(seed: int, rows: int, each: int, words: int, units: int, again: bool) -> None:
    """Several indices a row, words that occur twice, and a gradient that is begun."""
    random = np.random.default_rng(seed)
    tensors = {
        "index": random.integers(0, words, (rows, each)).astype(float),
        "table": normal(seed, words, units),
        "dy": normal(seed + 1, rows, each * units),
    }
    gradient = LookupGradient("dw", "dy", "index", words)
    operations = [Lookup("y", "table", "index"), gradient]
    if again:
        operations.append(LookupGradient("dw", "dy", "index", words, accumulate=True))
    check(operations, tensors, ("table", "dw"), pads=False)
    check([OneHot("hot", "index", words)], tensors)


def test_a_words_gradient_is_summed_in_the_order_of_examples() -> None:
    index, dy = np.zeros((200, 1)), normal(2, 200, 19)
    made = natively(
        [LookupGradient("dw", "dy", "index", 2)], {"index": index, "dy": dy}, {"dw": (2, 19)},
        ("dw",),
    )  # fmt: skip
    total = np.zeros(19, np.float32)
    for row in dy.astype(np.float32):
        total = total + row
    np.testing.assert_array_equal(made["dw"][0, :19], total)
    assert (made["dw"][1] == 0).all()
    assert (made["dw"][:, 19:] == 0).all()


def test_what_is_no_word_gives_nan_and_touches_nothing() -> None:
    wrong = [-1.0, 3.0, 0.5, np.nan, np.inf, -np.inf, 1e30]
    index = np.array([[2.0], *([w] for w in wrong), [0.0]])
    tensors = {"index": index, "table": normal(1, 3, 18), "dy": normal(2, 9, 18)}
    operations = [
        Lookup("y", "table", "index"),
        LookupGradient("dw", "dy", "index", 3),
        OneHot("hot", "index", 3),
    ]
    made = natively(
        operations, tensors, {"y": (9, 18), "dw": (3, 18), "hot": (9, 3)}, ("table", "dw")
    )
    np.testing.assert_array_equal(made["y"][[0, 8], :18], tensors["table"][[2, 0]])
    assert np.isnan(made["y"][1:8, :18]).all()
    np.testing.assert_array_equal(
        made["dw"][:, :18], [tensors["dy"][8], np.zeros(18), tensors["dy"][0]]
    )
    assert np.isnan(made["hot"][1:8]).any(axis=1).all()
    assert made["hot"][[0, 8], :3].tolist() == [[0, 0, 1], [1, 0, 0]]
