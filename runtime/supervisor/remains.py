"""What a run may leave behind: processes and files of shared memory.

Only what is this run's own is ever touched: processes descended from the launcher, files that such
a process maps, and files of MPI that have come since the launcher was started and nobody maps:
their maker was killed before it could be seen.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

RANK_VARIABLE = "PMI_RANK"
SHARED_MEMORY = "/dev/shm/"
MADE_BY_MPI = ("mpich_shm_", "ucx_shm_posix_")
DELETED = " (deleted)"
PATIENCE_SECONDS = 2.0
# PIDFD_GET_INFO of a `struct pidfd_info`: what is asked, and is told, at its start; at its end a
# status for wait(2). From Linux 6.15 on it is told with a bit of its own.
GET_INFO, INFO = 0xC040FF0B, struct.Struct("=Q52xi")
INFO_EXIT = 1 << 3
LOOK_SECONDS = 0.002
START_SECONDS = 1.0


def mapped_files(pid: int | str) -> list[str]:
    """Files of shared memory a process maps that still have a name."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines()
    except OSError:
        return []
    names = (line.split(maxsplit=5)[5] for line in lines if SHARED_MEMORY in line)
    return list(dict.fromkeys(n for n in names if not n.endswith(DELETED)))


def mpi_files() -> list[str]:
    """Files of shared memory that an MPI library has made, whosever they are."""
    with contextlib.suppress(OSError):
        names = sorted(os.listdir(SHARED_MEMORY))
        return [SHARED_MEMORY + name for name in names if name.startswith(MADE_BY_MPI)]
    return []


def remove_files(names: list[str]) -> None:
    for name in names:
        with contextlib.suppress(OSError):
            os.unlink(name)


def descendants(root: int) -> list[int]:
    """Process ids of the children of a process, of theirs, and so on; parents first."""
    children: dict[int, list[int]] = {}
    for pid, parent in _processes():
        children.setdefault(parent, []).append(pid)
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found[1:]


def rank_of(pid: int) -> int | None:
    """The rank a process was started as, from its environment."""
    prefix = f"{RANK_VARIABLE}=".encode()
    return next((int(v[len(prefix) :]) for v in _environment(pid) if v.startswith(prefix)), None)


def marked(mark: str) -> list[int]:
    """Process ids of those with `NAME=value` in their environment.

    Where an agent of the launcher was killed, what it had just started is nobody's descendant.
    """
    own = os.getpid()
    return [pid for pid, _ in _processes() if pid != own and mark.encode() in _environment(pid)]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def is_stopped(pid: int) -> bool:
    """Whether a process is suspended by a signal."""
    return _state(pid) in ("T", "t")


def has_ended(handle: int) -> bool:
    """Whether the process of a descriptor has ended."""
    return bool(select.select([handle], [], [], 0)[0])


