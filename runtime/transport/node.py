"""What the threads of a process have in common in a node of several groups: the window."""

from __future__ import annotations

from mpi4py import MPI

from runtime import patience
from runtime.transport.counters import Counters
from runtime.transport.places import Places
from runtime.transport.shared import slices_served
from runtime.transport.stub import Arrays, Floats
from singac.plan.plan import Plan


class Node:
    """What the threads of a process have in common: the window, and how many look at it."""

    def __init__(self, plan: Plan, node: MPI.Intracomm) -> None:
        self.plan, self.places, self._node = plan, Places(plan, node), node
        topology = plan.topology
        self.threads = len(plan.processes) + sum(
            p.serve is not None and p.worker is not None for p in plan.processes
        )
        self.counters = Counters(self.threads)
        self.served = slices_served(plan)
        # What the chief has no gradient of, where it saves without a meeting.
        alone = not topology.asynchronous
        self.apart = [k for k in self.served if alone and not plan.slices[k].is_of(0)]
        self.first_step = 0
        self.first = node.Get_rank() == 0
        self.params: Floats = self.places.params[0]
        self.states: Floats = self.places.states[0]
        self.gradients: Floats = self.places.gradients[0]
        self._workers = topology.workers_per_group

    def to_fill(self) -> list[Arrays]:
        """Whose params and states this process fills before `ready`."""
        return [self] if self.first else []

    def ready(self, step: int) -> None:
        """Params and states of server group 0 were filled by the first process: all have them."""
        self.first_step = step
        if self.first:
            places, topology = self.places, self.plan.topology
            for group in range(1, topology.server_groups):
                places.params[group], places.states[group] = self.params, self.states
            for group in range(topology.worker_groups):
                places.seen_by(group)[:] = self.params
            for array in (places.board, places.squares):
                array.fill(0.0)
            self._clear_gradients()
            self._set_counters(step)
        patience.until(self._node.Ibarrier().Test, self.threads)

    def _clear_gradients(self) -> None:
        """Of what each worker has, no more: what is never touched takes no memory."""
        for worker, space in enumerate(self.places.gradients):
            for piece in self.plan.slices:
                if piece.spans(self.plan.topology.member(worker)):
                    space[piece.start : piece.stop].fill(0.0)

    def _set_counters(self, step: int) -> None:
        for counter in self.places.all_counters():
            self.counters.set(counter, 0)
        self._set("begun", step)
        for group in range(self.plan.topology.worker_groups):
            self._set("clock", self._workers * step, group)
            self._set("weighed", len(self.served) * step, group)
            for index, piece in enumerate(self.plan.slices):
                pushers = piece.workers_of(self._workers)
                self._set("pushed", len(pushers) * step, group, index)
                self._set("updated", step, group, index)

    def _set(self, name: str, count: int, *index: int) -> None:
        self.counters.set(self.places.counter(name, *index), count)

    def arrive(self, name: str, *index: int, group: int = 1) -> None:
        """Count one arrival; the one that completes a group of `group` wakes who waits."""
        self.counters.arrive(self.places.counter(name, *index), group)

    def wait(self, name: str, *index: int, target: int) -> None:
        self.counters.wait(self.places.counter(name, *index), target)

    def reached(self, name: str, *index: int, target: int) -> bool:
        return self.counters.reached(self.places.counter(name, *index), target)

    def ring(self, server_group: int, server: int) -> None:
        """Ring the bell of a server, given by number in its group."""
        size = self.plan.topology.servers_per_group
        self.arrive("bell", server_group * size + server)

    def free(self) -> None:
        """Done by all processes together, when no thread of theirs looks at the window."""
        self.places.window.free()
