"""Processes of a job on other machines: what is known of them is what they say.

    host a   | supervisor | rank 0 | rank 1 |   near: watched and ended by their process ids
    host b   | rank 2 | rank 3 |                far: a stream each, with a beat twice a second

Inside another launcher all but rank 0 count as far: to end one would end the supervisor too.
A stream that ends, or from which nothing comes, is all that is left of a host that is gone.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from runtime.channel import Message, Peer
from runtime.hosts import host_of
from runtime.job import Job
from runtime.progress import Progress


class Abroad:
    """The far processes of an attempt by rank, and the files of shared memory they told of."""

    def __init__(self, job: Job, progress: Progress) -> None:
        self._job, self._progress = job, progress
        self._peers: dict[int, Peer] = {}
        self.files: dict[str, list[str]] = {}

    def admit(self, rank: int, peer: Peer) -> None:
        self._peers[rank] = peer

    def __contains__(self, rank: int) -> bool:
        return rank in self._peers

    def host(self, rank: int) -> str:
        """The host of a process, near or far; empty where the job has one machine."""
        return host_of(self._job.places, rank)

    def note(self, rank: int, message: Message) -> None:
        """Take in where a process says it stands."""
        step, phase, peer = message.get("step"), message.get("phase"), self._peers.get(rank)
        if isinstance(step, int) and isinstance(phase, int):
            self._progress.note(rank, peer.pid if peer else 0, step, phase)

    def add_files(self, rank: int, names: Iterable[str]) -> None:
        own = self.files.setdefault(self.host(rank), [])
        own += [name for name in names if name not in own]

    def gone(self, rank: int, finished: Container[int]) -> str | None:
        """The host of a far process if all streams from there have ended and should not have."""
        own = [r for r in self._of_same_host(rank) if r not in finished]
        return self.host(rank) if not any(self._peers[r].open for r in own) else None

    def silent(self, rank: int, finished: Container[int], limit: float) -> str | None:
        """The host of a far process if nothing has come from there for so many seconds."""
        if rank not in self._peers:
            return None
        own = [r for r in self._of_same_host(rank) if r not in finished]
        newest = max(self._progress.of(r).beat for r in own)
        return self.host(rank) if self._progress.age(newest) > limit else None

    def _of_same_host(self, rank: int) -> list[int]:
        return [r for r in self._peers if self.host(r) == self.host(rank)]

    def step(self, host: str) -> int:
        """The last step that a process of a host has told of."""
        return max(self._progress.of(r).step for r in self._peers if self.host(r) == host)

    def dismiss(self) -> None:
        """End all: a process that loses its supervisor ends by itself."""
        for peer in self._peers.values():
            with contextlib.suppress(OSError):
                peer.socket.shutdown(socket.SHUT_RDWR)

    def ask_for_stacks(self, finished: Container[int]) -> Mapping[int, int]:
        """Ask all that may still answer; gives how long the log of each was before."""
        asked = {r: p for r, p in self._peers.items() if p.open and r not in finished}
        sizes = {rank: _size(self._job.log(rank)) for rank in asked}
        for peer in asked.values():
            peer.send({"stack": True})
        return sizes


def _size(log: Path) -> int:
    return log.stat().st_size if log.exists() else 0
