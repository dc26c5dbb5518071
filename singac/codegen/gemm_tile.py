"""The micro-kernel: one register tile of C gains a tile of A times a panel of B.

                        B panel [k][16]
                        +----------------+  k
                        | 16 floats      |  |  a vector (or two panels, two) a step
                        +----------------+  v
A tile [k/16][rows][16]
+------ k ------+       +----------------+
| one float, to |       | C tile         |  rows x vectors accumulators that stay in
| all lanes     |       |                |  registers through the whole k loop
+---------------+       +----------------+
"""

from collections.abc import Sequence

from llvmlite import ir

from singac.codegen.host import Tile
from singac.codegen.ir import (
    FLOAT_BYTES,
    I64,
    LANES,
    POINTER,
    VECTOR_BYTES,
    ZERO,
    broadcast,
    fma,
    fold,
    i64,
    load,
    offset,
    prefetch,
    shared,
    store,
)

# Steps of k in one turn of the k loop. Divides 16, so that a turn stays in one panel of A.
UNROLL = 8


def tile_kernel(module: ir.Module, tile: Tile) -> ir.Function:
    """The micro-kernel of a tile, made on first use in the module:

    `kernel(a, a_panel, b, b_panel, c, c_panel, k, add, ahead, ahead_panel)` computes C = A B, plus
    C where `add` is not 0. `*_panel` is the distance in bytes between panels of 16 columns. On its
    way it fetches as many lines as A has from `ahead`, where rows are 64 bytes apart.
    """
    name = f"tile_{tile.rows}x{tile.vectors * LANES}"
    types = [POINTER, I64, POINTER, I64, POINTER, I64, I64, I64, POINTER, I64]
    return shared(module, name, types, lambda function: _emit(function, tile))


def _emit(function: ir.Function, tile: Tile) -> None:
    a, a_panel, b, b_panel, c, c_panel, k, add, ahead, ahead_panel = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    b_columns = _panels(builder, b, b_panel, tile)
    c_places = [
        offset(builder, panel, row * VECTOR_BYTES)
        for row in range(tile.rows)
        for panel in _panels(builder, c, c_panel, tile)
    ]

    def steps(at: ir.Value, sums: Sequence[ir.Value], count: int) -> Sequence[ir.Value]:
        first = _a_column(builder, a, a_panel, at)
        b_rows = [offset(builder, column, at, VECTOR_BYTES) for column in b_columns]
        for i in range(count):
            vectors = [load(builder, offset(builder, row, i * VECTOR_BYTES)) for row in b_rows]
            a_column = offset(builder, first, i * FLOAT_BYTES)
            sums = _outer_product(builder, a_column, vectors, sums)
        return sums

    def turn(at: ir.Value, sums: Sequence[ir.Value]) -> Sequence[ir.Value]:
        _fetch_ahead(builder, ahead, ahead_panel, at, tile)
        return steps(at, sums, UNROLL)

    for place in c_places:
        prefetch(builder, place)
    whole = builder.and_(k, i64(-UNROLL))
    sums: Sequence[ir.Value] = [ZERO] * len(c_places)
    sums = fold(builder, i64(0), whole, UNROLL, sums, turn)
    sums = fold(builder, whole, k, 1, sums, lambda at, sums: steps(at, sums, 1))
    _write(builder, sums, c_places, add)
    builder.ret_void()


def _panels(
    builder: ir.IRBuilder, first: ir.Value, distance: ir.Value, tile: Tile
) -> list[ir.Value]:
    """Where each of the tile's panels of 16 columns begins."""
    others = range(1, tile.vectors)
    return [first, *(offset(builder, first, distance, number) for number in others)]


def _a_column(builder: ir.IRBuilder, a: ir.Value, a_panel: ir.Value, k: ir.Value) -> ir.Value:
    """Where column k of a tile of A begins: panel k / 16, column k % 16 in it."""
    panel = offset(builder, a, builder.mul(builder.lshr(k, i64(4)), a_panel))
    return offset(builder, panel, builder.and_(k, i64(LANES - 1)), FLOAT_BYTES)


def _fetch_ahead(
    builder: ir.IRBuilder, ahead: ir.Value, panel: ir.Value, k: ir.Value, tile: Tile
) -> None:
    """Fetch a turn's share, UNROLL / 16, of the lines of one panel ahead."""
    lines = -(-tile.rows * UNROLL // LANES)
    start = offset(builder, ahead, builder.mul(builder.lshr(k, i64(4)), panel))
    share = builder.and_(k, i64(LANES - 1))
    start = offset(builder, start, share, lines * VECTOR_BYTES // UNROLL)
    for line in range(lines):
        prefetch(builder, offset(builder, start, line * VECTOR_BYTES))


def _outer_product(
    builder: ir.IRBuilder, a: ir.Value, vectors: Sequence[ir.Value], sums: Sequence[ir.Value]
) -> list[ir.Value]:
    """One column of A times one row of B, onto the accumulators (row after row)."""
    result = []
    for row in range(len(sums) // len(vectors)):
        value = broadcast(builder, offset(builder, a, row * VECTOR_BYTES))
        for v, vector in enumerate(vectors):
            result.append(fma(builder, value, vector, sums[row * len(vectors) + v]))
    return result


def _write(
    builder: ir.IRBuilder, sums: Sequence[ir.Value], places: Sequence[ir.Value], add: ir.Value
) -> None:
    with builder.if_else(builder.icmp_signed("!=", add, i64(0))) as (then, otherwise):
        with then:
            for value, place in zip(sums, places, strict=True):
                store(builder, builder.fadd(load(builder, place), value), place)
        with otherwise:
            for value, place in zip(sums, places, strict=True):
                store(builder, value, place)
