"""The three products of a dense layer, C = A B in five loops around a register tile.

    role             C (m x n)                A (m x k)             B (k x n)
    forward          Y    rows x outputs      X    packed here      W    as it lies
    input_gradient   dX^T inputs x rows       W    as it lies       dY^T packed here
    weight_gradient  dW   inputs x outputs    X^T  packed here      dY   packed here

W lies in panels of 16 columns, [outputs / 16][inputs][16], which serves as B of the forward
product and, its rows read down the panels, as A of the gradient of the inputs: no second copy.
The loops carry the names of Goto and van de Geijn (ACM TOMS 34, 2008) and of BLIS:

    for jc in n by NC            a band of B and C, in the L3 cache
      for ic in m by MC          rows of A; its block of C is collected in scratch, in L2
        for pc in k by KC        MC x KC of A, in L2
          for jr in NC by NR     KC x NR of B, in L1
            for ir in MC by MR   one register tile, gemm_tile.py
            after the last pc    the panel of C leaves through the epilogue, still in L1

Sums run over k in order, KC terms a partial sum: results do not depend on threads or time.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from llvmlite import ir

from singac.codegen.gemm_pack import pack, pack_transposed, padded, transposer
from singac.codegen.gemm_tile import tile_kernel
from singac.codegen.host import Tile
from singac.codegen.ir import (
    FLOAT_BYTES,
    LANES,
    VECTOR_BYTES,
    ZERO,
    i64,
    load,
    loop,
    offset,
    store,
)

Role = Literal["forward", "input_gradient", "weight_gradient"]

# What becomes of 16 consecutive results: `epilogue(builder, vector, row, column)` stores them.
# Row and column count in the row-major result: for the weight gradient, input and output.
Epilogue = Callable[[ir.IRBuilder, ir.Value, ir.Value, ir.Value], None]

# Block sizes. KC is the same on every machine, and with it the order of summation.
KC = 320
MC = 192
NC = 256
C_BLOCK_BYTES = 2 * MC * NC * FLOAT_BYTES
TURN_BYTES = LANES * VECTOR_BYTES


@dataclass(frozen=True, slots=True)
class Product:
    """One product of a dense layer: `rows` examples, `inputs` x `outputs` weights.

    With `accumulate` the result is added to what the output holds (a param used twice).
    """

    role: Role
    rows: int
    inputs: int
    outputs: int
    accumulate: bool = False

    @property
    def m(self) -> int:
        return self.rows if self.role == "forward" else self.inputs

    @property
    def n(self) -> int:
        return self.rows if self.role == "input_gradient" else self.outputs

    @property
    def k(self) -> int:
        return {
            "forward": self.inputs,
            "input_gradient": self.outputs,
            "weight_gradient": self.rows,
        }[self.role]


def scratch_bytes(product: Product) -> int:
    """Bytes of scratch that suffice on any machine; the scratch is 64-byte aligned."""
    c_block = min(padded(product.m) * padded(product.n) * FLOAT_BYTES, C_BLOCK_BYTES)
    return _a_bytes(product) + _b_bytes(product) + c_block + TURN_BYTES


def _a_bytes(product: Product) -> int:
    return {
        "forward": padded(product.inputs) * product.rows,
        "input_gradient": 0,
        "weight_gradient": padded(product.rows) * padded(product.inputs),
    }[product.role] * FLOAT_BYTES


def _b_bytes(product: Product) -> int:
    return {
        "forward": 0,
        "input_gradient": padded(product.rows) * padded(product.outputs),
        "weight_gradient": padded(product.outputs) * product.rows,
    }[product.role] * FLOAT_BYTES


@dataclass(frozen=True, slots=True)
class Panels:
    """A matrix in panels of 16 columns, `bytes` from one to the next."""

    start: ir.Value
    bytes: int


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

    All pointers are 64-byte aligned. `out` is touched by the default epilogue and by
    `accumulate` only.
    """
    b_scratch = offset(builder, scratch, _a_bytes(product))
    a, b = _pack_operands(builder, product, left, right, scratch, b_scratch)
    c_block = offset(builder, b_scratch, _b_bytes(product))
    finish = _finisher(product, out, epilogue)
    _Loops(builder, tile, product, a, b, c_block, finish).emit()


