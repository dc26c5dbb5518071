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
    rows, columns = param.matrix
    wide = np.zeros((rows, padded(columns)), np.float32)
    wide[:, :columns] = canonical.reshape(rows, columns)
    if param.layout is Layout.PANELS:
        blocks = np.split(wide, param.blocks[1:])
        wide = np.concatenate([_in_panels(block).reshape(-1) for block in blocks])
    packed[:] = wide.reshape(-1)


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
