"""Philox4x32-10 in NumPy, word by word as in the paper (Salmon et al., SC 2011)."""

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
LOW = np.uint64(0xFFFFFFFF)
SHIFT = np.uint64(32)


def philox(counter: tuple[Words, ...], key: tuple[int, int]) -> list[Words]:
    """The four words of each counter (c0, c1, c2, c3)."""
    c0, c1, c2, c3 = (np.asarray(word, np.uint64) for word in counter)
    k0, k1 = key
    for _ in range(10):
        p0 = c0 * np.uint64(0xD2511F53)
        p1 = c2 * np.uint64(0xCD9E8D57)
        c0, c1 = (p1 >> SHIFT) ^ c1 ^ np.uint64(k0), p1 & LOW
        c2, c3 = (p0 >> SHIFT) ^ c3 ^ np.uint64(k1), p0 & LOW
        k0 = (k0 + 0x9E3779B9) & 0xFFFFFFFF
        k1 = (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return [c0, c1, c2, c3]


def uniform(seed: int, stream: int, step: int, elements: Words) -> NDArray[np.float32]:
    """The numbers in [0, 1) of the elements of a stream at a step."""
    elements = np.asarray(elements, np.uint64)
    block = elements >> np.uint64(2)
    full = np.full_like(block, step)
    counter = (block & LOW, block >> SHIFT, full & LOW, full >> SHIFT)
    words = np.stack(philox(counter, (seed & 0xFFFFFFFF, stream)))
    chosen = words[(elements & np.uint64(3)).astype(np.int64), np.arange(elements.size)]
    return ((chosen >> np.uint64(8)) * 2.0**-24).astype(np.float32)