def _pack_operands(
    builder: ir.IRBuilder,
    product: Product,
    left: ir.Value,
    right: ir.Value,
    a_scratch: ir.Value,
    b_scratch: ir.Value,
) -> tuple[Panels, Panels]:
    rows, inputs, outputs = product.rows, product.inputs, product.outputs
    if product.role == "forward":
        pack(builder, left, rows, inputs, a_scratch)
        return Panels(a_scratch, rows * VECTOR_BYTES), Panels(right, inputs * VECTOR_BYTES)
    if product.role == "input_gradient":
        pack_transposed(builder, left, rows, outputs, b_scratch)
        b = Panels(b_scratch, padded(outputs) * VECTOR_BYTES)
        return Panels(right, inputs * VECTOR_BYTES), b
    pack_transposed(builder, left, rows, inputs, a_scratch)
    pack(builder, right, rows, outputs, b_scratch)
    a = Panels(a_scratch, padded(inputs) * VECTOR_BYTES)
    return a, Panels(b_scratch, rows * VECTOR_BYTES)


def _finisher(product: Product, out: ir.Value, epilogue: Epilogue | None) -> Epilogue:
    """The epilogue with its defaults: add what is there if asked to, store if nothing is given."""

    def place(builder: ir.IRBuilder, row: ir.Value, column: ir.Value) -> ir.Value:
        if product.role == "weight_gradient":
            panel = builder.lshr(column, i64(4))
            start = offset(builder, out, panel, product.inputs * VECTOR_BYTES)
            return offset(builder, start, row, VECTOR_BYTES)
        columns = product.outputs if product.role == "forward" else product.inputs
        start = offset(builder, out, row, padded(columns) * FLOAT_BYTES)
        return offset(builder, start, column, FLOAT_BYTES)

    def finish(builder: ir.IRBuilder, vector: ir.Value, row: ir.Value, column: ir.Value) -> None:
        if product.accumulate:
            vector = builder.fadd(load(builder, place(builder, row, column)), vector)
        if epilogue is None:
            store(builder, vector, place(builder, row, column))
        else:
            epilogue(builder, vector, row, column)

    return finish


