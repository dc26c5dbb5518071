"""Metrics by messages: a slot is a buffer of every worker, and a row of buffers of the chief."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from mpi4py import MPI

from runtime.checkpoints import carried
from runtime.transport.requests import Complete, Requests
from runtime.transport.stub import SLOTS, Doubles, Sums, total
from singac.plan.plan import Plan, Process


class Board:
    """What the workers give the chief, each slot under its number as a tag; see `Stub`.

    `ranks` are those of the workers. Requests are made once and started again for each use.
    """

    def __init__(
        self,
        plan: Plan,
        process: Process,
        world: MPI.Intracomm,
        ranks: Sequence[int],
        complete: Complete,
    ) -> None:
        self._worker, self._complete = process.worker, complete
        self._metrics = len(plan.metrics)
        shape = (SLOTS, len(ranks), self._metrics + carried.doubles(plan))
        self._rows: Doubles = np.zeros(shape)
        self._coming: list[Requests] = [[] for _ in range(SLOTS)]
        self._going: list[Requests] = [[] for _ in range(SLOTS)]
        for slot, rows in enumerate(self._rows):
            if self._worker == 0:
                others = list(enumerate(ranks))[1:]
                self._coming[slot] = [world.Recv_init(rows[w], rank, slot) for w, rank in others]
                MPI.Prequest.Startall(self._coming[slot])
            elif self._worker is not None:
                self._going[slot] = [world.Send_init(rows[self._worker], ranks[0], slot)]

    def post(self, slot: int, given: Doubles) -> None:
        self._complete(self._going[slot])
        self._rows[slot, self._worker] = given
        MPI.Prequest.Startall(self._going[slot])

    def posted(self, slot: int) -> bool:
        return MPI.Request.Testall(self._coming[slot])

    def sums(self, slot: int) -> Sums:
        self._complete(self._coming[slot])
        sums = total(self._rows[slot, :, : self._metrics])
        MPI.Prequest.Startall(self._coming[slot])
        return sums

    def carried(self, slot: int) -> Doubles:
        return self._rows[slot, :, self._metrics :]

    def never_come(self) -> Requests:
        """What is open at the end."""
        return [request for requests in self._coming for request in requests]

    def made(self) -> Iterator[MPI.Prequest]:
        """Every persistent request."""
        for requests in (*self._coming, *self._going):
            yield from requests
