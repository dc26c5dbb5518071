"""The three products of a dense layer against NumPy in double precision."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from llvmlite import ir

from singac.codegen import gemm, gemm_loops
from singac.codegen.gemm import Epilogue, Product, Role
from singac.codegen.host import Tile, current
from singac.codegen.ir import FLOAT_BYTES, VECTOR_BYTES, load, offset, store, vector
from tests.codegen.kernels import (
    Emit,
    Floats,
    aligned,
    compiled,
    from_panels,
    in_panels,
    padded,
    row_major,
)

ROLES: tuple[Role, ...] = ("forward", "input_gradient", "weight_gradient")
NAN = float("nan")
SHAPES = 300
SHAPES_A_MODULE = 30
GUARD = 64


def random_shapes() -> Iterator[tuple[int, int, int]]:
    """(rows, inputs, outputs): ones, primes, multiples of 16 and their neighbours."""
    rng = np.random.default_rng(20)
    marked = [1, 2, 3, 5, 7, 13, 15, 16, 17, 31, 32, 33, 47, 48, 49, 61, 64, 97, 113, 127]
    for _ in range(SHAPES):
        yield tuple(int(rng.choice([*marked, rng.integers(1, 200)])) for _ in range(3))


def product_kernel(product: Product, tile: Tile, epilogue: Epilogue | None = None) -> Emit:
    """A kernel of a product: left, right, out, scratch."""

    def emit(builder: ir.IRBuilder, pointers: tuple[ir.Value, ...]) -> None:
        gemm.emit(builder, tile, product, *pointers, epilogue)

    return emit


@dataclass(frozen=True)
class Operands:
    """Random operands of the three products of a layer; pads of X hold NaN, those of dY zero."""

    x: Floats
    w: Floats
    dy: Floats

    @staticmethod
    def random(rows: int, inputs: int, outputs: int) -> "Operands":
        rng = np.random.default_rng(rows * 1_000_003 + inputs * 1009 + outputs)
        shapes = ((rows, inputs), (inputs, outputs), (rows, outputs))
        return Operands(*(rng.standard_normal(s).astype(np.float32) for s in shapes))

    def of(self, role: Role) -> tuple[Floats, Floats]:
        x, w, dy = row_major(self.x, NAN), in_panels(self.w), row_major(self.dy, 0.0)
        return {"forward": (x, w), "input_gradient": (dy, w), "weight_gradient": (x, dy)}[role]

    def exact(self, role: Role) -> np.ndarray:
        x, w, dy = (a.astype(np.float64) for a in (self.x, self.w, self.dy))
        return {"forward": x @ w, "input_gradient": dy @ w.T, "weight_gradient": x.T @ dy}[role]


def run(
    function: Callable[..., int], product: Product, operands: Operands, start: float = NAN
) -> Floats:
    """The row-major result with its pads; a write beyond the scratch is an error."""
    left, right = operands.of(product.role)
    exact = operands.exact(product.role)
    out = np.full(exact.shape, start, np.float32)
    out = in_panels(out) if product.role == "weight_gradient" else row_major(out, start)
    size = gemm.scratch_bytes(product)
    scratch = aligned(size // FLOAT_BYTES + GUARD, fill=NAN)
    scratch[-GUARD:] = 42.0
    function(*(a.ctypes.data for a in (left, right, out, scratch)))
    assert (scratch[-GUARD:] == 42.0).all(), f"{product} wrote beyond its scratch"
    return from_panels(out) if product.role == "weight_gradient" else out


def check(product: Product, out: Floats, exact: np.ndarray) -> None:
    columns = exact.shape[1]
    error = np.linalg.norm(out[:, :columns] - exact) / np.linalg.norm(exact)
    assert error < 1e-6, f"{product}: {error}"
    if product.role != "forward":
        assert (out[:, columns:] == 0).all(), f"{product} leaves pads of a gradient"


def products_of(shapes: list[tuple[int, int, int]]) -> list[Product]:
    return [Product(role, *shape) for shape in shapes for role in ROLES]


def check_all(products: list[Product], tile: Tile) -> None:
    kernels = {f"p{i}": (4, product_kernel(p, tile)) for i, p in enumerate(products)}
    for function, product in zip(compiled(kernels).values(), products, strict=True):
        operands = Operands.random(product.rows, product.inputs, product.outputs)
        check(product, run(function, product, operands), operands.exact(product.role))


MODULES = range(SHAPES // SHAPES_A_MODULE)


@pytest.mark.parametrize(
    "module", [0, *(pytest.param(m, marks=pytest.mark.slow) for m in MODULES[1:])]
)
def test_random_shapes(module):
    shapes = list(random_shapes())[module :: SHAPES // SHAPES_A_MODULE]
    check_all(products_of(shapes), current().tile)


@pytest.mark.parametrize("tile", [Tile(14, 2), Tile(4, 2), Tile(2, 1)], ids=str)
def test_tiles_of_other_machines(tile):
    check_all(products_of([(1, 1, 1), (37, 29, 83)]), tile)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_reduced_instruction_sets(role, isa, monkeypatch):
    monkeypatch.setenv("SINGAC_ISA", isa)
    check_all([Product(role, 37, 29, 83)], current().tile)


@pytest.mark.parametrize("role", ROLES)
def test_every_loop_takes_several_turns(role):
    """Beyond KC, MC and NC at once, none of them a multiple of anything."""
    sizes = {"m": gemm_loops.MC + 19, "n": gemm_loops.NC + 21, "k": 2 * gemm_loops.KC + 7}
    rows, inputs, outputs = {"forward": "mkn", "input_gradient": "nmk", "weight_gradient": "kmn"}[
        role
    ]
    check_all([Product(role, sizes[rows], sizes[inputs], sizes[outputs])], current().tile)


@pytest.mark.parametrize("role", ROLES)
def test_a_small_a_and_a_long_k(role):
    """All of A stays near: the loop over k is inside that over panels of B."""
    m, n, k = 37, 83, 2 * gemm_loops.KC + 7
    assert gemm_loops.k_is_inside(m, k)
    rows, inputs, outputs = {
        "forward": (m, k, n), "input_gradient": (n, m, k), "weight_gradient": (k, m, n)
    }[role]  # fmt: skip
    check_all([Product(role, rows, inputs, outputs)], current().tile)


@pytest.mark.parametrize("rows", [1, 50, gemm.FEW_ROWS, gemm.FEW_ROWS + 1])
def test_few_rows_read_the_weight_in_place(rows):
    """Several blocks of k, inputs that are a page's worth and that are no multiple of anything."""
    products = [Product("input_gradient", rows, inputs, 613) for inputs in (1024, 301)]
    check_all(products, current().tile)


