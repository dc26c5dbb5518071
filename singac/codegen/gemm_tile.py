"""The micro-kernel: one register tile of C gains a block of A times a panel of B.

 B panel   [k][16]                    A panels  [k / 16][m][16]
 k -> a vector of 16 columns          (i, k) -> one float, broadcast to all lanes

         16 columns
       +------------+
rows   |  C tile    |   rows x vectors accumulators, alive in registers
       |            |   through the whole k loop
       +------------+
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
    internal,
    load,
    offset,
    store,
)

# Steps of k in one turn of the k loop. Divides 16, so that a turn stays in one panel of A.
UNROLL = 4


def tile_kernel(module: ir.Module, tile: Tile) -> ir.Function:
    """The micro-kernel of a tile, made on first use in the module:

    `kernel(a, a_panel, b, b_panel, c, c_panel, k, add)` computes C = A B, plus C where `add` is
    not 0. `*_panel` is the distance in bytes between two panels of 16 columns.
    """
    name = f"tile_{tile.rows}x{tile.vectors * LANES}"
    function = module.globals.get(name)
    if function is None:
        types = [POINTER, I64, POINTER, I64, POINTER, I64, I64, I64]
        function = internal(module, name, types)
        _emit(function, tile)
    return function


def _emit(function: ir.Function, tile: Tile) -> None:
    a, a_panel, b, b_panel, c, c_panel, k, add = function.args
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    b_columns = _panels(builder, b, b_panel, tile)

    def step(start: ir.Value, sums: Sequence[ir.Value], steps: int) -> Sequence[ir.Value]:
        a_block = _a_block(builder, a, a_panel, start)
        for ahead in range(steps):
            rows = [offset(builder, p, start, VECTOR_BYTES) for p in b_columns]
            vectors = [load(builder, offset(builder, p, ahead * VECTOR_BYTES)) for p in rows]
            sums = _outer_product(builder, offset(builder, a_block, ahead * 4), vectors, sums)
        return sums

    whole = builder.and_(k, i64(-UNROLL))
    sums: Sequence[ir.Value] = [ZERO] * (tile.rows * tile.vectors)
    sums = fold(builder, i64(0), whole, UNROLL, sums, lambda at, sums: step(at, sums, UNROLL))
    sums = fold(builder, whole, k, 1, sums, lambda at, sums: step(at, sums, 1))
    _write(builder, sums, _panels(builder, c, c_panel, tile), add, tile)
    builder.ret_void()


def _panels(
    builder: ir.IRBuilder, first: ir.Value, distance: ir.Value, tile: Tile
) -> list[ir.Value]:
    return [offset(builder, first, distance, v) if v else first for v in range(tile.vectors)]


def _a_block(builder: ir.IRBuilder, a: ir.Value, a_panel: ir.Value, k: ir.Value) -> ir.Value:
    """Where column k of A begins: panel k / 16, column k % 16 in it."""
    panel = builder.mul(builder.lshr(k, i64(4)), a_panel)
    return offset(builder, offset(builder, a, panel), builder.and_(k, i64(LANES - 1)), FLOAT_BYTES)


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
    builder: ir.IRBuilder,
    sums: Sequence[ir.Value],
    panels: Sequence[ir.Value],
    add: ir.Value,
    tile: Tile,
) -> None:
    places = [
        offset(builder, panel, row * VECTOR_BYTES) for row in range(tile.rows) for panel in panels
    ]
    with builder.if_else(builder.icmp_signed("!=", add, i64(0))) as (then, otherwise):
        with then:
            for value, place in zip(sums, places, strict=True):
                store(builder, builder.fadd(load(builder, place), value), place)
        with otherwise:
            for value, place in zip(sums, places, strict=True):
                store(builder, value, place)
