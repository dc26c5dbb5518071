"""Which processes of a job are of one node, and whether they share its memory."""

from __future__ import annotations

from mpi4py import MPI

from runtime.transport import stub


def node_of() -> MPI.Intracomm:
    """The processes of this node."""
    return MPI.Intracomm(MPI.COMM_WORLD.Split_type(MPI.COMM_TYPE_SHARED))


def ranks_of_node() -> list[int]:
    """The ranks of the processes of this node."""
    node, world = node_of().Get_group(), MPI.COMM_WORLD.Get_group()
    return node.Translate_ranks(None, world)


def shares_memory() -> bool:
    """Whether all processes are of one node, and may use its memory."""
    return node_of().Get_size() == MPI.COMM_WORLD.Get_size() and not stub.prefers_messages()
