"""What those who exchange messages hold: persistent requests, and who waits for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mpi4py import MPI

Requests = list[MPI.Prequest]
Complete = Callable[[Sequence[MPI.Request]], None]
