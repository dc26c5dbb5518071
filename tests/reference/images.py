"""Operations on images in NumPy, in double: arrays [examples, channels, height, width].

Everything is written tap by tap: a tap of all windows is a slice of the padded images.
"""

from __future__ import annotations

import numpy as np

from singac.layers.operations import Pooling, Response, Role
from singac.layers.windows import Windows
from tests.reference.expressions import Array


def images(rows: Array, channels: int, size: tuple[int, int]) -> Array:
    """Rows of a tensor as images."""
    return rows.reshape(len(rows), channels, *size)


def rows(values: Array) -> Array:
    """Images as rows of a tensor."""
    return values.reshape(len(values), -1)


def _padded(x: Array, windows: Windows, fill: float) -> Array:
    """Images on the whole of what windows reach."""
    whole = np.full((*x.shape[:2], *windows.reach), fill)
    whole[_inner(windows)] = x
    return whole


def _inner(windows: Windows) -> tuple[object, ...]:
    (top, left), (height, width) = windows.pad, windows.size
    return (..., slice(top, top + height), slice(left, left + width))


def _tap(windows: Windows, i: int, j: int) -> tuple[object, ...]:
    """Where tap (i, j) of all windows lies in a padded image."""
    (height, width), (down, right) = windows.places, windows.stride
    lines = slice(i, i + (height - 1) * down + 1, down)
    columns = slice(j, j + (width - 1) * right + 1, right)
    return (..., lines, columns)


def _taps(windows: Windows) -> list[tuple[int, int]]:
    return [(i, j) for i in range(windows.kernel[0]) for j in range(windows.kernel[1])]


def convolution(role: Role, left: Array, right: Array, windows: Windows, groups: int) -> Array:
    """One of the three products of a convolution, in the order of operands of `Role`."""
    match role:
        case Role.FORWARD:
            return _forward(left, right, windows, groups)
        case Role.INPUT_GRADIENT:
            return _input_gradient(left, right, windows, groups)
        case Role.WEIGHT_GRADIENT:
            return _weight_gradient(left, right, windows, groups)


def _forward(x: Array, w: Array, windows: Windows, groups: int) -> Array:
    whole = _padded(x, windows, 0.0)
    y = np.zeros((len(x), len(w), *windows.places))
    for f, c in _groups(len(w), windows.channels, groups):
        for i, j in _taps(windows):
            seen = whole[:, c][_tap(windows, i, j)]
            y[:, f] += np.einsum("ncyx,fc->nfyx", seen, w[f, :, i, j])
    return y


def _input_gradient(dy: Array, w: Array, windows: Windows, groups: int) -> Array:
    whole = np.zeros((len(dy), windows.channels, *windows.reach))
    for f, c in _groups(len(w), windows.channels, groups):
        for i, j in _taps(windows):
            whole[:, c][_tap(windows, i, j)] += np.einsum("nfyx,fc->ncyx", dy[:, f], w[f, :, i, j])
    inner: Array = whole[_inner(windows)]
    return inner


def _weight_gradient(x: Array, dy: Array, windows: Windows, groups: int) -> Array:
    whole = _padded(x, windows, 0.0)
    filters = dy.shape[1]
    dw = np.zeros((filters, windows.channels // groups, *windows.kernel))
    for f, c in _groups(filters, windows.channels, groups):
        for i, j in _taps(windows):
            seen = whole[:, c][_tap(windows, i, j)]
            dw[f, :, i, j] = np.einsum("nfyx,ncyx->fc", dy[:, f], seen)
    return dw


def _groups(filters: int, channels: int, groups: int) -> list[tuple[slice, slice]]:
    f, c = filters // groups, channels // groups
    return [(slice(g * f, g * f + f), slice(g * c, g * c + c)) for g in range(groups)]


def pool(pooling: Pooling, x: Array, windows: Windows) -> Array:
    if pooling is Pooling.MAX:
        whole = _padded(x, windows, -np.inf)
        largest: Array = np.max([whole[_tap(windows, i, j)] for i, j in _taps(windows)], axis=0)
        return largest
    whole = _padded(x, windows, 0.0)
    total: Array = np.sum([whole[_tap(windows, i, j)] for i, j in _taps(windows)], axis=0)
    return total / _area(windows)


def pool_gradient(pooling: Pooling, dy: Array, x: Array | None, windows: Windows) -> Array:
    taps = _taps(windows)
    gradient = np.zeros((*dy.shape[:2], *windows.reach))
    if pooling is Pooling.MAX:
        assert x is not None, "which value is largest, the source tells"
        whole = _padded(x, windows, -np.inf)
        first = np.argmax([whole[_tap(windows, i, j)] for i, j in taps], axis=0)
        parts = [dy * (first == k) for k in range(len(taps))]
    else:
        parts = [dy / _area(windows)] * len(taps)
    for (i, j), part in zip(taps, parts, strict=True):
        gradient[_tap(windows, i, j)] += part
    inner: Array = gradient[_inner(windows)]
    return inner


def _area(windows: Windows) -> Array:
    """Of each window, what lies in the padded image."""
    inside = np.zeros((1, 1, *windows.reach))
    inside[..., : windows.padded[0], : windows.padded[1]] = 1.0
    area: Array = np.sum([inside[_tap(windows, i, j)] for i, j in _taps(windows)], axis=0)
    return area


Place = tuple[int, int, bool]  # line and column of a window, and whether it is mirrored


def crop_places(windows: Windows, numbers: Array | None, examples: int, coin: bool) -> list[Place]:
    """The window of each example by its numbers, at least three; without numbers the middle."""
    high, wide = windows.places
    if numbers is None:
        return [((high - 1) // 2, (wide - 1) // 2, False)] * examples
    return [(int(a * high), int(b * wide), coin and bool(c < 0.5)) for a, b, c, *_ in numbers]


def crop(x: Array, windows: Windows, places: list[Place]) -> Array:
    parts = [
        whole[_window(windows, place)]
        for whole, place in zip(_padded(x, windows, 0.0), places, strict=True)
    ]
    return np.stack(parts)


def crop_gradient(dy: Array, windows: Windows, places: list[Place]) -> Array:
    whole = np.zeros((len(dy), windows.channels, *windows.reach))
    for sheet, own, place in zip(whole, dy, places, strict=True):
        sheet[_window(windows, place)] = own
    inner: Array = whole[_inner(windows)]
    return inner


def _window(windows: Windows, place: Place) -> tuple[object, ...]:
    (line, column, mirrored), (height, width) = place, windows.kernel
    columns = np.arange(column, column + width)
    return (..., slice(line, line + height), columns[::-1] if mirrored else columns)


def lrn(x: Array, response: Response) -> Array:
    y: Array = x * _n(x, response) ** -response.beta
    return y


def lrn_gradient(dy: Array, x: Array, response: Response) -> Array:
    n = _n(x, response)
    total = _around(dy * x * n ** (-response.beta - 1), response)
    gradient: Array = dy * n**-response.beta - 2 * response.beta * response.slope * x * total
    return gradient


def _n(x: Array, response: Response) -> Array:
    n: Array = response.knorm + response.slope * _around(x * x, response)
    return n


def _around(values: Array, response: Response) -> Array:
    half = response.size // 2
    channels = range(response.channels)
    sums = [values[:, max(0, c - half) : c + half + 1].sum(axis=1) for c in channels]
    return np.stack(sums, axis=1)
