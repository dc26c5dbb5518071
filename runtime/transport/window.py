"""Memory that all processes of a node map, allocated once and carved into places."""

from __future__ import annotations

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from runtime import shared_memory

ALIGNMENT = 64
Bytes = NDArray[np.uint8]


class Plot:
    """Places one after the other, each at the start of a cache line, as offsets in bytes."""

    def __init__(self) -> None:
        self.size = 0

    def take(self, size: int) -> int:
        start = self.size
        self.size += -(-size // ALIGNMENT) * ALIGNMENT
        return start


class Window:
    """An MPI-3 shared window; allocating and freeing it is done by all processes together."""

    def __init__(self, node: MPI.Intracomm, size: int) -> None:
        first = node.Get_rank() == 0
        if first:
            shared_memory.check(size)
        room = size + ALIGNMENT if first else 0
        self._held = MPI.Win.Allocate_shared(room, 1, comm=node)
        buffer, _ = self._held.Shared_query(0)
        memory = np.frombuffer(buffer.cast("B"), np.uint8)
        skip = -memory.ctypes.data % ALIGNMENT
        self.memory: Bytes = memory[skip : skip + size]

    def free(self) -> None:
        self._held.Free()