class Belongings:
    """The processes and files of one run, as far as they have been seen; `root` is the launcher.

    Whatever it starts has `mark`, `NAME=value`, in its environment. `watched` are the ranks whose
    end will be seen when it comes; of one that had ended before nobody knows when. `statuses` are
    those for wait(2) of ranks that have ended, unless the launcher was sooner to ask for one.
    """

    def __init__(self, root: int, mark: str) -> None:
        self._root, self._mark = root, mark
        self._handles: dict[int, int] = {}
        self._agents: list[int] = []
        self._ends = select.epoll()
        self.ranks: dict[int, int] = {}
        self.watched: set[int] = set()
        self.statuses: dict[int, int] = {}
        self.files: list[str] = []
        self._before = mpi_files()
        self._open(root)

    @property
    def launcher(self) -> int:
        """A descriptor that becomes readable when the launcher ends."""
        return self._handles[self._root]

    @property
    def ends(self) -> int:
        """A descriptor that becomes readable when a rank ends."""
        return self._ends.fileno()

    def ended(self) -> list[int]:
        """Ranks that have ended since this was asked, in that order, however late it is asked.

        The kernel queues them so; and of a process that a parent has learnt of, and killed others
        for, the descriptor was readable before.
        """
        pids = {self._handles[pid]: pid for pid in self.ranks}
        ended = [pids[handle] for handle, _ in self._ends.poll(0)]
        for pid in ended:
            if (status := status_of(pid, self._handles[pid])) is not None:
                self.statuses[self.ranks[pid]] = status
        return [self.ranks[pid] for pid in ended]

    def add(self, pid: int, rank: int) -> None:
        self._open(pid)
        if pid in self.ranks or pid not in self._handles:
            return
        self.ranks[pid] = rank
        handle = self._handles[pid]
        self._ends.register(handle, select.EPOLLIN | select.EPOLLONESHOT)
        if not has_ended(handle):
            self.watched.add(rank)

    def running(self) -> dict[int, int]:
        """A descriptor of each rank that has not ended."""
        handles = {rank: self._handles[pid] for pid, rank in self.ranks.items()}
        return {rank: handle for rank, handle in handles.items() if not has_ended(handle)}

    def kill_ranks(self) -> None:
        """End all ranks, and let the launcher be to tell how each ended."""
        self.look()
        kill({pid: self._handles[pid] for pid in self.ranks})

    def await_ranks(self, count: int) -> None:
        """Return when so many have been seen, or the launcher ends, or takes long."""
        stop = time.monotonic() + START_SECONDS
        while len(self.ranks) < count and time.monotonic() < stop:
            if has_ended(self.launcher):
                return
            time.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Take in what has started and what it maps; for the time before processes tell."""
        for pid in descendants(self._root):
            self._open(pid)
            if parent_of(pid) == self._root and pid not in self._agents:
                self._agents.append(pid)
            if pid not in self.ranks and (rank := rank_of(pid)) is not None:
                self.add(pid, rank)
        for pid in self.ranks:
            self.files += [name for name in mapped_files(pid) if name not in self.files]

    def launching(self) -> list[int]:
        """Process ids of the launcher and of its agents, one a host."""
        return [self._root, *self._agents]

    def lost_agent(self) -> bool:
        """Whether an agent of the launcher has ended."""
        return any(has_ended(self._handles[p]) for p in self._agents if p in self._handles)

    def remove(self) -> None:
        """End every process and remove every file."""
        self.look()
        for pid in marked(self._mark):
            self._open(pid)
        kill(self._handles)
        remove_files([*self.files, *self._orphans()])
        for handle in self._handles.values():
            os.close(handle)
        self._handles.clear()
        self._ends.close()

    def _orphans(self) -> list[str]:
        fresh = [name for name in mpi_files() if name not in self._before]
        if not fresh:
            return []
        mapped = [name for pid, _ in _processes() for name in mapped_files(pid)]
        return [name for name in fresh if name not in mapped]

    def _open(self, pid: int) -> None:
        if pid in self._handles:
            return
        with contextlib.suppress(OSError):
            self._handles[pid] = os.pidfd_open(pid)


def kill(handles: dict[int, int]) -> None:
    """Kill processes known by a descriptor of their own, so that no reused id is ever hit."""
    for handle in handles.values():
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    _wait(lambda: not any(map(_runs, handles)))


def _wait(done: Callable[[], bool]) -> None:
    stop = time.monotonic() + PATIENCE_SECONDS
    while not done() and time.monotonic() < stop:
        time.sleep(0.005)


def _runs(pid: int) -> bool:
    return _state(pid) not in ("", "Z", "X")


def _processes() -> Iterator[tuple[int, int]]:
    """Process id and parent of every process."""
    for name in os.listdir("/proc"):
        if name.isdecimal() and (fields := _fields(int(name))):
            yield int(name), int(fields[1])


def parent_of(pid: int) -> int:
    """Process id of the parent of a process, 0 when it is gone."""
    fields = _fields(pid)
    return int(fields[1]) if fields else 0


def started_at(pid: int) -> int:
    """When a process started, in ticks since the machine did; 0 when it is gone."""
    fields = _fields(pid)
    return int(fields[19]) if fields and fields[0] not in "ZX" else 0


def status_of(pid: int, handle: int) -> int | None:
    """How a process has ended; once somebody has waited for it, new kernels alone tell."""
    fields = _fields(pid)
    if fields and fields[0] == "Z":
        return int(fields[49])
    info = bytearray(INFO.pack(INFO_EXIT, 0))
    try:
        fcntl.ioctl(handle, GET_INFO, info)
    except OSError:  # Linux is older
        return None
    told, status = INFO.unpack(info)
    return int(status) if told & INFO_EXIT else None


def _state(pid: int) -> str:
    fields = _fields(pid)
    return fields[0] if fields else ""


def _fields(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; the name before them may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