@pytest.mark.parametrize("role", ROLES)
def test_accumulate_adds_to_what_is_there(role):
    product = Product(role, 21, 600, 35, accumulate=True)
    function = compiled({"f": (4, product_kernel(product, current().tile))})["f"]
    operands = Operands.random(product.rows, product.inputs, product.outputs)
    columns = operands.exact(role).shape[1]
    out = run(function, product, operands, start=3.0)
    np.testing.assert_allclose(out[:, :columns], operands.exact(role) + 3.0, atol=2e-4)


@pytest.mark.parametrize("role", ROLES)
def test_results_are_the_same_bits_every_time(role):
    product = Product(role, 50, 333, 70)
    function = compiled({"f": (4, product_kernel(product, current().tile))})["f"]
    operands = Operands.random(product.rows, product.inputs, product.outputs)
    first, second = (run(function, product, operands) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("role", ROLES)
def test_the_tile_does_not_show_in_the_result(role):
    """Machines with tiles of their own agree to the bit: each sum runs over k in order."""
    product = Product(role, 50, 333, 70)
    tiles = {"a": Tile(6, 1), "b": Tile(14, 2), "c": Tile(5, 1)}
    functions = compiled({n: (4, product_kernel(product, tile)) for n, tile in tiles.items()})
    operands = Operands.random(product.rows, product.inputs, product.outputs)
    columns = operands.exact(role).shape[1]
    first, *others = (run(f, product, operands)[:, :columns] for f in functions.values())
    for other in others:
        np.testing.assert_array_equal(first, other)


@pytest.mark.parametrize("role", ["forward", "input_gradient"])
def test_epilogue_sees_every_vector_once(role):
    """It gets results, row and first column, and values of the function around it."""
    product = Product(role, 19, 40, 52)
    ld = padded(product.out_columns)

    def emit(builder: ir.IRBuilder, pointers: tuple[ir.Value, ...]) -> None:
        left, right, out, scratch, target = pointers

        def add_twice(
            builder: ir.IRBuilder, result: ir.Value, row: ir.Value, column: ir.Value
        ) -> None:
            place = offset(builder, target, row, ld * FLOAT_BYTES)
            place = offset(builder, place, column, FLOAT_BYTES)
            doubled = builder.fmul(result, vector(2.0))
            store(builder, builder.fadd(load(builder, place), doubled), place)

        gemm.emit(builder, current().tile, product, left, right, out, scratch, add_twice)

    function = compiled({"f": (5, emit)})["f"]
    operands = Operands.random(product.rows, product.inputs, product.outputs)
    target = aligned(product.rows, ld, fill=1.0)
    untouched = run(lambda *a: function(*a, target.ctypes.data), product, operands, start=7.0)
    exact = operands.exact(product.role)
    np.testing.assert_allclose(target[:, : exact.shape[1]], 1 + 2 * exact, atol=1e-4)
    assert (untouched == 7.0).all()


def test_epilogue_of_the_weight_gradient_updates_in_place():
    """W -= 0.5 dW, the gradient itself never stored."""
    product = Product("weight_gradient", 33, 20, 45)

    def emit(builder: ir.IRBuilder, pointers: tuple[ir.Value, ...]) -> None:
        left, right, weight, scratch = pointers

        def update(
            builder: ir.IRBuilder, result: ir.Value, row: ir.Value, column: ir.Value
        ) -> None:
            panel = offset(builder, weight, column, product.inputs * FLOAT_BYTES)
            place = offset(builder, panel, row, VECTOR_BYTES)
            step = builder.fmul(result, vector(0.5))
            store(builder, builder.fsub(load(builder, place), step), place)

        gemm.emit(builder, current().tile, product, left, right, weight, scratch, update)

    function = compiled({"f": (4, emit)})["f"]
    operands = Operands.random(product.rows, product.inputs, product.outputs)
    out = run(function, product, operands, start=2.0)
    exact = 2.0 - 0.5 * operands.exact("weight_gradient")
    np.testing.assert_allclose(out[:, : product.outputs], exact, atol=1e-4)


@pytest.mark.parametrize("accumulate", [False, True])
def test_column_sum(accumulate):
    values = np.random.default_rng(1).standard_normal((37, 53)).astype(np.float32)

    def emit(builder: ir.IRBuilder, pointers: tuple[ir.Value, ...]) -> None:
        gemm.emit_column_sum(builder, 37, 53, *pointers, accumulate)

    function = compiled({"f": (2, emit)})["f"]
    source, out = row_major(values, 0.0), aligned(padded(53), fill=1.0)
    function(source.ctypes.data, out.ctypes.data)
    exact = values.astype(np.float64).sum(axis=0) + (1.0 if accumulate else 0.0)
    np.testing.assert_allclose(out[:53], exact, atol=1e-5)
    assert (out[53:] == (1.0 if accumulate else 0.0)).all()
