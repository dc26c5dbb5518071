"""The threads of a process that exchange letters, as one: they begin and end with all others."""

from __future__ import annotations

from collections.abc import Sequence

from mpi4py import MPI

from runtime import patience
from runtime.environment import EnvironmentFailure
from runtime.transport.far import FarStub
from runtime.transport.far_desk import FarDesk
from runtime.transport.stub import Arrays
from singac.plan.plan import Plan


class Far:
    """What the threads of a process have in common: that they begin and end with all others."""

    def __init__(
        self,
        plan: Plan,
        world: MPI.Intracomm,
        stubs: Sequence[FarStub],
        desks: Sequence[FarDesk],
    ) -> None:
        self._plan, self._world, self._stubs, self._desks = plan, world, stubs, desks

    def to_fill(self) -> list[Arrays]:
        """Whose params and states this process fills before `ready`."""
        return [*self._stubs, *self._desks]

    def ready(self, step: int) -> None:
        threads = len(self._stubs) + len(self._desks)
        if threads > 1 and MPI.Query_thread() < MPI.THREAD_MULTIPLE:
            raise EnvironmentFailure(
                "this MPI library serves one thread of a process alone", "pip install mpich"
            )
        for stub in self._stubs:
            stub.ready(step)
        for desk in self._desks:
            desk.ready(step)
        self._meet()

    def _meet(self) -> None:
        patience.until(self._world.Ibarrier().Test, self._plan.topology.processes)

    def free(self) -> None:
        """When all have come here, no letter is under way that anybody waits for."""
        self._meet()
        for stub in self._stubs:
            stub.release()
