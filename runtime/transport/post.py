"""Letters between the workers and servers of a run, threads of whatever process they are in.

    | kind | group | index | number | sender | slowest | 0 | 0 |  body ...
      eight 64-bit integers                                       bytes

Every worker and every server has an address, which is the tag of all letters to it. Letters from
one to another arrive in the order in which they were sent. Nobody waits inside MPI.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from mpi4py import MPI
from numpy.typing import NDArray

from runtime import patience
from runtime.transport.stub import Doubles, Floats
from runtime.transport.window import Bytes
from singac.plan.plan import Plan

HEAD = 8 * np.dtype(np.int64).itemsize
# Exchanges within a group have tags of their own, above those of letters.
ADDRESSES = 1 << 20


class Kind(IntEnum):
    """What a letter is about; `number` is a step, a round or a flag."""

    GRADIENT = 0
    PARAM = 1
    FRESH = 2
    CLOCK = 3
    SUMS = 4
    WORD = 5
    WISH = 6
    STATE = 7
    MET = 8
    OVER = 9
    END = 10
    SQUARES = 11
    PROGRESS = 12
    CENTRE = 13
    BEGUN = 14
    LAST = 15


@dataclass(frozen=True, slots=True)
class Letter:
    """`index` is that of a slice, or of a slot; the body has one kind of value."""

    kind: Kind
    group: int
    index: int
    number: int
    sender: int
    slowest: int
    body: Bytes

    @property
    def floats(self) -> Floats:
        return self.body.view(np.float32)

    @property
    def doubles(self) -> Doubles:
        return self.body.view(np.float64)


class Post:
    """The letters of one thread: `deliver` is given each as it is taken in."""

    def __init__(self, plan: Plan, world: MPI.Intracomm, own: int) -> None:
        topology = plan.topology
        self._world, self._own = world, own
        self._ranks = [topology.rank_of_worker(w) for w in range(topology.workers)]
        self._ranks += [topology.rank_of_server(s) for s in range(topology.servers)]
        self._threads = len(self._ranks)
        self._going: list[tuple[MPI.Request, Bytes]] = []
        self.deliver: Callable[[Letter], None] = _lost
        self.taken = self._lasts = 0

    def send(
        self,
        to: int,
        kind: Kind,
        group: int = 0,
        index: int = 0,
        number: int = 0,
        slowest: int = 0,
        body: NDArray[np.generic] | None = None,
    ) -> None:
        """Send a letter; its body is copied."""
        size = body.nbytes if body is not None else 0
        letter: Bytes = np.empty(HEAD + size, np.uint8)
        letter[:HEAD].view(np.int64)[:] = (kind, group, index, number, self._own, slowest, 0, 0)
        if body is not None:
            letter[HEAD:] = np.ascontiguousarray(body).reshape(-1).view(np.uint8)
        self._going = [g for g in self._going if not g[0].Test()]
        self._going.append((self._world.Isend(letter, self._ranks[to], to), letter))

    def take_in(self) -> int:
        """Deliver all letters that are there; gives how many have been taken so far."""
        status = MPI.Status()
        while (found := self._world.Improbe(MPI.ANY_SOURCE, self._own, status)) is not None:
            letter: Bytes = np.empty(status.Get_count(MPI.BYTE), np.uint8)
            patience.until(found.Irecv(letter).Test, self._threads)
            kind, group, index, number, sender, slowest, *_ = letter[:HEAD].view(np.int64).tolist()
            self.taken += 1
            if kind == Kind.LAST:
                self._lasts += 1
                continue
            body = letter[HEAD:]
            self.deliver(Letter(Kind(kind), group, index, number, sender, slowest, body))
        return self.taken

    def until(self, done: Callable[[], bool]) -> None:
        """Take in letters until something holds."""

        def look() -> bool:
            self.take_in()
            return done()

        if not done():
            patience.until(look, self._threads)

    def close(self) -> None:
        """Take in what is still under way, and let the others do so: letters arrive in order, so
        that behind the last of a sender there is none.
        """
        for to in range(self._threads):
            self.send(to, Kind.LAST)
        self.until(lambda: self._lasts == self._threads)
        self.until(lambda: all(request.Test() for request, _ in self._going))


def _lost(letter: Letter) -> None:
    raise AssertionError(f"nobody takes letters of {letter.kind.name}")


# -- what is on the wire ---------------------------------------------------------------------------


def packed(values: Floats, wire: str) -> NDArray[np.generic]:
    """Values as they travel: float32, or bfloat16 rounded to nearest, ties to even."""
    if wire == "float32":
        return values
    bits = values.view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    found: NDArray[np.uint16] = np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16)
    return found


def unpack(body: Bytes, wire: str, out: Floats) -> None:
    if wire == "float32":
        out[:] = body.view(np.float32)
    else:
        np.left_shift(body.view(np.uint16), 16, out=out.view(np.uint32), dtype=np.uint32)
