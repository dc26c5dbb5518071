"""Bytes of gradients, params and parts of layers that change hands between processes.

They are counted where it is done: by whoever fills what another process will take, and by whoever
takes it, be it a message or a place in the window of a node. Metrics, checkpoints and what server
groups tell each other at a meeting are no part of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from runtime.channel import Line
from runtime.job import Job
from singac.plan.plan import Plan, Process

FLOAT = 4


@dataclass(slots=True)
class Tally:
    """Bytes given to other processes, and bytes had from them."""

    sent: int = 0
    received: int = 0

    def add(self, sent: int, received: int) -> None:
        self.sent += sent
        self.received += received

    def since(self, before: tuple[int, int]) -> tuple[int, int]:
        """What was counted after `now` gave `before`."""
        return self.sent - before[0], self.received - before[1]

    @property
    def now(self) -> tuple[int, int]:
        return self.sent, self.received


class Elsewhere:
    """Bytes of a slice that change hands between a process and others, when it is its turn."""

    def __init__(self, plan: Plan, process: Process) -> None:
        self._plan, self._process, self._topology = plan, process, plan.topology

    def owned(self, index: int) -> int:
        """Of a slice that a worker here reads or has a gradient of: none if it is owned here."""
        assert self._process.worker is not None, "params are the workers' to use"
        topology, piece = self._topology, self._plan.slices[index]
        group = topology.served_by(topology.group_of_worker(self._process.worker))
        server = group * topology.servers_per_group + piece.server
        apart = topology.rank_of_server(server) != self._process.rank
        return piece.floats * FLOAT * apart

    def pushed(self, index: int, group: int = 0) -> int:
        """Of a slice that a server here updates: the gradients of a group's workers elsewhere."""
        topology, piece = self._topology, self._plan.slices[index]
        first, size = group * topology.workers_per_group, topology.workers_per_group
        ranks = (topology.rank_of_worker(first + w) for w in piece.workers_of(size))
        return piece.floats * FLOAT * sum(rank != self._process.rank for rank in ranks)


@dataclass(frozen=True, slots=True)
class Moved:
    """What a process moved in `steps` training steps, tests not counted."""

    steps: int
    sent: int
    received: int


def total(steps: int, tallies: Sequence[Tally]) -> Moved:
    """Of all threads of a process."""
    return Moved(steps, sum(t.sent for t in tallies), sum(t.received for t in tallies))


def tell(moved: Moved, line: Line, job: Job, rank: int) -> None:
    """Tell the supervisor, and leave it in a file for whoever times the run."""
    line.send({"event": "moved", "sent": moved.sent})
    if job.timed:
        job.moved(rank).write_text(json.dumps(asdict(moved)), encoding="utf-8")


def read(path: Path) -> Moved:
    return Moved(**json.loads(path.read_text(encoding="utf-8")))
