"""The register tiles of a direct convolution, each a function that goes over all pixels.

                  runs of pixels
            +---------------------+     A step of a tile takes a vector of what a tap sees, or of
filters,    |                     |     the gradient, and a weight for each row of the tile. In the
or channels |  sums in registers  |     weight's gradient columns are taps: a step takes vectors of
            +---------------------+     both, and lanes are added up at the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from llvmlite import ir

from singac.codegen.direct_group import GRADIENT_TILES, Group
from singac.codegen.host import Host
from singac.codegen.image import larger, smaller
from singac.codegen.ir import (
    FLOAT,
    FLOAT_BYTES,
    HALF,
    I32,
    I64,
    LANES,
    LONG_BYTES,
    ZERO,
    broadcast,
    fma,
    fold,
    i64,
    loop,
    offset,
    store,
    table,
)
from singac.codegen.ir import load as load_vector
from singac.codegen.lanes import across, fma_of, halves
from singac.codegen.runs import Place, Runs, load_run, pitch, plane, tap_place


@dataclass(frozen=True, slots=True)
class Tiles:
    """Functions of a convolution; bytes are from one example to the next, of the sheets and of the
    gradients in runs, and from one row of the weight's gradient to the next.
    """

    group: Group
    host: Host
    image_bytes: int
    gradient_bytes: int
    out_bytes: int

    @property
    def name(self) -> str:
        """The same for convolutions alike, of which a module has the functions once."""
        group, w = self.group, self.group.windows
        pairs = (w.size, w.kernel, w.stride, w.pad, w.places)
        sizes = (group.groups, group.filters, group.channels, w.channels)
        moves = (self.image_bytes, self.gradient_bytes, self.out_bytes)
        numbers = [*sizes, *(n for pair in pairs for n in pair), *moves]
        return f"{group.role}_{'_'.join(map(str, numbers))}"

    def forward(self, function: ir.Function, rows: int) -> None:
        """`forward(weight, x, y)` or `(.., bias)`: `rows` filters, all pixels."""
        weight, x, y, *bias = function.args
        builder, windows = ir.IRBuilder(function.append_basic_block("entry")), self.group.windows
        with self._run_tiles(builder) as (_, places):
            seen = [offset(builder, x, p.in_sheet, FLOAT_BYTES) for p in places]
            initial = [
                broadcast(builder, offset(builder, bias[0], row * FLOAT_BYTES)) if bias else ZERO
                for row in range(rows)
                for _ in range(len(places) // 2)
            ]
            sums = self._over_taps(builder, weight, seen, self._lines(builder, places), initial)
            for k, value in enumerate(sums):
                row, vector = divmod(k, len(places) // 2)
                channel = offset(builder, y, row * windows.pixels * FLOAT_BYTES)
                self._store_runs(builder, value, channel, places[2 * vector : 2 * vector + 2])
        builder.ret_void()

    def _over_taps(
        self,
        builder: ir.IRBuilder,
        weight: ir.Value,
        seen: Sequence[ir.Value],
        lines: tuple[ir.Value, ir.Value],
        initial: Sequence[ir.Value],
    ) -> Sequence[ir.Value]:
        """The sums gain every tap of every channel times what it sees."""
        windows, vectors = self.group.windows, len(seen) // 2
        (height, width), rows = windows.kernel, len(initial) // vectors

        def line(number: ir.Value, place: ir.Value, sums: Sequence[ir.Value]) -> list[ir.Value]:
            values = list(sums)
            taps = offset(builder, weight, number, width * rows * FLOAT_BYTES)
            for column in range(width):
                at = builder.add(place, i64(tap_place(windows, column)))
                x = self._see(builder, seen, at)
                for row in range(rows):
                    w = broadcast(
                        builder, offset(builder, taps, (column * rows + row) * FLOAT_BYTES)
                    )
                    for v in range(vectors):
                        k = row * vectors + v
                        values[k] = fma(builder, w, x[v], values[k])
            return values

        def channel(c: ir.Value, sums: Sequence[ir.Value]) -> Sequence[ir.Value]:
            first = builder.mul(c, i64(plane(windows)))

            def one(i: ir.Value, sums: Sequence[ir.Value]) -> Sequence[ir.Value]:
                number = builder.add(builder.mul(c, i64(height)), i)
                return line(number, builder.add(first, builder.mul(i, i64(pitch(windows)))), sums)

            return fold(builder, *lines, 1, sums, one)

        return fold(builder, i64(0), i64(self.group.channels), 1, initial, channel)

    def backward(self, function: ir.Function, rows: int) -> None:
        """`backward(weight, dy, dx)`: `rows` channels gain the gradient of every pixel."""
        weight, dy, dx = function.args
        builder, windows = ir.IRBuilder(function.append_basic_block("entry")), self.group.windows
        width = windows.kernel[1]
        with self._run_tiles(builder) as (run, places):
            there = offset(builder, dy, run, HALF * FLOAT_BYTES)
            seen = [offset(builder, dx, p.in_sheet, FLOAT_BYTES) for p in places]
            with loop(builder, *self._lines(builder, places)) as i:
                line = builder.mul(i, i64(pitch(windows)))
                for j in range(width):
                    tap = builder.add(builder.mul(i, i64(width)), i64(j))
                    w = offset(builder, weight, tap, self.group.filters * rows * FLOAT_BYTES)
                    sums = self._over_filters(builder, w, there, rows)
                    at = builder.add(line, i64(tap_place(windows, j)))
                    to = [offset(builder, place, at, FLOAT_BYTES) for place in seen]
                    self._add_runs(builder, sums, to)
        builder.ret_void()

    def _over_filters(
        self, builder: ir.IRBuilder, weight: ir.Value, dy: ir.Value, rows: int
    ) -> Sequence[ir.Value]:
        """The sums over filters of a tap's weights times the gradients at `dy`."""
        vectors = self.host.tile.vectors

        def one(f: ir.Value, sums: Sequence[ir.Value]) -> Sequence[ir.Value]:
            here = offset(builder, dy, f, self.group.filter_bytes)
            values = [
                load_vector(builder, offset(builder, here, v * LANES * FLOAT_BYTES), FLOAT_BYTES)
                for v in range(vectors)
            ]
            taps = offset(builder, weight, f, rows * FLOAT_BYTES)
            result = []
            for row in range(rows):
                w = broadcast(builder, offset(builder, taps, row * FLOAT_BYTES))
                for v in range(vectors):
                    result.append(fma(builder, w, values[v], sums[row * vectors + v]))
            return result

        return fold(builder, i64(0), i64(self.group.filters), 1, [ZERO] * (rows * vectors), one)

    def weight(self, function: ir.Function, rows: int, taps: int) -> None:
        """`weight(x, dy, dw, tap, examples)`: `rows` filters, `taps` taps from `tap` on."""
        x, dy, dw, tap, examples = function.args
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        wide = GRADIENT_TILES[self.host.vector_bits][2]
        numbers = offset(builder, self._tap_places(builder), tap, LONG_BYTES)
        places = [
            builder.load(offset(builder, numbers, t * LONG_BYTES), align=LONG_BYTES, typ=I64)
            for t in range(taps)
        ]
        seen = [offset(builder, x, place, FLOAT_BYTES) for place in places]
        kind = ir.VectorType(FLOAT, wide * HALF)
        seeing = self._runs_that_see(builder, tap, taps, wide)

        def example(e: ir.Value, sums: Sequence[ir.Value]) -> Sequence[ir.Value]:
            images = [offset(builder, place, e, self.image_bytes) for place in seen]
            filters = offset(builder, dy, e, self.gradient_bytes)

            def step(run: ir.Value, sums: Sequence[ir.Value]) -> Sequence[ir.Value]:
                given = self._given(builder, filters, run, rows, kind)
                return self._times_taps(builder, given, images, run, sums)

            return fold(builder, *seeing, wide, sums, step)

        nothing = ir.Constant(kind, [0.0] * (wide * HALF))
        sums = fold(builder, i64(0), examples, 1, [nothing] * (rows * taps), example)
        for row in range(rows):
            totals = across(builder, sums[row * taps : (row + 1) * taps])
            place = offset(builder, dw, row * self.out_bytes)
            before = builder.load(place, align=FLOAT_BYTES, typ=totals.type)
            builder.store(builder.fadd(before, totals), place, align=FLOAT_BYTES)
        builder.ret_void()

    def _runs_that_see(
        self, builder: ir.IRBuilder, tap: ir.Value, taps: int, wide: int
    ) -> tuple[ir.Value, ir.Value]:
        """From which run to which the taps see the image and not its pad alone.

        Only a tile that is one line of the kernel has rows it never sees it from.
        """
        windows, runs = self.group.windows, Runs(self.group.windows)
        (height, width), down = windows.kernel, windows.stride[0]
        if width != taps:
            return i64(0), i64(runs.slots(wide))
        line = builder.urem(builder.udiv(tap, i64(width)), i64(height))
        # Row y sees line y * down + line of the padded image.
        above = builder.sub(i64(windows.pad[0]), line)
        below = builder.add(above, i64(windows.size[0]))
        first, stop = (
            builder.sdiv(builder.add(lines, i64(down - 1)), i64(down)) for lines in (above, below)
        )
        first = builder.mul(larger(builder, first, i64(0)), i64(runs.per_row))
        first = builder.and_(first, i64(-wide))
        stop = builder.mul(smaller(builder, stop, i64(windows.places[0])), i64(runs.per_row))
        return first, stop

    def _given(
        self, builder: ir.IRBuilder, filters: ir.Value, run: ir.Value, rows: int, kind: ir.Type
    ) -> list[ir.Value]:
        """Vectors of the gradients of `rows` filters, from a run on."""
        here = offset(builder, filters, run, HALF * FLOAT_BYTES)
        places = [offset(builder, here, row * self.group.filter_bytes) for row in range(rows)]
        return [builder.load(place, align=FLOAT_BYTES, typ=kind) for place in places]

    def _times_taps(
        self,
        builder: ir.IRBuilder,
        given: Sequence[ir.Value],
        images: Sequence[ir.Value],
        run: ir.Value,
        sums: Sequence[ir.Value],
    ) -> Sequence[ir.Value]:
        """The sums gain each given vector times what each tap sees, row by row of taps."""
        wide, runs = GRADIENT_TILES[self.host.vector_bits][2], Runs(self.group.windows)
        places = [runs.place(builder, run)] if wide == 1 else runs.pair(builder, run)
        result = list(sums)
        for t, image in enumerate(images):
            seen = [offset(builder, image, place.in_sheet, FLOAT_BYTES) for place in places]
            value = self._joined(builder, seen)
            for row, gradient in enumerate(given):
                k = row * len(images) + t
                result[k] = fma_of(builder, gradient, value, result[k])
        return result

    def _tap_places(self, builder: ir.IRBuilder) -> ir.Value:
        """A table of where each tap of a group stands in a sheet, in floats."""
        windows, (height, width) = self.group.windows, self.group.windows.kernel
        places = [
            channel * plane(windows) + line * pitch(windows) + tap_place(windows, column)
            for channel in range(self.group.channels)
            for line in range(height)
            for column in range(width)
        ]
        return table(builder.module, f"{self.name}:taps", places)

    # -- vectors -----------------------------------------------------------------------------------

    @contextmanager
    def _run_tiles(self, builder: ir.IRBuilder) -> Iterator[tuple[ir.Value, list[Place]]]:
        """A loop over tiles of runs: the number of the first, and the places of all."""
        runs, wide = Runs(self.group.windows), 2 * self.host.tile.vectors
        with loop(builder, i64(0), i64(runs.slots(wide)), wide) as run:
            firsts = [builder.add(run, i64(k)) for k in range(0, wide, 2)]
            yield run, [place for first in firsts for place in runs.pair(builder, first)]

    def _lines(self, builder: ir.IRBuilder, places: Sequence[Place]) -> tuple[ir.Value, ir.Value]:
        """The lines of a kernel that meet the image, and not its pad alone, at some of the runs."""
        windows = self.group.windows
        above, down = i64(windows.pad[0]), i64(windows.stride[0])
        first, last = (builder.mul(place.row, down) for place in (places[0], places[-1]))
        below = builder.sub(i64(windows.pad[0] + windows.size[0]), first)
        return (
            larger(builder, i64(0), builder.sub(above, last)),
            smaller(builder, i64(windows.kernel[0]), below),
        )

    def _see(self, builder: ir.IRBuilder, runs: Sequence[ir.Value], at: ir.Value) -> list[ir.Value]:
        """The vectors of a tile's runs, moved by `at` floats."""
        moved = [offset(builder, run, at, FLOAT_BYTES) for run in runs]
        pairs = zip(moved[::2], moved[1::2], strict=True)
        return [self._joined(builder, pair) for pair in pairs]

    def _joined(self, builder: ir.IRBuilder, runs: Sequence[ir.Value]) -> ir.Value:
        """What lies at one run, or at the two of a vector."""
        if len(runs) == 1:
            return load_run(builder, runs[0])
        if Runs(self.group.windows).paired:
            return load_vector(builder, runs[0], FLOAT_BYTES)
        both = [load_run(builder, run) for run in runs]
        lanes = ir.Constant(ir.VectorType(I32, LANES), [*range(LANES)])
        return builder.shuffle_vector(*both, lanes)

    def _store_runs(
        self, builder: ir.IRBuilder, value: ir.Value, channel: ir.Value, places: Sequence[Place]
    ) -> None:
        runs = Runs(self.group.windows)
        if runs.paired and runs.whole:
            at = offset(builder, channel, places[0].in_result, FLOAT_BYTES)
            store(builder, value, at, align=FLOAT_BYTES)
            return
        for half, place in zip(halves(builder, value), places, strict=True):
            at = offset(builder, channel, place.in_result, FLOAT_BYTES)
            runs.store(builder, half, at, place.column)

    def _add_runs(
        self, builder: ir.IRBuilder, sums: Sequence[ir.Value], runs: Sequence[ir.Value]
    ) -> None:
        """Adds to each channel's runs; what lies behind a short run gains zeros."""
        paired = Runs(self.group.windows).paired
        places = runs[::2] if paired else runs
        added = sums if paired else [half for value in sums for half in halves(builder, value)]
        load = load_vector if paired else load_run
        for k, value in enumerate(added):
            row, run = divmod(k, len(places))
            at = offset(builder, places[run], row * plane(self.group.windows) * FLOAT_BYTES)
            store(builder, builder.fadd(load(builder, at, FLOAT_BYTES), value), at, FLOAT_BYTES)
