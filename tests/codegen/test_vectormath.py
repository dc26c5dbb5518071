"""Elementary functions against NumPy in double precision."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from llvmlite import ir

from singac.codegen import philox, vectormath
from singac.codegen.ir import FLOAT_BYTES, I64, LANES, i64, load, loop, offset, store
from tests.codegen.kernels import Emit, Floats, aligned, compiled, padded
from tests.reference import philox as reference

COUNT = 1 << 14
INF, NAN = math.inf, math.nan
UNARY = ("exp", "log", "tanh", "sigmoid", "erf", "sqrt", "absolute")

Function = Callable[..., ir.Value]


def over_vectors(function: Function, operands: int) -> Emit:
    """A kernel that applies a function to buffers of COUNT floats, the last of them the result."""

    def emit(builder: ir.IRBuilder, pointers: tuple[ir.Value, ...]) -> None:
        with loop(builder, i64(0), i64(COUNT), LANES) as index:
            places = [offset(builder, p, index, FLOAT_BYTES) for p in pointers]
            values = [load(builder, place) for place in places[:operands]]
            store(builder, function(builder, *values), places[operands])

    return emit


@pytest.fixture(scope="module")
def functions() -> dict[str, Callable[..., int]]:
    kernels = {name: (2, over_vectors(getattr(vectormath, name), 1)) for name in UNARY}
    kernels["power"] = (3, over_vectors(vectormath.power, 2))
    return compiled(kernels)


@pytest.fixture
def apply(functions: dict[str, Callable[..., int]]) -> Callable[..., Floats]:
    def run(name: str, *operands: Floats) -> Floats:
        size = operands[0].size
        buffers = [aligned(COUNT, fill=1.0) for _ in operands]
        for buffer, operand in zip(buffers, operands, strict=True):
            buffer[:size] = operand
        result = aligned(COUNT)
        functions[name](*(b.ctypes.data for b in (*buffers, result)))
        return result[:size]

    return run


def f32(*values: float) -> Floats:
    return np.array(values, np.float32)


def relative(got: Floats, exact: np.ndarray) -> float:
    return float(np.max(np.abs(got - exact) / np.abs(exact)))


def spread(low: float, high: float) -> Floats:
    """Both signs, evenly over the powers of two between `low` and `high`."""
    sizes = np.geomspace(low, high, COUNT // 2).astype(np.float32)
    return np.concatenate([-sizes[::-1], sizes])


def test_exp_over_its_whole_range(apply):
    x = np.linspace(-87.3, 88.7, COUNT).astype(np.float32)
    assert relative(apply("exp", x), np.exp(x.astype(np.float64))) < 3e-7


def test_exp_near_zero(apply):
    x = spread(1e-30, 1.0)
    assert relative(apply("exp", x), np.exp(x.astype(np.float64))) < 3e-7


def test_exp_beyond_its_range(apply):
    result = apply("exp", f32(-INF, -1e30, -104, -88, 88.8, 1e30, INF, 0))
    np.testing.assert_array_equal(result, f32(0, 0, 0, 0, INF, INF, INF, 1))


def test_log_over_all_normal_floats(apply):
    x = np.geomspace(1.2e-38, 3.4e38, COUNT).astype(np.float32)
    assert relative(apply("log", x), np.log(x.astype(np.float64))) < 3e-7


def test_log_near_one(apply):
    x = (1 + spread(1.2e-7, 0.5)).astype(np.float32)
    x = x[x != 1]
    assert relative(apply("log", x), np.log(x.astype(np.float64))) < 3e-7


def test_log_beyond_its_range(apply):
    result = apply("log", f32(0, -0.0, -1, -INF, INF, 1))
    np.testing.assert_array_equal(result, f32(-INF, -INF, NAN, NAN, INF, 0))


def test_tanh(apply):
    x = spread(1e-30, 12.0)
    got, exact = apply("tanh", x), np.tanh(x.astype(np.float64))
    assert relative(got, exact) < 3e-7
    assert np.max(np.abs(got)) <= 1


def test_tanh_is_one_from_far_on(apply):
    np.testing.assert_array_equal(apply("tanh", f32(9, 1e30, INF, -9, -INF)), f32(1, 1, 1, -1, -1))


def test_sigmoid(apply):
    x = spread(1e-30, 87.0)
    assert relative(apply("sigmoid", x), 1 / (1 + np.exp(-x.astype(np.float64)))) < 3e-7


def test_sigmoid_at_its_ends(apply):
    np.testing.assert_array_equal(
        apply("sigmoid", f32(90, INF, -100, -INF, 0)), f32(1, 1, 0, 0, 0.5)
    )


def test_erf(apply):
    x = spread(1e-30, 6.0)
    exact = np.array([math.erf(v) for v in x])
    got = apply("erf", x)
    assert relative(got, exact) < 4e-7


def test_sqrt_and_absolute(apply):
    x = np.geomspace(1.2e-38, 3.4e38, COUNT).astype(np.float32)
    np.testing.assert_array_equal(apply("sqrt", x), np.sqrt(x))
    np.testing.assert_array_equal(apply("absolute", -x), x)


@pytest.mark.parametrize("exponent", [-3.0, -0.75, -0.5, 0.5, 0.75, 1.0, 2.0, 7.5])
def test_power(apply, exponent):
    x = np.geomspace(1e-4, 1e4, COUNT).astype(np.float32)
    y = np.full_like(x, exponent)
    assert relative(apply("power", x, y), x.astype(np.float64) ** exponent) < 3e-7


# fmt: off
POWERS = [
    (-2.0,  2.0,   4.0), (-2.0, 3.0, -8.0), (-2.0, 0.5, NAN), (-2.0, -1.0, -0.5),
    ( 0.0,  2.0,   0.0), ( 0.0, -1.0, INF), ( 0.0, 0.0, 1.0), ( NAN,  0.0,  1.0),
    ( 1.0,  NAN,   1.0), ( 2.0, NAN,  NAN), ( NAN, 2.0, NAN), ( INF,  2.0,  INF),
    ( INF, -2.0,   0.0), (10.0, 99.0, INF), (0.1, 99.0, 0.0), (-1.0, 1e9,   1.0),
]
# fmt: on


def test_power_at_its_corners(apply):
    x, y, expected = (f32(*column) for column in zip(*POWERS, strict=True))
    np.testing.assert_allclose(apply("power", x, y), expected, rtol=3e-7)


@pytest.mark.parametrize("name", UNARY)
def test_nan_stays_nan(apply, name):
    assert np.isnan(apply(name, f32(NAN, -NAN))).all()


# Philox


def test_reference_gives_the_published_words():
    """The known answers that come with Random123."""
    full = 0xFFFFFFFF
    none = reference.philox((0, 0, 0, 0), (0, 0))
    assert [int(w) for w in none] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    ones = reference.philox((full, full, full, full), (full, full))
    assert [int(w) for w in ones] == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]


FIRST_ELEMENTS = {True: (0, 4, (1 << 34) - 16), False: (0, 3, (1 << 34) - 18)}


@pytest.mark.parametrize("is_aligned", FIRST_ELEMENTS)
@pytest.mark.parametrize("stream", [0, 7, 0xFFFFFFFF])
def test_uniform_numbers_are_the_references(stream, is_aligned):
    def emit(builder, pointers):
        seed, step, first = (
            builder.load(offset(builder, pointers[0], 8 * i), align=8, typ=I64) for i in range(3)
        )
        with loop(builder, i64(0), i64(64), LANES) as index:
            element = builder.add(first, index)
            numbers = philox.uniform(builder, seed, stream, step, element, is_aligned)
            store(builder, numbers, offset(builder, pointers[1], index, FLOAT_BYTES))

    function = compiled({"draw": (2, emit)})["draw"]
    seeds_and_steps = (0, 0), (1, 2), ((5 << 32) + 9, (7 << 32) + 1)
    for (seed, step), first in zip(seeds_and_steps, FIRST_ELEMENTS[is_aligned], strict=True):
        scalars, got = np.array([seed, step, first], np.int64), aligned(padded(64))
        function(scalars.ctypes.data, got.ctypes.data)
        elements = np.arange(first, first + 64)
        np.testing.assert_array_equal(got, reference.uniform(seed, stream, step, elements))


def test_uniform_numbers_look_uniform():
    numbers = reference.uniform(3, 1, 4, np.arange(1 << 16))
    counts, _ = np.histogram(numbers, bins=16, range=(0, 1))
    assert 0 <= numbers.min() < numbers.max() < 1
    assert np.sum((counts - 4096.0) ** 2 / 4096) < 40  # chi squared, 15 degrees: p = 5e-4
