"""A stretch as a table of 64-bit integers, which one native function works off (run.py).

| calls | most places of a call |
| kernel's address | places | space, offset | space, offset | ...      a call
| ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from singac.codegen.calls import Call
from singac.plan.plan import Space

RUN = "run"
HEAD_WORDS = CALL_WORDS = PLACE_WORDS = 2
RUN_ARGUMENTS = 6  # table, arena, params, gradients, metrics, scalars
SPACES = (Space.ARENA, Space.PARAMS, Space.GRADIENTS, Space.METRICS)  # as the arguments are


def table_of(calls: Sequence[Call], addresses: Mapping[str, int]) -> NDArray[np.int64]:
    """The table of the calls of a stretch; `addresses` are those of kernels, by name."""
    most = max((len(call.places) for call in calls), default=0)
    words = [len(calls), most]
    for call in calls:
        words += [addresses[call.name], len(call.places)]
        words += [n for place in call.places for n in (SPACES.index(place.space), place.offset)]
    return np.array(words, np.int64)
