"""Windows that move over an image: where they lie, and how many."""

from __future__ import annotations

import math
from dataclasses import dataclass

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of `kernel` over every channel of an image; pairs are (height, width).

           pad   size   pad          The first window lies in the corner of the padded image,
         +-----+------+-----+        the others `stride` further on. `places` counts them
     pad |0 0 0                      along each side. The last may reach past the padded
         |0 +-----  image            image, where a pooling rounds up.
    size |0 |
    """

    channels: int
    size: Pair
    kernel: Pair
    stride: Pair
    pad: Pair
    places: Pair

    @property
    def padded(self) -> Pair:
        """Height and width of the image with its pads."""
        (h, w), (ph, pw) = self.size, self.pad
        return h + 2 * ph, w + 2 * pw

    @property
    def reach(self) -> Pair:
        """Height and width of the padded image and of what windows reach beyond it."""
        ends = zip(self.places, self.stride, self.kernel, self.padded, strict=True)
        height, width = (max((n - 1) * s + k, size) for n, s, k, size in ends)
        return height, width

    @property
    def pixels(self) -> int:
        """Windows over one channel, and so values of one channel of the result."""
        return math.prod(self.places)

    @property
    def taps(self) -> int:
        """Values in a window of one channel."""
        return math.prod(self.kernel)

    @property
    def pixels_in(self) -> int:
        """Values of one channel of the image."""
        return math.prod(self.size)


def places_down(size: int, kernel: int, stride: int, pad: int) -> int:
    """Windows along a side that lie within the padded image."""
    return (size + 2 * pad - kernel) // stride + 1


def places_up(size: int, kernel: int, stride: int, pad: int) -> int:
    """As many as it takes to cover the padded image, each beginning before the right pad."""
    count = -(-(size + 2 * pad - kernel) // stride) + 1
    return count - 1 if (count - 1) * stride >= size + pad else count
