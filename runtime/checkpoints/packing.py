"""A param's canonical array <-> its floats in the param space (layouts: `singac/plan/plan.py`)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from singac.plan.plan import LANES, Layout, Param, padded

Floats = NDArray[np.float32]


def part(param: Param, space: Floats) -> Floats:
    """A param's floats in a space laid out as the param space."""
    return space[param.start : param.start + param.floats]


def pack(param: Param, canonical: Floats, packed: Floats) -> None:
    """Fill `packed` (`param.floats` floats) with the values of `canonical`, pads with zeros."""
    pack_rows(param, 0, canonical.reshape(param.matrix), packed)


def pack_rows(param: Param, first: int, values: Floats, packed: Floats) -> None:
    """Fill the rows of `packed` from `first` on with `values`, [rows][columns], pads with zeros."""
    rows, columns = param.matrix
    last, wide = first + len(values), padded(columns)
    lanes = LANES if param.layout is Layout.PANELS else wide
    whole, rest = divmod(columns, lanes)  # panels
    starts = (0, *param.blocks[1:])
    for start, stop in zip(starts, (*starts[1:], rows), strict=True):
        top, bottom = max(first, start), min(last, stop)
        if top >= bottom:
            continue
        panels = packed[start * wide : stop * wide].reshape(-1, stop - start, lanes)
        to, own = panels[:, top - start : bottom - start], values[top - first : bottom - first]
        to[:whole] = own[:, : whole * lanes].reshape(len(own), whole, lanes).transpose(1, 0, 2)
        if rest:
            to[whole, :, :rest] = own[:, whole * lanes :]
            to[whole, :, rest:] = 0.0


def unpack(param: Param, packed: Floats) -> Floats:
    """A copy in the canonical shape."""
    rows, columns = param.matrix
    wide = packed.reshape(rows, -1)
    if param.layout is Layout.PANELS:
        canonical = np.empty_like(wide)
        cuts = param.blocks[1:]
        for to, block in zip(np.split(canonical, cuts), np.split(wide, cuts), strict=True):
            _in_panels(to)[:] = block.reshape(-1, len(block), LANES)
        wide = canonical
    elif columns == wide.shape[1]:
        wide = wide.copy()
    return np.ascontiguousarray(wide[:, :columns]).reshape(param.shape)


def _in_panels(wide: Floats) -> Floats:
    """A view of rows, [panels][rows][columns of a panel]."""
    return wide.reshape(wide.shape[0], -1, LANES).transpose(1, 0, 2)