class _Loops:
    """The five loops of one product, over static blocks."""

    def __init__(
        self,
        builder: ir.IRBuilder,
        tile: Tile,
        product: Product,
        a: Panels,
        b: Panels,
        c_block: ir.Value,
        finish: Epilogue,
    ) -> None:
        self.builder, self.tile, self.product = builder, tile, product
        self.a, self.b, self.c_block, self.finish = a, b, c_block, finish
        self.kc = _even_blocks(product.k, KC, LANES)
        self.mc = _even_blocks(product.m, MC, math.lcm(tile.rows, LANES))
        self.nc = _even_blocks(product.n, NC, tile.vectors * LANES)
        self.c_panel = padded(min(self.mc, product.m)) * VECTOR_BYTES
        self.single = self.kc >= product.k

    def emit(self) -> None:
        builder, product = self.builder, self.product
        with (
            loop(builder, i64(0), i64(product.n), self.nc) as jc,
            loop(builder, i64(0), i64(product.m), self.mc) as ic,
            loop(builder, i64(0), i64(product.k), self.kc) as pc,
        ):
            rows = self._up_to(product.m, ic, self.mc)
            depth = self._up_to(product.k, pc, self.kc)
            panels = self._up_to(padded(product.n), jc, self.nc)
            self._macro_kernel(jc, ic, pc, panels, rows, depth)

    def _macro_kernel(self, jc, ic, pc, columns, rows, depth) -> None:  # type: ignore[no-untyped-def]
        builder, width = self.builder, self.tile.vectors * LANES
        whole = builder.and_(columns, i64(-width))
        with loop(builder, i64(0), whole, width) as jr:
            self._panel(jc, ic, pc, jr, rows, depth, self.tile.vectors)
        if padded(self.product.n) % width:
            with loop(builder, whole, columns, LANES) as jr:
                self._panel(jc, ic, pc, jr, rows, depth, 1)

    def _panel(self, jc, ic, pc, jr, rows, depth, vectors) -> None:  # type: ignore[no-untyped-def]
        builder = self.builder
        column = builder.add(jc, jr)
        number = builder.lshr(column, i64(4))
        b = offset(builder, offset(builder, self.b.start, number, self.b.bytes), pc, VECTOR_BYTES)
        c = self.c_block
        if not self.single:
            c = offset(builder, c, builder.lshr(jr, i64(4)), self.c_panel)
        self._tiles(ic, pc, rows, depth, b, c, vectors)
        last = builder.icmp_signed(">=", builder.add(pc, depth), i64(self.product.k))
        with builder.if_then(last):
            for v in range(vectors):
                panel = offset(builder, c, v * self.c_panel)
                at = builder.add(column, i64(v * LANES))
                if self.product.role == "input_gradient":
                    self._leave_transposed(panel, ic, rows, at)
                else:
                    self._leave(panel, ic, rows, at)

    def _tiles(self, ic, pc, rows, depth, b, c, vectors) -> None:  # type: ignore[no-untyped-def]
        builder, height = self.builder, self.tile.rows
        panel = offset(builder, self.a.start, builder.lshr(pc, i64(4)), self.a.bytes)
        a = offset(builder, panel, ic, VECTOR_BYTES)

        def call(ir_: ir.Value, size: int) -> None:
            kernel = tile_kernel(builder.module, Tile(size, vectors))
            a_tile = offset(builder, a, ir_, VECTOR_BYTES)
            c_tile = offset(builder, c, ir_, VECTOR_BYTES)
            strides = [i64(self.a.bytes), i64(self.b.bytes), i64(self.c_panel)]
            builder.call(
                kernel,
                [a_tile, strides[0], b, strides[1], c_tile, strides[2], depth, pc],
            )

        rest = builder.urem(rows, i64(height))
        whole = builder.sub(rows, rest)
        if self.product.m >= height:
            with loop(builder, i64(0), whole, height) as ir_:
                call(ir_, height)
        if self.product.m % height:
            with builder.if_then(builder.icmp_signed("!=", rest, i64(0))):
                call(whole, self.product.m % height)

    def _leave(self, panel, ic, rows, column) -> None:  # type: ignore[no-untyped-def]
        builder = self.builder
        with loop(builder, i64(0), rows) as row:
            vector = load(builder, offset(builder, panel, row, VECTOR_BYTES))
            self.finish(builder, vector, builder.add(ic, row), column)

    def _leave_transposed(self, panel, ic, rows, column) -> None:  # type: ignore[no-untyped-def]
        """C^T -> C: a panel holds 16 examples, its rows are inputs."""
        builder, product = self.builder, self.product
        after = builder.and_(builder.add(rows, i64(LANES - 1)), i64(-LANES))
        with loop(builder, rows, after) as pad:
            store(builder, ZERO, offset(builder, panel, pad, VECTOR_BYTES))
        turned = offset(
            builder,
            self.c_block,
            scratch_bytes(product) - TURN_BYTES - _a_bytes(product) - _b_bytes(product),
        )
        examples = self._up_to(product.rows, column, LANES)
        with loop(builder, i64(0), rows, LANES) as block:
            turn = transposer(builder.module, LANES)
            here = offset(builder, panel, block, VECTOR_BYTES)
            builder.call(turn, [here, i64(VECTOR_BYTES), turned])
            with loop(builder, i64(0), examples) as example:
                vector = load(builder, offset(builder, turned, example, VECTOR_BYTES))
                row = builder.add(column, example)
                self.finish(builder, vector, row, builder.add(ic, block))

    def _up_to(self, whole: int, start: ir.Value, size: int) -> ir.Value:
        """The size of the block at `start`: `size`, or what is left of `whole`."""
        left = self.builder.sub(i64(whole), start)
        return self.builder.select(self.builder.icmp_signed("<", left, i64(size)), left, i64(size))


def _even_blocks(whole: int, size: int, multiple: int) -> int:
    """A block size near `size`, a multiple of `multiple`, that cuts `whole` into even blocks."""
    size = max(size // multiple, 1) * multiple
    count = -(-whole // size)
    return -(-whole // (count * multiple)) * multiple
