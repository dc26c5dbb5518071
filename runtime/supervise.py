"""The life of a run: start the launcher, listen, notice what goes wrong, leave nothing behind."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from types import FrameType

from runtime import checkpoint, launcher, remains, verdict
from runtime.channel import Listener, Message, Peer
from runtime.job import Job
from runtime.progress import DOING, Progress
from runtime.remains import Belongings, has_ended
from runtime.report import Reporter
from runtime.verdict import Verdict
from runtime.watchdog import Watchdog
from singac.diagnostics import Diagnostic, Exit
from singac.plan.encode import from_json
from singac.plan.plan import Plan

TICK_SECONDS = 0.25
STARTING_TICK_SECONDS = 0.01
BANNER_SECONDS = 1.0
LAUNCHER_LOG = "launcher.log"
TOLD = ("step", "test", "validate", "checkpoint", "early_stop", "warning")


def supervise(job: Job, mpiexec: str) -> Verdict:
    """Run the job to its end; nothing of it remains."""
    listener = Listener()
    progress = Progress.create(job.progress, job.processes)
    with (job.logs / LAUNCHER_LOG).open("w+b") as log, _signals() as signals:
        started = subprocess.Popen(
            launcher.command(mpiexec, job),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=launcher.environment(listener.address),
            start_new_session=True,
        )
        run = Supervisor(job, started, listener, progress, signals)
        try:
            return run.watch()
        finally:
            run.clean()


@contextlib.contextmanager
def _signals() -> Iterator[Signals]:
    """Ctrl-C and SIGTERM become something to be read; as before on leaving."""
    signals = Signals()
    before = {number: signal.signal(number, signals.note) for number in Signals.NUMBERS}
    wakeup = signal.set_wakeup_fd(signals.writer.fileno(), warn_on_full_buffer=False)
    try:
        yield signals
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        signals.reader.close()
        signals.writer.close()


class Signals:
    """Signals that have come, and a socket that becomes readable when one does."""

    NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.reader, self.writer = socket.socketpair()
        self.reader.setblocking(False)
        self.writer.setblocking(False)
        self.interrupted = False
        self.terminations = 0

    def note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            self.terminations += 1
        else:
            self.interrupted = True

    def drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.reader.recv(64)


class Supervisor:
    """One run as seen from outside MPI."""

    def __init__(
        self,
        job: Job,
        started: subprocess.Popen[bytes],
        listener: Listener,
        progress: Progress,
        signals: Signals,
    ) -> None:
        self._job, self._started, self._listener = job, started, listener
        self._progress, self._signals = progress, signals
        self._begun = time.monotonic()
        self._own = Belongings(started.pid)
        self._peers: dict[int, Peer] = {}
        self._finished: set[int] = set()
        self._ready: set[int] = set()
        self._ended_unseen: set[int] = set()
        self._step, self._stopped_early = 0, False
        self._best: Message | None = None
        self._stop_sent = False
        self._selector = DefaultSelector()
        self._selector.register(listener.socket, EVENT_READ, self._welcome)
        self._selector.register(signals.reader, EVENT_READ, self._drain)
        self._selector.register(self._own.launcher, EVENT_READ, self._launcher_moved)
        # The processes start meanwhile.
        self._plan: Plan = from_json(Path(job.plan).read_text(encoding="utf-8"))
        checkpoint.remove_unfinished(job.checkpoints)
        self._watchdog = Watchdog(self._plan, progress)
        training = self._plan.training
        self._reporter = Reporter(job.metrics, job.json, self._plan.net, training.steps)

    def watch(self) -> Verdict:
        """Listen until the run has ended, one way or another."""
        self._reporter.event(self._start_event())
        end: Verdict | None = None
        while end is None:
            end = self._turn()
        self._reporter.event(self._end_event(end))
        return end

    def clean(self) -> None:
        self._own.remove()
        self._started.wait()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
        self._reporter.close()
        self._job.progress.unlink(missing_ok=True)

    def _turn(self) -> Verdict | None:
        """Wait for something, take it in, and say whether the run has ended."""
        starting = len(self._ready) < self._job.processes
        if starting:
            self._own.look()
        for handle, rank in self._own.fresh():
            if has_ended(handle):
                self._ended_unseen.add(rank)
            self._selector.register(handle, EVENT_READ, partial(self._exited, handle, rank))
        for key, _ in self._selector.select(STARTING_TICK_SECONDS if starting else TICK_SECONDS):
            end: Verdict | None = key.data()
            if end is not None:
                return end
        return self._signalled() or self._stalled() or self._launcher_ended()

    # What arrives

    def _drain(self) -> None:
        self._signals.drain()

    def _launcher_moved(self) -> None:
        """Being woken is all: whether it has ended is asked each turn."""
        self._selector.unregister(self._own.launcher)

    def _welcome(self) -> None:
        peer = self._listener.accept()
        if peer is not None:
            self._selector.register(peer.socket, EVENT_READ, lambda: self._hear(peer))

    def _hear(self, peer: Peer) -> Verdict | None:
        for message in peer.messages():
            if peer.rank is None:
                self._admit(peer, message)
                continue
            end = self._handle(peer.rank, message)
            if end is not None:
                return end
        if not peer.open:
            self._selector.unregister(peer.socket)
            peer.socket.close()
        return None

    def _exited(self, handle: int, rank: int) -> Verdict | None:
        """A process has ended.

        Descriptors become readable in the order in which processes end. Streams need not: one of a
        process that ended later may have had something to read before.
        """
        self._selector.unregister(handle)
        peer = self._peers.get(rank)
        end = self._hear(peer) if peer is not None and peer.open else None
        if end is not None or rank in self._finished:
            return end
        return self._lost(rank)

    def _admit(self, peer: Peer, hello: Message) -> None:
        rank, pid = hello.get("rank"), hello.get("pid")
        if self._listener.admits(hello) and isinstance(rank, int) and isinstance(pid, int):
            peer.rank, peer.pid = rank, pid
            self._peers[rank] = peer
            self._own.add(pid, rank)
        else:
            peer.open = False

    def _handle(self, rank: int, message: Message) -> Verdict | None:
        match message:
            case {"event": "files", "files": [*names], "ready": bool(ready)}:
                self._own.files += [str(name) for name in names]
                if ready:
                    self._ready.add(rank)
            case {"event": "failure"}:
                return self._failure(rank, message)
            case {"event": "bye"}:
                self._finished.add(rank)
            case {"event": "stopped", "step": int(step)}:
                self._step = step
                return verdict.TERMINATED
            case {"event": str(event), "step": int(step)} if event in TOLD:
                self._step = step
                self._stopped_early |= event == "early_stop"
                if message.get("best"):
                    self._best = {"step": step, "path": message["path"]}
                self._reporter.event(message)
        return None

    # How it can end

    def _failure(self, rank: int, message: Message) -> Verdict:
        who, cause = verdict.role(self._plan, rank), str(message.get("cause"))
        traceback = str(message.get("traceback", ""))
        if message.get("kind") == "environment":
            return verdict.environment(cause, str(message.get("help")))
        if message.get("kind") == "diverged":
            return verdict.diverged(who, cause)
        return verdict.failed(who, self._progress.of(rank).step, cause, traceback)

    def _lost(self, rank: int) -> Verdict:
        """A process has gone without a word; the launcher knows why.

        It ends all the others at once, and may name one of those as the first: it is asked for the
        first only where several were gone before this process began to watch them.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._started.wait(BANNER_SECONDS)
        for other in (rank, *range(self._job.processes)):
            if cause := verdict.crash(verdict.tail(self._job.log(other))):
                return self._died(other, cause)
        banner = verdict.read_banner(verdict.tail(self._job.logs / LAUNCHER_LOG))
        if banner is None:
            return self._died(rank, "ended without a word")
        named = self._own.ranks.get(banner.pid, rank)
        return self._died(named if rank in self._ended_unseen else rank, banner.cause)

    def _died(self, rank: int, cause: str) -> Verdict:
        standing = self._progress.of(rank)
        left = verdict.tail(self._job.log(rank))
        return verdict.failed(verdict.role(self._plan, rank), standing.step, cause, left)

    def _launcher_ended(self) -> Verdict | None:
        if self._started.poll() is None:
            return None
        log = verdict.tail(self._job.logs / LAUNCHER_LOG)
        banner = verdict.read_banner(log)
        if banner is not None and banner.pid in self._own.ranks:
            return self._died(self._own.ranks[banner.pid], banner.cause)
        self._hear_the_last()
        if len(self._finished) == self._job.processes:
            if not self._stopped_early:
                self._step = max(self._step, self._plan.training.steps)
            return verdict.DONE
        code = self._started.returncode
        message = f"the launcher ended with code {code} before all processes had"
        return verdict.environment(message, None, log)

    def _hear_the_last(self) -> None:
        for peer in list(self._peers.values()):
            for message in peer.messages():
                self._handle(peer.rank or 0, message)

    def _signalled(self) -> Verdict | None:
        if self._signals.interrupted or self._signals.terminations > 1:
            diagnostic = Diagnostic("SG0913", f"interrupted after step {self._step}")
            return Verdict("interrupted", Exit.INTERRUPTED, diagnostic)
        if self._signals.terminations and not self._stop_sent:
            chief = next(p.rank for p in self._plan.processes if p.worker == 0)
            if chief in self._peers:
                self._peers[chief].send({"stop": True})
                self._stop_sent = True
        return None

    def _stalled(self) -> Verdict | None:
        silent = self._watchdog.silent_rank(self._finished)
        if silent is None:
            return None
        standing = self._progress.of(silent)
        suspended = remains.is_stopped(standing.pid)
        doing = "suspended by a signal" if suspended else DOING[standing.phase]
        who = verdict.role(self._plan, silent)
        return verdict.stalled(who, standing.step, doing, self._watchdog.limit)

    # Events of the run itself

    def _start_event(self) -> Message:
        plan = self._plan
        return {
            "event": "start",
            "format_version": plan.format_version,
            "net": plan.net,
            "processes": len(plan.processes),
            "workers": plan.topology.workers,
            "servers": plan.topology.servers,
            "framework": plan.topology.framework,
            "run_dir": self._job.run_folder,
        }

    def _end_event(self, end: Verdict) -> Message:
        seconds = round(time.monotonic() - self._begun, 3)
        event: Message = {
            "event": "end",
            "status": end.status,
            "net": self._plan.net,
            "steps": self._step,
            "seconds": seconds,
        }
        return event | ({"best": self._best} if self._best is not None else {})
