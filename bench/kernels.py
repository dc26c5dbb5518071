"""Our matrix products against NumPy's OpenBLAS, taking turns on one core."""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

# Before NumPy starts its threads.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from numpy.typing import NDArray

from singac.codegen import compiler, gemm, host, native
from singac.codegen.gemm import Product, Role
from singac.codegen.ir import FLOAT_BYTES, LANES, entry, new_module
from singac.codegen.peak import fma_peak

Floats = NDArray[np.float32]
Run = Callable[[], object]

ROLES: tuple[Role, ...] = ("forward", "input_gradient", "weight_gradient")
SHAPES = ((64, 784, 2500), (64, 2500, 2000), (1000, 784, 2500), (1000, 2500, 2000))

# A turn lasts at least this long, that a clock tick or an interrupt weighs little.
TURN_SECONDS = 0.02

CAPTION = """\
float32, one core, processor time. Ratio: our time over NumPy's, median of {turns} rounds A B B A.
Ours: W is stored in panels of 16 columns, as training keeps it; packing X and dY is counted.
NumPy: contiguous arrays, X @ W, dY @ W.T and X.T @ dY, with out=.
FMA peak, of a loop that only multiplies and adds: {peak:.1f} GFLOP/s ({cpu}, tile {tile})."""


@dataclass(frozen=True)
class Contest:
    """The same product of the same data, ours and NumPy's."""

    product: Product
    ours: Run
    numpy: Run

    @property
    def flops(self) -> int:
        return 2 * self.product.rows * self.product.inputs * self.product.outputs


@dataclass(frozen=True)
class Outcome:
    """Median GFLOP/s of both, and the median of paired ratios of times."""

    ours: float
    numpy: float
    ratio: float


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.kernels", description=__doc__)
    parser.add_argument("--turns", type=int, default=15, help="rounds A B B A a product")
    parser.add_argument("--shape", action="append", help="ROWSxINPUTSxOUTPUTS, may be repeated")
    options = parser.parse_args()
    shapes = [_shape(text) for text in options.shape] if options.shape else SHAPES
    _pin()
    machine = host.current()
    tile = f"{machine.tile.rows}x{machine.tile.vectors * LANES}"
    peak = fma_peak(machine)
    print(CAPTION.format(turns=options.turns, peak=peak, cpu=machine.cpu, tile=tile))
    print(f"\n{'shape':>16}  {'product':<16}{'ours':>8}{'OpenBLAS':>10}{'ratio':>8}{'of peak':>9}")
    for shape in shapes:
        for contest in contests(machine, *shape):
            outcome = race(contest, options.turns)
            print(
                f"{'x'.join(map(str, shape)):>16}  {contest.product.role:<16}{outcome.ours:8.1f}"
                f"{outcome.numpy:10.1f}{outcome.ratio:8.3f}{outcome.ours / peak:9.0%}",
                flush=True,
            )


def _shape(text: str) -> tuple[int, int, int]:
    rows, inputs, outputs = map(int, text.split("x"))
    return rows, inputs, outputs


def _pin() -> None:
    """One core, the last: the first one serves most interrupts."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def race(contest: Contest, turns: int) -> Outcome:
    """Rounds of ours, NumPy, NumPy, ours, after a warm-up of both."""
    repeats = max(1, round(TURN_SECONDS / _seconds(contest.numpy, 1)))
    _seconds(contest.ours, 1)
    ours, numpy, ratios = [], [], []
    for _ in range(turns):
        order = (contest.ours, contest.numpy, contest.numpy, contest.ours)
        a, b, c, d = (_seconds(run, repeats) for run in order)
        ours += [a, d]
        numpy += [b, c]
        ratios.append((a + d) / (b + c))
    work = contest.flops / 1e9
    return Outcome(work / median(ours), work / median(numpy), median(ratios))


def _seconds(run: Run, repeats: int) -> float:
    """Processor seconds of a run: what others do on the same core meanwhile does not count."""
    start = time.thread_time()
    for _ in range(repeats):
        run()
    return (time.thread_time() - start) / repeats


def contests(machine: host.Host, rows: int, inputs: int, outputs: int) -> Iterator[Contest]:
    """The three products of a layer; what ours gives is compared with what NumPy gives."""
    rng = np.random.default_rng(0)
    x, w, dy = (
        rng.standard_normal(shape, np.float32)
        for shape in ((rows, inputs), (inputs, outputs), (rows, outputs))
    )
    ld_in, ld_out = _padded(inputs), _padded(outputs)
    our_x, our_w, our_dy = _row_major(x), _panels(w), _row_major(dy)
    y, dx, dw = np.empty_like(dy), np.empty_like(x), np.empty_like(w)
    our_y, our_dx, our_dw = _arena(rows, ld_out), _arena(rows, ld_in), _arena(*our_w.shape)
    calls: dict[Role, tuple[list[Floats], Run, Floats]] = {
        "forward": ([our_x, our_w, our_y], lambda: np.matmul(x, w, out=y), y),
        "input_gradient": ([our_dy, our_w, our_dx], lambda: np.matmul(dy, w.T, out=dx), dx),
        "weight_gradient": ([our_x, our_dy, our_dw], lambda: np.matmul(x.T, dy, out=dw), dw),
    }
    for role in ROLES:
        product = Product(role, rows, inputs, outputs)
        buffers, peer, expected = calls[role]
        ours = _compiled(machine, product, buffers)
        ours()
        peer()
        _agree(role, buffers[-1], expected)
        yield Contest(product, ours, peer)


def _compiled(machine: host.Host, product: Product, buffers: list[Floats]) -> Run:
    module = new_module(machine)
    with entry(module, "product", 4) as function:
        gemm.emit(function.builder, machine.tile, product, *function.arguments)
    code = compiler.compile_object(str(module), machine)
    call = native.Library([code], ["product"]).function("product", 4)
    everything = [*buffers, _arena(gemm.scratch_bytes(product) // FLOAT_BYTES)]

    def run() -> int:
        return call(*(buffer.ctypes.data for buffer in everything))

    return run


def _agree(role: Role, ours: Floats, numpy: Floats) -> None:
    if role == "weight_gradient":
        ours = ours.transpose(1, 0, 2).reshape(ours.shape[1], -1)
    error = np.linalg.norm(ours[:, : numpy.shape[1]] - numpy) / np.linalg.norm(numpy)
    assert error < 1e-5, f"{role} is off by {error}"


def _padded(count: int) -> int:
    return -(-count // LANES) * LANES


def _arena(*shape: int) -> Floats:
    size = int(np.prod(shape))
    return native.allocate(size * FLOAT_BYTES).view(np.float32).reshape(shape)


def _row_major(values: Floats) -> Floats:
    buffer = _arena(values.shape[0], _padded(values.shape[1]))
    buffer[:, : values.shape[1]] = values
    return buffer


def _panels(values: Floats) -> Floats:
    rows, columns = values.shape
    buffer = _arena(_padded(columns) // LANES, rows, LANES)
    buffer[...] = _row_major(values).reshape(rows, -1, LANES).transpose(1, 0, 2)
    return buffer


if __name__ == "__main__":
    main()
