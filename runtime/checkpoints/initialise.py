"""A param of the plan -> its initial values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from singac import initialisers
from singac.plan.plan import Initialiser

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from singac.plan.plan import Param


def initial(param: Param, seed: int) -> NDArray[np.float32]:
    """Initial values in the canonical shape; the same on every process that asks."""
    how = param.initialiser
    assert isinstance(how, Initialiser), f"{param.name} is not drawn"
    return initialisers.initial(how.kind, dict(how.settings), param.name, param.shape, seed)
