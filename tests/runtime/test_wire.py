"""What travels: values in bfloat16, rounded to nearest with ties to even."""

from __future__ import annotations

import numpy as np

from runtime.transport.post import packed, unpack
from runtime.transport.stub import Floats
from runtime.transport.window import Bytes


def there_and_back(values: Floats, wire: str) -> Floats:
    out = np.full_like(values, 7)
    body: Bytes = np.ascontiguousarray(packed(values, wire)).view(np.uint8)
    unpack(body, wire, out)
    return out


def test_bf16_rounds_to_nearest_ties_to_even() -> None:
    # In [1, 2) neighbours differ by 1/128; the next to last value is half-way between two.
    values = np.array([1.0, -2.5, 1 + 1 / 300, 1 + 1 / 256, 1 + 3 / 256, 3e38], np.float32)
    expected = np.array([1.0, -2.5, 1.0, 1.0, 1 + 2 / 128, np.float32(3e38)], np.float32)
    found = there_and_back(values, "bf16")
    assert np.array_equal(found[:5], expected[:5])
    assert abs(found[5] / values[5] - 1) <= 1 / 256


def test_bf16_is_never_further_than_half_a_step() -> None:
    values = np.random.default_rng(0).normal(size=4096).astype(np.float32)
    assert (np.abs(there_and_back(values, "bf16") - values) <= np.abs(values) / 256).all()


def test_what_is_no_number_stays_none() -> None:
    bits = np.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7F800000, 0xFF800000], np.uint32)
    found = there_and_back(bits.view(np.float32), "bf16")
    assert np.isnan(found[:2]).all()
    assert np.array_equal(found[2:], [np.inf, -np.inf])


def test_float32_is_not_touched() -> None:
    values = np.random.default_rng(0).normal(size=64).astype(np.float32)
    assert np.array_equal(there_and_back(values, "float32"), values)
