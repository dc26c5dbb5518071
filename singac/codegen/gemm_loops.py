"""C = A B over panels of 16 columns: the five loops around the register tile.

The loops carry the names of Goto and van de Geijn (ACM TOMS 34, 2008) and of BLIS:

    for jc in n by NC            a band of B and of C, kept in the L3 cache
      for ic in m by MC          rows of A
        for pc in k by KC        MC x KC of A, kept in L2
          for jr in NC by NR     KC x NR of B, kept in L1
            for ir in MC by MR   one register tile (gemm_tile.py)

                   NR                   Operands are packed where they are first used, and are then
            pc +-------+-----           still near: a panel of B at ic = 0, a tile of A at jr = 0.
          KC   |   B   |                Packed, a tile is one stretch of memory, free of the cache
               +-------+-----           conflicts of rows that lie a power of two apart.
         KC
       +-----+ +-------+-----           C is collected in scratch and leaves it strip by strip, as
    MR |  A  | |   C   |  ...           soon as the last pc has added its share: the stores drain
    ir +-----+ +-------+-----           while the next tile computes.
       |     | |       |

Where A is small pc is inside jr: all of A stays in L2, and a strip of C in L1 through all of k.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from llvmlite import ir

from singac.codegen.gemm_pack import padded, tile_copier
from singac.codegen.gemm_tile import tile_kernel
from singac.codegen.host import Tile
from singac.codegen.ir import FLOAT_BYTES, LANES, VECTOR_BYTES, i64, loop, offset

# Block sizes, for 32 KB of L1 and 512 KB of L2 or more. They are the same on every machine:
# KC fixes the order of summation, MC and NC the size of the scratch. A panel of B and two tiles of
# A fill L1 at KC = 288; with KC = 512 they do not stay there, and 5 % to 20 % of the speed is lost.
KC = 288
MC = 288
NC = 4096

# Floats of an A that is packed once and stays in L2, with room for what passes by.
WHOLE_A = 96 * 1024

# A strip of C is at most this high, and this many panels wide, on any machine.
MAX_STRIP = 112
MAX_VECTORS = 2

# `leave(c, rows, row, column)`: `rows` finished vectors of C lie at `c`, C[row, column] the first.
Leave = Callable[[ir.Value, ir.Value, ir.Value, ir.Value], None]

# `pack_b(panel, k, depth, panels)`: fill rows k to k + depth of some panels of B.
PackB = Callable[[ir.Value, ir.Value, ir.Value, int], None]

# Panels of B that are packed at once: a row of them is a stretch of memory long enough to be
# fetched ahead by the processor.
PACKED = 8


@dataclass(frozen=True, slots=True)
class Panels:
    """A matrix in panels of 16 columns: bytes from one panel to the next, and between rows."""

    start: ir.Value
    panel_bytes: int
    row_bytes: int = VECTOR_BYTES


def k_is_inside(m: int, k: int) -> bool:
    """Whether A is so small that it stays near as a whole, with a strip of C for all its rows."""
    return k > KC and m <= MC and m * k <= WHOLE_A


def a_scratch_bytes(m: int, k: int) -> int:
    """Room for what is packed of A, on any machine."""
    depth = padded(k) if k_is_inside(m, k) else min(padded(k), KC)
    return min(m, MC) * depth * FLOAT_BYTES


def c_scratch_bytes(m: int, n: int, k: int) -> int:
    """Room for the C that is being collected, on any machine."""
    strip = MAX_STRIP * MAX_VECTORS * VECTOR_BYTES
    block = padded(min(m, MC)) * min(padded(n), NC) * FLOAT_BYTES
    return strip if k <= KC else max(strip, block)


@dataclass(frozen=True, slots=True)
class Nest:
    """The loop nest of one product of static shape; C leaves in strips `strip` rows high.

    With `a_in_place` its tiles are read where they lie; with `c_in_place` C is computed where it
    belongs and does not leave, and with `accumulate` is added to what is there.
    """

    builder: ir.IRBuilder
    tile: Tile
    m: int
    n: int
    k: int
    a: Panels
    b: Panels
    pack_b: PackB | None
    a_scratch: ir.Value
    c_scratch: ir.Value
    strip: int
    leave: Leave
    a_in_place: bool = False
    c_in_place: Panels | None = None
    accumulate: bool = False

    def emit(self) -> None:
        assert self.strip <= MAX_STRIP, f"scratch is made for strips of {MAX_STRIP} rows"
        assert self.tile.vectors <= MAX_VECTORS, f"scratch is made for {MAX_VECTORS} panels"
        builder, columns = self.builder, padded(self.n)
        nc = _even_blocks(columns, NC, self.tile.vectors * LANES)
        mc = _even_blocks(self.m, MC, self.strip)
        kc = _even_blocks(self.k, KC, LANES)
        c_rows = self.strip if kc >= self.k else padded(min(mc, self.m))
        c = self.c_in_place or Panels(self.c_scratch, c_rows * VECTOR_BYTES)
        inside = k_is_inside(self.m, self.k)
        with (
            _blocks(builder, columns, nc) as jc,
            _blocks(builder, self.m, mc) as ic,
            _blocks(builder, self.k, self.k if inside else kc) as pc,
        ):
            sizes = (
                clip(builder, i64(self.m), ic, mc),
                clip(builder, i64(columns), jc, nc),
                clip(builder, i64(self.k), pc, kc),
            )
            _MacroKernel(self, ic, jc, pc, *sizes, kc, c).emit()


def clip(builder: ir.IRBuilder, whole: ir.Value, start: ir.Value, size: int) -> ir.Value:
    """The size of the block at `start`: `size`, or what is left of `whole`."""
    left = builder.sub(whole, start)
    return builder.select(builder.icmp_signed("<", left, i64(size)), left, i64(size))


@contextmanager
def _blocks(builder: ir.IRBuilder, whole: int, size: int) -> Iterator[ir.Value]:
    """A loop over the starts of blocks, or no loop at all for a single one: most layers are small,
    and it is the nest of loops that takes LLVM its time.
    """
    if size >= whole:
        yield i64(0)
    else:
        with loop(builder, i64(0), i64(whole), size) as start:
            yield start


def _even_blocks(whole: int, size: int, multiple: int) -> int:
    """The multiple of `multiple`, at most `size` if it can be, that cuts `whole` most evenly."""
    most = max(size // multiple, 1) * multiple
    count = -(-whole // most)
    return -(-whole // (count * multiple)) * multiple


@dataclass(frozen=True, slots=True)
class _MacroKernel:
    """The loops jr and ir: `rows` x `depth` of A at (ic, pc), `depth` x `columns` of B at (pc, jc).

    C is computed in `c`. Where A stays near as a whole, pc is the loop between the two: a strip of
    C then does not leave the nearest cache before it is finished.
    """

    nest: Nest
    ic: ir.Value
    jc: ir.Value
    pc: ir.Value
    rows: ir.Value
    columns: ir.Value
    depth: ir.Value
    kc: int
    c: Panels

    def emit(self) -> None:
        builder, width = self.nest.builder, self.nest.tile.vectors * LANES
        whole = builder.and_(self.columns, i64(-width))
        with loop(builder, i64(0), whole, width) as jr:
            self._panel(jr, self.nest.tile.vectors)
        if padded(self.nest.n) % width:
            with loop(builder, whole, self.columns, LANES) as jr:
                self._panel(jr, vectors=1)

    def _panel(self, jr: ir.Value, vectors: int) -> None:
        """A panel of B (or `vectors` of them) against all tiles of the block of A."""
        nest, builder = self.nest, self.nest.builder
        if not self._inside:
            self._block(jr, vectors)
            return
        with _blocks(builder, nest.k, self.kc) as pc:
            depth = clip(builder, i64(nest.k), pc, self.kc)
            replace(self, pc=pc, depth=depth)._block(jr, vectors)

    @property
    def _inside(self) -> bool:
        return k_is_inside(self.nest.m, self.nest.k)

    def _block(self, jr: ir.Value, vectors: int) -> None:
        """One turn of pc: strip after strip of C gains a block's share."""
        nest, builder = self.nest, self.nest.builder
        number = builder.lshr(builder.add(self.jc, jr), i64(4))
        if nest.pack_b is not None:
            self._pack_b(nest.pack_b, jr, number)
        b = offset(builder, nest.b.start, number, nest.b.panel_bytes)
        b = offset(builder, b, self.pc, VECTOR_BYTES)
        last = builder.icmp_signed(">=", builder.add(self.pc, self.depth), i64(nest.k))
        with loop(builder, i64(0), self.rows, nest.strip) as row:
            height = clip(builder, self.rows, row, nest.strip)
            c = self._c(jr, row)
            self._strip(jr, row, height, b, c, vectors)
            if nest.c_in_place is None:
                with builder.if_then(last):
                    self._leave(jr, row, height, c, vectors)

    def _pack_b(self, pack: PackB, jr: ir.Value, number: ir.Value) -> None:
        """At ic = 0 the panels from `number` on, some at a time: their rows lie side by side."""
        builder = self.nest.builder
        begins = builder.icmp_signed("==", builder.and_(jr, i64(PACKED * LANES - 1)), i64(0))
        with builder.if_then(builder.and_(begins, builder.icmp_signed("==", self.ic, i64(0)))):
            width = clip(builder, self.columns, jr, PACKED * LANES)
            whole = builder.icmp_signed("==", width, i64(PACKED * LANES))
            with builder.if_else(whole) as (then, otherwise):
                with then:
                    pack(number, self.pc, self.depth, PACKED)
                with otherwise, loop(builder, i64(0), builder.lshr(width, i64(4))) as panel:
                    pack(builder.add(number, panel), self.pc, self.depth, 1)

    def _c(self, jr: ir.Value, row: ir.Value) -> ir.Value:
        """Where a strip is computed: one place for all, unless it has to wait for more of k."""
        nest, builder = self.nest, self.nest.builder
        if nest.c_in_place is not None:
            row, jr = builder.add(self.ic, row), builder.add(self.jc, jr)
        elif self.kc >= nest.k:
            return nest.c_scratch
        elif self._inside:
            return offset(builder, nest.c_scratch, row, VECTOR_BYTES)
        panel = offset(builder, self.c.start, builder.lshr(jr, i64(4)), self.c.panel_bytes)
        return offset(builder, panel, row, VECTOR_BYTES)

    def _leave(
        self, jr: ir.Value, row: ir.Value, height: ir.Value, c: ir.Value, vectors: int
    ) -> None:
        builder = self.nest.builder
        for v in range(vectors):
            column = builder.add(builder.add(self.jc, jr), i64(v * LANES))
            panel = offset(builder, c, v * self.c.panel_bytes)
            self.nest.leave(panel, height, builder.add(self.ic, row), column)

    def _strip(
        self,
        jr: ir.Value,
        start: ir.Value,
        height: ir.Value,
        b: ir.Value,
        c: ir.Value,
        vectors: int,
    ) -> None:
        """The loop ir over one strip: whole tiles, then the rows that are left of m."""
        nest, builder = self.nest, self.nest.builder
        step, rest = nest.tile.rows, nest.m % nest.tile.rows
        whole = builder.sub(height, builder.urem(height, i64(step)))

        def tile(at: ir.Value, rows: int) -> None:
            c_tile = offset(builder, c, at, VECTOR_BYTES)
            self._tile(jr, builder.add(start, at), b, c_tile, Tile(rows, vectors))

        if nest.m >= step:
            with loop(builder, i64(0), whole, step) as at:
                tile(at, step)
        if rest:
            with builder.if_then(builder.icmp_signed("<", whole, height)):
                tile(whole, rest)

    def _tile(self, jr: ir.Value, row: ir.Value, b: ir.Value, c: ir.Value, tile: Tile) -> None:
        nest, builder = self.nest, self.nest.builder
        depth = builder.and_(builder.add(self.depth, i64(LANES - 1)), i64(-LANES))
        panel = offset(builder, nest.a.start, builder.lshr(self.pc, i64(4)), nest.a.panel_bytes)
        source = offset(builder, panel, builder.add(self.ic, row), nest.a.row_bytes)
        first = builder.icmp_signed("==", jr, i64(0))
        a, a_panel = source, i64(nest.a.panel_bytes)
        if not nest.a_in_place:
            a, a_panel = self._packed_a(row, depth), i64(tile.rows * VECTOR_BYTES)
            with builder.if_then(first):
                panels = builder.lshr(depth, i64(4))
                strides = [i64(nest.a.panel_bytes), i64(nest.a.row_bytes)]
                copy = tile_copier(builder.module, tile.rows)
                builder.call(copy, [source, *strides, panels, a])
        next_a = offset(builder, source, tile.rows * nest.a.row_bytes)
        next_b = self._next_b(b, row, depth, tile)
        ahead = builder.select(first, next_a, next_b)
        ahead_panel = builder.select(first, i64(nest.a.panel_bytes), i64(tile.rows * VECTOR_BYTES))
        b_panel, c_panel = i64(nest.b.panel_bytes), i64(self.c.panel_bytes)
        add = i64(1) if nest.accumulate else self.pc
        arguments = [a, a_panel, b, b_panel, c, c_panel, self.depth, add, ahead, ahead_panel]
        builder.call(tile_kernel(builder.module, tile), arguments)

    def _packed_a(self, row: ir.Value, depth: ir.Value) -> ir.Value:
        """Where a tile is packed: those of a block lie one after another."""
        builder = self.nest.builder
        floats = builder.mul(row, depth)
        if self._inside:
            floats = builder.add(floats, builder.mul(self.pc, i64(self.nest.m)))
        return offset(builder, self.nest.a_scratch, floats, FLOAT_BYTES)

    def _next_b(self, b: ir.Value, row: ir.Value, depth: ir.Value, tile: Tile) -> ir.Value:
        """The share of the next panels of B that the tile at `row` fetches.

        A tile fetches as much as its own A is: 16 rows' worth make a panel, so the first 16 rows
        of A fetch the first panel. Tiles further down find what they ask for already there.
        """
        builder = self.nest.builder
        following = offset(builder, b, tile.vectors * self.nest.b.panel_bytes)
        within = builder.mul(builder.and_(row, i64(LANES - 1)), depth)
        number = builder.and_(builder.lshr(row, i64(4)), i64(tile.vectors - 1))
        panel = offset(builder, following, number, self.nest.b.panel_bytes)
        return offset(builder, panel, within, FLOAT_BYTES)
