"""What the chief saves and does not have, by messages: it asks the servers, and they answer.

chief    after step t: "t" ---> each server       states, params it has no gradient of
server   when its slices have had t updates  <--- asked between two steps of the chief
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from mpi4py import MPI

from runtime.transport.requests import Complete, Requests
from runtime.transport.stub import Arrays, Floats
from singac.plan.plan import Plan, Process, Slice


class Saving:
    """Both sides of it. `updates` counts those of the slices that are served here.

    `servers` are the ranks of all servers; an answer of a slice has the tag that `tag` gives.
    """

    def __init__(
        self,
        plan: Plan,
        process: Process,
        world: MPI.Intracomm,
        arrays: Arrays,
        chief: int,
        servers: Sequence[int],
        wish_tag: int,
        tag: Callable[[int], int],
    ) -> None:
        self._plan, self._world, self._arrays = plan, world, arrays
        self._chief, self._servers = chief, servers
        self._rank, self._wish_tag, self._tag = process.rank, wish_tag, tag
        self._own = [k for k, s in enumerate(plan.slices) if s.server == process.server]
        self.updates: dict[int, int] = {}
        self._word = np.zeros(1, np.int64)
        self._wishes: Requests = []
        self._wished: int | None = None
        if process.server is not None and process.worker != 0:
            self._wishes = [world.Recv_init(self._word, chief, wish_tag)]
            MPI.Prequest.Startall(self._wishes)
        self._sent: list[MPI.Request] = []

    def gather(self, step: int, complete: Complete) -> None:
        """The chief's side: have all that is to be saved after `step` updates."""
        wish = np.array([step], np.int64)
        others = [rank for rank in self._servers if rank != self._rank]
        wishes = [self._world.Isend(wish, rank, self._wish_tag) for rank in others]
        parts = [
            self._world.Irecv(row, self._servers[piece.server], self._tag(k))
            for k, piece in enumerate(self._plan.slices)
            if k not in self._own
            for row in self._saved(piece)
        ]
        complete([*wishes, *parts])

    def _saved(self, piece: Slice) -> list[Floats]:
        """What a server gives of a slice for a checkpoint, in order."""
        states, params = self._arrays.states, self._arrays.params
        rows = [*states] if piece.is_of(0) else [params, *states]
        return [row[piece.start : piece.stop] for row in rows]

    def grant(self) -> None:
        """A server's side: send what is asked for, once all own slices are up to date.

        The chief asks between two of its steps, so no update can begin before it has them.
        """
        if self._wishes and self._wished is None and self._wishes[0].Test():
            self._wished = int(self._word[0])
            self._wishes[0].Start()
        wished = self._wished
        if wished is None or any(count < wished for count in self.updates.values()):
            return
        self._wished = None
        self._sent = [
            self._world.Isend(row, self._chief, self._tag(k))
            for k in self._own
            for row in self._saved(self._plan.slices[k])
        ]

    def made(self) -> Requests:
        """Every persistent request; none of them comes any more at the end."""
        return self._wishes
