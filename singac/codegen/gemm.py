"""The three products of a dense layer, from one copy of its weight.

    role             C  (m x n)              A  (m x k)           B  (k x n)
    forward          Y     rows x outputs    X                    W    as it lies
    input_gradient   dX^T  inputs x rows     W                    dY^T turned here
    weight_gradient  dW    inputs x outputs  X^T  turned here     dY   packed here

W lies in panels of 16 columns, [outputs / 16][inputs][16]. Those are the panels of B in the
forward product; read the other way, 16 steps of k from each row of a panel, they are panels of A
in the gradient of the inputs, where the 16 lanes of a vector are examples. Activations and their
gradients are row-major, rows padded to whole vectors.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from llvmlite import ir

from singac.codegen.gemm_loops import (
    KC,
    Leave,
    Nest,
    PackB,
    Panels,
    a_scratch_bytes,
    c_scratch_bytes,
    clip,
)
from singac.codegen.gemm_pack import padded, panel_copier, panel_turner
from singac.codegen.host import Tile
from singac.codegen.ir import (
    FLOAT_BYTES,
    LANES,
    VECTOR_BYTES,
    ZERO,
    fold,
    i64,
    load,
    loop,
    offset,
    store,
)

Role = Literal["forward", "input_gradient", "weight_gradient"]

# What becomes of 16 consecutive results: `epilogue(builder, vector, row, column)` stores them.
# Row and column are those of the row-major result; of the weight gradient, input and output.
Epilogue = Callable[[ir.IRBuilder, ir.Value, ir.Value, ir.Value], None]

TURNED_BYTES = LANES * VECTOR_BYTES

# Up to so many examples W is not copied on its way to the gradient of the inputs: a tile of it is
# used so seldom that the copy would be 7 % of the time.
FEW_ROWS = 64


@dataclass(frozen=True, slots=True)
class Product:
    """One product of a dense layer: `rows` examples, an `inputs` x `outputs` weight.

    With `accumulate` the result is added to what the output holds, as for a param used twice.
    """

    role: Role
    rows: int
    inputs: int
    outputs: int
    accumulate: bool = False

    @property
    def mnk(self) -> tuple[int, int, int]:
        """The sizes of C = A B."""
        # fmt: off
        return {
            "forward":         (self.rows,   self.outputs, self.inputs),
            "input_gradient":  (self.inputs, self.rows,    self.outputs),
            "weight_gradient": (self.inputs, self.outputs, self.rows),
        }[self.role]
        # fmt: on

    @property
    def out_columns(self) -> int:
        return self.inputs if self.role == "input_gradient" else self.outputs


@dataclass(frozen=True, slots=True)
class _Scratch:
    """Offsets in the scratch of a product, the same on every machine."""

    turned_a: int
    packed_b: int
    a: int
    c: int
    turned_c: int
    total: int


def _scratch(product: Product) -> _Scratch:
    m, n, k = product.mnk
    turned_a = padded(k) * padded(m) if product.role == "weight_gradient" else 0
    packed_b = padded(n) * padded(k) if product.role != "forward" else 0
    sizes = (
        turned_a * FLOAT_BYTES,
        packed_b * FLOAT_BYTES,
        a_scratch_bytes(m, k),
        c_scratch_bytes(m, n, k),
        TURNED_BYTES,
    )
    return _Scratch(*(sum(sizes[:i]) for i in range(len(sizes) + 1)))


def scratch_bytes(product: Product) -> int:
    """Bytes of 64-byte aligned scratch that suffice on any machine."""
    return _scratch(product).total


def emit(
    builder: ir.IRBuilder,
    tile: Tile,
    product: Product,
    left: ir.Value,
    right: ir.Value,
    out: ir.Value,
    scratch: ir.Value,
    epilogue: Epilogue | None = None,
) -> None:
    """Emit a product: forward (X, W, Y), input_gradient (dY, W, dX), weight_gradient (X, dY, dW).

    All pointers are 64-byte aligned. What an epilogue writes may not overlap an operand: operands
    are read until the last result has left. `out` is not touched where there is an epilogue and
    nothing to accumulate.
    """
    places = _scratch(product)
    m, n, k = product.mnk
    a = _a(builder, product, left, right, offset(builder, scratch, places.turned_a))
    b = _b(product, right, offset(builder, scratch, places.packed_b))
    finish = _finish(product, out, epilogue)
    c_in_place = _c_in_place(product, out, epilogue)
    if product.role == "input_gradient":
        strip = math.lcm(tile.rows, LANES)
        turned = offset(builder, scratch, places.turned_c)
        leave = _leave_turned(builder, product.rows, turned, finish)
    else:
        strip = tile.rows
        leave = _leave_rows(builder, finish)
    Nest(
        builder, tile, m, n, k, a, b,
        pack_b=_pack_b(builder, product, left, right, b),
        a_scratch=offset(builder, scratch, places.a),
        c_scratch=offset(builder, scratch, places.c),
        strip=strip,
        leave=leave,
        a_in_place=product.role == "input_gradient" and product.rows <= FEW_ROWS,
        c_in_place=c_in_place,
        accumulate=product.accumulate and c_in_place is not None,
    ).emit()  # fmt: skip


def _c_in_place(product: Product, out: ir.Value, epilogue: Epilogue | None) -> Panels | None:
    """dW where it belongs, if nothing more is done with it: its panels are as good as any scratch.

    That saves 4 % of the time at 64 rows. Where the sum comes in several parts the scratch, which
    stays in the cache between them, is 1 % faster.
    """
    if product.role == "weight_gradient" and epilogue is None and product.rows <= KC:
        return Panels(out, product.inputs * VECTOR_BYTES)
    return None


# Operands


def _a(
    builder: ir.IRBuilder, product: Product, left: ir.Value, right: ir.Value, turned: ir.Value
) -> Panels:
    """A in panels of 16 steps of k: row-major X is that too, with its rows far apart."""
    row_bytes = padded(product.inputs) * FLOAT_BYTES
    if product.role == "forward":
        return Panels(left, VECTOR_BYTES, row_bytes)
    if product.role == "input_gradient":
        return Panels(right, product.inputs * VECTOR_BYTES)
    panel_bytes = padded(product.inputs) * VECTOR_BYTES
    with loop(builder, i64(0), i64(-(-product.rows // LANES))) as number:
        source = offset(builder, left, number, LANES * row_bytes)
        to = offset(builder, turned, number, panel_bytes)
        present = _present(builder, product, number)
        turn = panel_turner(builder.module)
        builder.call(turn, [source, i64(row_bytes), present, i64(product.inputs), to])
    return Panels(turned, panel_bytes)


def _present(builder: ir.IRBuilder, product: Product, panel: ir.Value) -> ir.Value:
    """How many of the 16 examples of a panel exist."""
    return clip(builder, i64(product.rows), builder.mul(panel, i64(LANES)), LANES)


def _b(product: Product, right: ir.Value, packed: ir.Value) -> Panels:
    if product.role == "forward":
        return Panels(right, product.inputs * VECTOR_BYTES)
    return Panels(packed, padded(product.mnk[2]) * VECTOR_BYTES)


def _pack_b(
    builder: ir.IRBuilder, product: Product, left: ir.Value, right: ir.Value, b: Panels
) -> PackB | None:
    """dY into panels, or dY^T; None for W, which lies in them."""
    row_bytes = padded(product.outputs) * FLOAT_BYTES

    def turn(first: ir.Value, k: ir.Value, depth: ir.Value, panels: int) -> None:
        function = panel_turner(builder.module)
        with loop(builder, first, builder.add(first, i64(panels))) as number:
            source = offset(builder, left, number, LANES * row_bytes)
            source = offset(builder, source, k, FLOAT_BYTES)
            to = offset(builder, offset(builder, b.start, number, b.panel_bytes), k, VECTOR_BYTES)
            present = _present(builder, product, number)
            builder.call(function, [source, i64(row_bytes), present, depth, to])

    def copy(number: ir.Value, k: ir.Value, depth: ir.Value, panels: int) -> None:
        source = offset(builder, offset(builder, right, number, VECTOR_BYTES), k, row_bytes)
        to = offset(builder, offset(builder, b.start, number, b.panel_bytes), k, VECTOR_BYTES)
        function = panel_copier(builder.module, panels)
        builder.call(function, [source, i64(row_bytes), depth, to, i64(b.panel_bytes)])

    return {"forward": None, "input_gradient": turn, "weight_gradient": copy}[product.role]


# Results


def _leave_rows(builder: ir.IRBuilder, finish: Epilogue) -> Leave:
    """C leaves as it was computed, 16 columns of a row at a time."""

    def leave(c: ir.Value, rows: ir.Value, row: ir.Value, column: ir.Value) -> None:
        with loop(builder, i64(0), rows) as i:
            vector = load(builder, offset(builder, c, i, VECTOR_BYTES))
            finish(builder, vector, builder.add(row, i), column)

    return leave


def _leave_turned(
    builder: ir.IRBuilder, examples: int, turned: ir.Value, finish: Epilogue
) -> Leave:
    """C^T leaves as C, in squares of 16 inputs by 16 examples; inputs beyond the last are zero."""
    turn = panel_turner(builder.module)

    def leave(c: ir.Value, rows: ir.Value, row: ir.Value, column: ir.Value) -> None:
        whole = builder.and_(builder.add(rows, i64(LANES - 1)), i64(-LANES))
        with loop(builder, rows, whole) as pad:
            store(builder, ZERO, offset(builder, c, pad, VECTOR_BYTES))
        present = clip(builder, i64(examples), column, LANES)
        with loop(builder, i64(0), rows, LANES) as square:
            source = offset(builder, c, square, VECTOR_BYTES)
            builder.call(turn, [source, i64(VECTOR_BYTES), i64(LANES), i64(LANES), turned])
            with loop(builder, i64(0), present) as i:
                vector = load(builder, offset(builder, turned, i, VECTOR_BYTES))
                finish(builder, vector, builder.add(column, i), builder.add(row, square))

    return leave


def _finish(product: Product, out: ir.Value, epilogue: Epilogue | None) -> Epilogue:
    """The epilogue with what goes without saying: add if asked to, store if nothing is given."""

    def place(builder: ir.IRBuilder, row: ir.Value, column: ir.Value) -> ir.Value:
        if product.role == "weight_gradient":
            number = builder.lshr(column, i64(4))
            panel = offset(builder, out, number, product.inputs * VECTOR_BYTES)
            return offset(builder, panel, row, VECTOR_BYTES)
        start = offset(builder, out, row, padded(product.out_columns) * FLOAT_BYTES)
        return offset(builder, start, column, FLOAT_BYTES)

    def finish(builder: ir.IRBuilder, vector: ir.Value, row: ir.Value, column: ir.Value) -> None:
        if product.accumulate:
            vector = builder.fadd(load(builder, place(builder, row, column)), vector)
        if epilogue is None:
            store(builder, vector, place(builder, row, column))
        else:
            epilogue(builder, vector, row, column)

    return finish


# The gradient of a bias


def emit_column_sum(
    builder: ir.IRBuilder,
    rows: int,
    columns: int,
    source: ir.Value,
    out: ir.Value,
    accumulate: bool = False,
) -> None:
    """out[ld] = the sum of the rows of a row-major [rows][ld] buffer, plus `out` to accumulate."""
    row_bytes = padded(columns) * FLOAT_BYTES
    with loop(builder, i64(0), i64(padded(columns)), LANES) as column:
        first = offset(builder, source, column, FLOAT_BYTES)
        place = offset(builder, out, column, FLOAT_BYTES)

        def add(row: ir.Value, sums: Sequence[ir.Value], first: ir.Value = first) -> list[ir.Value]:
            return [builder.fadd(sums[0], load(builder, offset(builder, first, row, row_bytes)))]

        initial = load(builder, place) if accumulate else ZERO
        (total,) = fold(builder, i64(0), i64(rows), 1, [initial], add)
        store(builder, total, place)
