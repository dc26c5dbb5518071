"""What a server with a thread of its own asks of the other threads, by either transport."""

from __future__ import annotations

from typing import Protocol

from runtime.transport.stub import Arrays, Doubles, Floats, Gathered
from runtime.transport.tally import Tally


class Desk(Arrays, Protocol):
    """A server's end of all exchanges; `group` is a worker group that it serves.

    `params` and `states` are those of its server group, whole, of which it owns some slices.
    `squares` has a row of a double a slice for each worker group.
    """

    squares: Doubles
    tally: Tally

    def look(self) -> int:
        """Take in what has come; gives a number that changes when more comes."""

    def wait(self, seen: int) -> None:
        """Return when there is more than at the look that gave `seen`."""

    def gathered(self, group: int, index: int) -> Gathered:
        """Where a group's gradients of a slice lie, one a worker."""

    def pushed(self, group: int, index: int, step: int) -> bool:
        """Whether all workers of a group have pushed a slice in a step.

        Asserts that the group was not further ahead of others than the topology allows.
        """

    def publish(self, group: int, index: int) -> None:
        """Hand a slice of params to the workers of a group, who wait for it."""

    def weighed(self, group: int, index: int) -> None:
        """Tell the other servers the squares of a slice's gradient."""

    def all_weighed(self, group: int, step: int) -> bool:
        """Whether the squares of all slices are there."""

    def met(self, group: int, meeting: int) -> bool:
        """Whether all workers of a group have come to a meeting, counted from 0."""

    def refreshed(self) -> None:
        """Tell the workers who have met that the params they see are those of this moment."""

    def ask(self, delta: Floats, last: bool) -> None:
        """Give the centre what was done since the last time (before a meeting, if `last`)."""

    def asked(self) -> list[tuple[int, Floats, bool]]:
        """At the centre: server groups that have newly asked, each with its delta and `last`."""

    def answer(self, server_group: int, centre: Floats) -> None:
        """At the centre: the params that a server group goes on from."""

    def answered(self) -> Floats | None:
        """What the centre has answered, once; None before."""

    def show_states(self) -> None:
        """Let the chief read the states of this server, if it has asked for them."""

    def ended(self) -> bool:
        """Whether no worker will ever want anything again."""

    def close(self) -> None:
        """Wait until nothing that was told is under way any more."""
