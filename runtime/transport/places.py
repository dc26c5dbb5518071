"""What lies where in the window of a node with several groups: counters by name, and arrays.

| counters | metrics | squares |
| params, states: a space each, a server group | replica: a space, a worker group |
| gradients: a space, a worker | progress, centre: a space each, a server group |
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from mpi4py import MPI

from runtime.checkpoints import carried
from runtime.transport import counters
from runtime.transport.mail import Mail
from runtime.transport.stub import SLOTS, Doubles, Floats
from runtime.transport.window import Bytes, Plot, Window
from singac.plan.plan import Plan

FLOAT, DOUBLE = 4, 8


class Places:
    """The window as it is carved; a process has one, all its threads look at it.

    `mail` are the addresses of the counters and boxes of what workers of a group send each other.
    """

    def __init__(self, plan: Plan, node: MPI.Intracomm) -> None:
        topology, plot = plan.topology, Plot()
        groups, centres = topology.worker_groups, topology.server_groups
        # fmt: off
        self._shapes: dict[str, tuple[int, ...]] = {
            "pushed":   (groups, len(plan.slices)),   # gradients, one a worker that has one
            "updated":  (groups, len(plan.slices)),   # times a slice was published
            "begun":    (),                           # steps that the chief has begun
            "clock":    (groups,),                    # workers' steps done
            "weighed":  (groups,),                    # slices whose squares are there
            "met":      (groups,),                    # workers at meetings
            "fresh":    (centres,),                   # servers that brought replicas up to date
            "bell":     (topology.servers,),          # whatever comes for a server
            "asked":    (topology.servers,),          # times its progress was given
            "last":     (topology.servers,),          # the same, before a meeting
            "answered": (topology.servers,),          # times the centre has answered
            "given":    (SLOTS,),                     # workers' metrics
            "over":     (),                           # meetings that are over
            "ended":    (),                           # workers that want nothing any more
            "announced": (), "stop": (),              # the chief's words
            "wished": (), "shown": (), "read": (),    # states: asked for, held still, copied
        }
        # fmt: on
        self._starts = {
            name: plot.take(counters.BYTES * math.prod(shape))
            for name, shape in self._shapes.items()
        }
        mail = Mail(plan, None)
        parcels = plot.take(mail.counter_bytes)
        self._end = plot.size
        shape = (SLOTS, topology.workers_per_group, len(plan.metrics) + carried.doubles(plan))
        board = plot.take(DOUBLE * math.prod(shape))
        squares = plot.take(DOUBLE * groups * len(plan.slices))
        states, agreeing = len(plan.update.states), centres if centres > 1 else 0
        parts = (centres, centres * states, groups, topology.workers, agreeing, agreeing)
        floats = sum(parts) * plan.param_floats
        spaces = plot.take(FLOAT * floats)
        boxes = plot.take(mail.box_bytes)
        self.window = Window(node, plot.size)
        memory = self.window.memory
        self._base = memory.ctypes.data
        self.mail = self._base + parcels, self._base + boxes
        self.board = _doubles(memory[board:], shape)
        self.squares = _doubles(memory[squares:], (groups, len(plan.slices)))
        rows = memory[spaces:][: FLOAT * floats].view(np.float32)
        rows = rows.reshape(sum(parts), plan.param_floats)
        arrays = _cut(rows, parts)
        self.params, all_states, self._replicas = next(arrays), next(arrays), next(arrays)
        self.states = all_states.reshape(centres, states, plan.param_floats)
        self.gradients, self.progress, self.centre = next(arrays), next(arrays), next(arrays)
        self._topology = topology

    def counter(self, name: str, *index: int) -> int:
        """The address of a counter."""
        shape = self._shapes[name]
        assert len(index) == len(shape), f"there are {shape} counters `{name}`"
        at = 0
        for size, k in zip(shape, index, strict=True):
            assert 0 <= k < size, f"there is no counter `{name}` number {index}"
            at = at * size + k
        return self._base + self._starts[name] + at * counters.BYTES

    def all_counters(self) -> range:
        return range(self._base, self._base + self._end, counters.BYTES)

    def seen_by(self, worker_group: int) -> Floats:
        """The params that a worker group computes with."""
        server_group = self._topology.served_by(worker_group)
        in_memory = self._topology.in_memory(worker_group)
        seen: Floats = self.params[server_group] if in_memory else self._replicas[worker_group]
        return seen


def _cut(rows: Floats, counts: tuple[int, ...]) -> Iterator[Floats]:
    at = 0
    for count in counts:
        yield rows[at : at + count]
        at += count


def _doubles(memory: Bytes, shape: tuple[int, ...]) -> Doubles:
    count = math.prod(shape)
    return memory[: DOUBLE * count].view(np.float64).reshape(shape)
