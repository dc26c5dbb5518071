"""Both ends of an exchange: rectangles moved by native code, held against NumPy."""

from __future__ import annotations

from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.transport.exchange import Tensor, copied, gathered, packed
from singac.codegen.load import Moves
from singac.codegen.load import moves as load_moves
from singac.layers.exchange import NOTHING, Exchange, Part, group_sum

ROWS, COLUMNS, MOST_WORKERS = 5, 37, 4
Floats = np.ndarray


@cache
def moves() -> Moves:
    return load_moves()


@st.composite
def parts(draw: st.DrawFn) -> Part:
    """Any part of the whole tensor, often all of it or nothing."""
    kind = draw(st.sampled_from(["any", "whole", "nothing"]))
    if kind != "any":
        return Part(0, ROWS, 0, COLUMNS) if kind == "whole" else NOTHING
    row, column = draw(st.integers(0, ROWS - 1)), draw(st.integers(0, COLUMNS - 1))
    rows, columns = draw(st.integers(1, ROWS - row)), draw(st.integers(1, COLUMNS - column))
    return Part(row, rows, column, columns)


@st.composite
def exchanges(draw: st.DrawFn) -> Exchange:
    workers = draw(st.integers(1, MOST_WORKERS))
    held, wanted = (tuple(draw(parts()) for _ in range(workers)) for _ in range(2))
    return Exchange("any", held, wanted)


def memory(part: Part, fill: float) -> Floats:
    """Rows padded to whole vectors, aligned as the generated code wants it."""
    return np.full((part.rows, -(-part.columns // 16) * 16), fill, np.float32)


def tensor(values: Floats, part: Part) -> Tensor:
    return Tensor(values.ctypes.data, values.strides[0] if part.elements else 0, part)


def cells(part: Part) -> tuple[slice, slice]:
    rows, columns = slice(part.row, part.row + part.rows), slice(part.column, None)
    return rows, slice(columns.start, part.column + part.columns)


def exchanged(exchange: Exchange, sources: list[Floats]) -> list[Floats]:
    """What every worker gets, its rows with their pads; what others send comes in a parcel."""
    got = []
    for worker, wanted in enumerate(exchange.wanted):
        out = memory(wanted, np.nan)
        places: dict[int, Tensor] = {worker: tensor(sources[worker], exchange.held[worker])}
        parcels = []
        for other, part in exchange.received(worker):
            assert (worker, part) in list(exchange.sent(other))
            parcels.append(np.zeros(part.elements, np.float32))
            places[other] = packed(parcels[-1].ctypes.data, part)
            source = tensor(sources[other], exchange.held[other])
            call = copied(moves(), places[other], source, part)
            call.function(*call.arguments)
        if exchange.receives(worker):
            for call in gathered(moves(), exchange, worker, tensor(out, wanted), places):
                call.function(*call.arguments)
        got.append(out)
    return got


@settings(max_examples=150, deadline=None)
@given(exchanges())
def test_every_element_is_the_sum_of_what_is_held_of_it(exchange: Exchange) -> None:
    random = np.random.default_rng(0)
    whole = np.zeros((ROWS, COLUMNS), np.float32)
    sources = []
    for part in exchange.held:
        sources.append(memory(part, 0.0))
        values = random.normal(size=(part.rows, part.columns)).astype(np.float32)
        sources[-1][:, : part.columns] = values
        whole[cells(part)] += values
    for part, out in zip(exchange.wanted, exchanged(exchange, sources), strict=True):
        if part.elements:
            np.testing.assert_array_equal(out[:, : part.columns], whole[cells(part)])
            assert not out[:, part.columns :].any(), "pads are zeros"


def test_a_group_sum_is_the_same_at_all_workers() -> None:
    exchange = group_sum("sum", 3, ROWS, COLUMNS)
    whole = exchange.held[0]
    sources = [memory(whole, 0.0) for _ in range(3)]
    for k, values in enumerate(sources):
        values[:, :COLUMNS] = 10.0**k
    for out in exchanged(exchange, sources):
        assert (out[:, :COLUMNS] == 111).all()
        assert not out[:, COLUMNS:].any()


def test_the_adjoint_gives_back_what_was_got() -> None:
    """The product of what is got with any gradient is that of what was held with its adjoint."""
    rows = tuple(Part(r, 1, 0, COLUMNS) for r in range(3))
    whole = (Part(0, 3, 0, COLUMNS),) * 3
    gather = Exchange("gather", rows, whole)
    random = np.random.default_rng(1)
    held = [random.integers(-9, 9, (1, 48)).astype(np.float32) for _ in rows]
    slopes = [random.integers(-9, 9, (3, 48)).astype(np.float32) for _ in whole]
    for values in (*held, *slopes):
        values[:, COLUMNS:] = 0
    forward = exchanged(gather, held)
    backward = exchanged(gather.adjoint("back"), slopes)
    assert sum((a * b).sum() for a, b in zip(forward, slopes, strict=True)) == sum(
        (a * b).sum() for a, b in zip(held, backward, strict=True)
    )
