"""One attempt: start the launcher, listen, notice what goes wrong, leave nothing behind."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Sequence
from functools import partial
from selectors import EVENT_READ, DefaultSelector
from typing import TYPE_CHECKING

from runtime import channel, hosts, inside, shim
from runtime.channel import LOOPBACK, Listener, Message, Peer
from runtime.checkpoints import checkpoint
from runtime.job import Job
from runtime.progress import DOING, STARTING, Progress
from runtime.supervisor import endings, launcher, muster, stacks, verdict
from runtime.supervisor.abroad import Abroad
from runtime.supervisor.account import Account
from runtime.supervisor.remains import Belongings
from runtime.supervisor.signals import Signals
from runtime.supervisor.verdict import TERMINATED, Verdict
from runtime.supervisor.watchdog import SUSPENDED, LauncherWatch, Watchdog
from singac.diagnostics import Diagnostic, Exit

if TYPE_CHECKING:
    from singac.plan.plan import Plan

TICK_SECONDS = 0.25
STARTING_TICK_SECONDS = 0.01
LAST_WORDS_SECONDS = 2.0
SAME_END_SECONDS = 0.2  # within which the streams of a host that is gone end
SAME_SECONDS = 2.0  # within which the processes of a host fall silent
WRITING_SECONDS = 1.0
LAUNCHER_LOG = "launcher.log"


def attempt(
    job: Job, mpiexec: str, plan: Callable[[], Plan], account: Account, signals: Signals
) -> Verdict:
    """Run the job once, to its end or a failure; nothing of it remains."""
    listener = Listener(_addresses(job))
    progress = Progress.create(job.progress, job.processes)
    job.logs.mkdir(parents=True, exist_ok=True)
    with (job.logs / LAUNCHER_LOG).open("w+b") as log:
        started = subprocess.Popen(
            launcher.command(mpiexec, job),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=launcher.environment(listener.address),
            start_new_session=True,
            pass_fds=shim.descriptors() if job.inside else (),
        )
        own = Belongings(started.pid, f"{channel.VARIABLE}={listener.address}")
        try:
            own.await_ranks(0 if job.hosts else 1 if job.inside else job.processes)
            # The plan is read while the processes start.
            run = Attempt(job, plan(), started, own, listener, progress, account, signals)
            end = run.watch()
        finally:
            own.remove()
            started.wait()
            listener.socket.close()
            checkpoint.remove_unfinished(job.checkpoints)
            job.progress.unlink(missing_ok=True)
    if job.hosts and end is not verdict.DONE:
        muster.sweep(job, mpiexec, run.abroad.files)
    return end


def _addresses(job: Job) -> Sequence[str]:
    """Where the processes of a job reach this one."""
    if job.inside:
        return inside.addresses()
    return hosts.addresses(job.places) if job.hosts else [LOOPBACK]


class Attempt:
    """The processes of a run as seen from outside MPI."""

    def __init__(
        self,
        job: Job,
        plan: Plan,
        started: subprocess.Popen[bytes],
        own: Belongings,
        listener: Listener,
        progress: Progress,
        account: Account,
        signals: Signals,
    ) -> None:
        self._job, self._plan, self._started, self._own = job, plan, started, own
        self._listener, self._progress = listener, progress
        self._account, self._signals = account, signals
        self._guests: list[Peer] = []
        self._peers: dict[int, Peer] = {}
        self.abroad = Abroad(job, progress)
        self._finished: set[int] = set()
        self._ready: set[int] = set()
        self._chief = next(p.rank for p in plan.processes if p.worker == 0)
        self._stop_sent = False
        self._selector = DefaultSelector()
        self._selector.register(listener.socket, EVENT_READ, self._welcome)
        self._selector.register(signals.reader, EVENT_READ, signals.drain)
        self._selector.register(own.launcher, EVENT_READ, self._launcher_moved)
        self._selector.register(own.ends, EVENT_READ, self._ranks_ended)
        checkpoint.remove_unfinished(job.checkpoints)
        self._watchdog = Watchdog(plan, progress, own)
        self._launcher_watch = LauncherWatch(own, self._watchdog.limit, job.inside)

    def watch(self) -> Verdict:
        """Listen until the attempt has ended, one way or another."""
        self._account.begin(self._plan)
        end: Verdict | None = None
        try:
            while end is None:
                end = self._turn()
            self._let_write()
        finally:
            self._hang_up()
        return end

    def _let_write(self) -> None:
        """A checkpoint that is all but written is worth a moment, whatever the end."""
        stop = time.monotonic() + WRITING_SECONDS
        while self._chief in self._own.running() and self._progress.of(self._chief).writing:
            if time.monotonic() > stop or self._signals.impatient:
                return
            time.sleep(STARTING_TICK_SECONDS)
        self._hear_the_last()

    def _hang_up(self) -> None:
        for peer in self._guests:
            peer.socket.close()
        self._selector.close()

    def _turn(self) -> Verdict | None:
        """Wait for something, take it in, and say whether the run has ended."""
        starting = len(self._ready) < self._job.processes
        if starting:
            self._own.look()
        for key, _ in self._selector.select(STARTING_TICK_SECONDS if starting else TICK_SECONDS):
            end: Verdict | None = key.data()
            if end is not None:
                return end
        return (
            self._signalled()
            or self._stalled()
            or self._launcher_ended()
            or self._launcher_failed()
        )

    # What arrives

    def _launcher_moved(self) -> None:
        """Being woken is all: whether it has ended is asked each turn."""
        self._selector.unregister(self._own.launcher)

    def _welcome(self) -> None:
        while (peer := self._listener.accept()) is not None:
            self._guests.append(peer)
            self._selector.register(peer.socket, EVENT_READ, partial(self._hear, peer))

    def _hear(self, peer: Peer, ended: bool = False) -> Verdict | None:
        for message in peer.last_messages() if ended else peer.messages():
            if peer.rank is None:
                self._admit(peer, message)
                continue
            end = self._handle(peer.rank, message)
            if end is not None:
                return end
        if not peer.open and peer.socket.fileno() >= 0:  # else it was, by an event just before
            self._selector.unregister(peer.socket)
            peer.socket.close()
            rank = peer.rank
            if rank is not None and rank in self.abroad and rank not in self._finished:
                return self._lost_far(rank)
        return None

    def _ranks_ended(self) -> Verdict | None:
        for rank in self._own.ended():
            if end := self._exited(rank):
                return end
        return None

    def _exited(self, rank: int) -> Verdict | None:
        """A process has ended, the first that had not said goodbye if it has not."""
        peer = self._peers.get(rank)
        end = self._hear(peer, ended=True) if peer is not None and peer.open else None
        if end is not None or rank in self._finished:
            return end
        return self._lost(rank)

    def _admit(self, peer: Peer, hello: Message) -> None:
        rank, pid = hello.get("rank"), hello.get("pid")
        if self._listener.admits(hello) and isinstance(rank, int) and isinstance(pid, int):
            peer.rank, peer.pid = rank, pid
            self._peers[rank] = peer
            if hello.get("machine") == hosts.machine() and not (self._job.inside and rank):
                self._own.add(pid, rank)
            else:
                self.abroad.admit(rank, peer)
        else:
            peer.open = False

    def _handle(self, rank: int, message: Message) -> Verdict | None:
        match message:
            case {"event": "files", "files": [*names], "ready": bool(ready)}:
                self._add_files(rank, [str(name) for name in names])
                if ready:
                    self._ready.add(rank)
            case {"event": "standing"}:
                self.abroad.note(rank, message)
            case {"event": "failure"}:
                return self._failure(rank, message)
            case {"event": "bye"}:
                self._finished.add(rank)
            case {"event": "stopped", "step": int(step)}:
                self._account.step = step
                return TERMINATED
        self._account.take(message)
        return None

    def _add_files(self, rank: int, names: list[str]) -> None:
        if rank in self.abroad:
            self.abroad.add_files(rank, names)
        else:
            self._own.files += names

    # How it can end

    def _who(self, rank: int) -> str:
        """A process with its roles, and its host where there are several."""
        host = self.abroad.host(rank)
        return verdict.role(self._plan, rank) + (f" on {host}" if host else "")

    def _failure(self, rank: int, message: Message) -> Verdict:
        who, cause = self._who(rank), str(message.get("cause"))
        traceback = str(message.get("traceback", ""))
        if message.get("kind") == "environment":
            return verdict.environment(cause, str(message.get("help")))
        if message.get("kind") == "diverged":
            return verdict.diverged(who, cause)
        return self._failed(rank, cause, traceback)

    def _lost(self, rank: int) -> Verdict:
        """A process has gone without a word, the first of those that were watched."""
        # Who is alive now was not the cause, whenever it was first seen.
        self._own.look()
        others = [r for r in range(self._job.processes) if r != rank and self._may_precede(r, rank)]
        self._end_all()
        if self._started.returncode is not None and self._started.returncode < 0:
            return self._without_launcher()
        return self._first_of([rank, *others])

    def _may_precede(self, other: int, rank: int) -> bool:
        """Whether a process may have ended before one that was seen to end."""
        same = self.abroad.host(other) == self.abroad.host(rank) and not self._job.inside
        return same and other not in self._own.watched

    def _first_of(self, candidates: Sequence[int]) -> Verdict:
        """One of these was the first to end; how they did the launcher has told."""
        told = endings.statuses(self._job.logs / LAUNCHER_LOG, self._job) | self._own.statuses
        first, *others = endings.first(candidates, told)
        log = self._job.log(first)
        if first in told:
            cause = endings.cause(told[first])
        else:
            cause = endings.crash(log) or "ended without a word"
        who = " or ".join(map(self._who, (first, *others)))
        return self._failed(first, cause, verdict.tail(log), who)

    def _end_all(self) -> None:
        """Whatever still runs, and so the launcher, which then tells how each process ended."""
        self._let_write()
        self._own.kill_ranks()
        if not self._job.inside:
            self.abroad.dismiss()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._started.wait(LAST_WORDS_SECONDS)

    def _lost_far(self, rank: int) -> Verdict:
        """The stream of a far process has ended; the launcher may know why."""
        time.sleep(SAME_END_SECONDS)
        if end := self._hear_the_last():
            return end
        gone = self.abroad.gone(rank, self._finished)
        self._end_all()
        if gone and rank not in endings.statuses(self._job.logs / LAUNCHER_LOG, self._job):
            return self._lost_host(gone, "all its processes have ended")
        return self._first_of([rank])

    def _failed(self, rank: int, cause: str, left: str, who: str = "") -> Verdict:
        standing, who, step = self._progress.of(rank), who or self._who(rank), self._step(rank)
        place = f"the start of {who}" if standing.phase in STARTING else f"step {step}"
        return verdict.failed(who, step, cause, left, place)

    def _step(self, rank: int) -> int:
        """The step of a process; of a far one what is known of it."""
        step = self._progress.of(rank).step
        return self._as_far_as_told(step) if rank in self.abroad else step

    def _as_far_as_told(self, step: int) -> int:
        """Workers that wait for each other do the same step: what one says counts for all."""
        return max(step, self._account.step) if self._plan.topology.worker_groups == 1 else step

    def _lost_host(self, host: str, cause: str, exit: Exit = Exit.FAILED) -> Verdict:
        return verdict.lost_host(host, self._as_far_as_told(self.abroad.step(host)), cause, exit)

    def _launcher_ended(self) -> Verdict | None:
        if self._started.poll() is None:
            return None
        if end := self._hear_the_last():
            return end
        if len(self._finished) == self._job.processes:
            self._account.all_done()
            return verdict.DONE
        told = endings.statuses(self._job.logs / LAUNCHER_LOG, self._job)
        badly = [rank for rank, status in told.items() if status and rank not in self._finished]
        return self._first_of(badly) if badly else self._without_launcher()

    def _launcher_failed(self) -> Verdict | None:
        cause = self._launcher_watch.fault()
        if cause is None or len(self._finished) == self._job.processes:
            return None
        if cause != SUSPENDED:
            return verdict.failed("the launcher", self._account.step, cause)
        return self._launcher_stalled()

    def _launcher_stalled(self) -> Verdict:
        limit, told = self._watchdog.limit, self._stacks(None)
        return verdict.stalled("the launcher", self._account.step, SUSPENDED, limit, told)

    def _without_launcher(self) -> Verdict:
        """The launcher has ended before all processes had."""
        code = self._started.returncode
        if code < 0 or self._ready:
            cause = endings.killed_by(-code) if code < 0 else f"exited with code {code}"
            return verdict.failed("the launcher", self._account.step, cause)
        message = f"the launcher ended with code {code} before all processes had"
        return verdict.environment(message, None, verdict.tail(self._job.logs / LAUNCHER_LOG))

    def _hear_the_last(self) -> Verdict | None:
        """All that anybody has sent, though never heard before; the first end that is told."""
        end: Verdict | None = None
        self._welcome()
        for peer in self._guests:
            for message in peer.last_messages():
                if peer.rank is None:
                    self._admit(peer, message)
                else:
                    told = self._handle(peer.rank, message)
                    end = end or told
        return end

    def _signalled(self) -> Verdict | None:
        if self._signals.interrupted or self._signals.terminations > 1:
            diagnostic = Diagnostic("SG0913", f"interrupted after step {self._account.step}")
            return Verdict("interrupted", Exit.INTERRUPTED, diagnostic)
        asked = self._signals.terminations and not self._stop_sent
        if asked and self._chief in self._peers:
            self._peers[self._chief].send({"stop": True})
            self._stop_sent = True
        return None

    def _stalled(self) -> Verdict | None:
        silent = self._watchdog.silent_rank(self._finished)
        if silent is None:
            return None
        standing, seconds = self._progress.of(silent), self._watchdog.limit
        if host := self.abroad.silent(silent, self._finished, seconds - SAME_SECONDS):
            return self._lost_host(host, f"no sign of life for {seconds:.0f} s", Exit.STALLED)
        suspended = self._watchdog.is_suspended(silent)
        if not suspended and self._launcher_watch.is_suspended():
            return self._launcher_stalled()  # processes that start wait for it
        doing = SUSPENDED if suspended else DOING[standing.phase]
        told = self._stacks(silent)
        return verdict.stalled(self._who(silent), standing.step, doing, seconds, told)

    def _stacks(self, first: int | None) -> str:
        """Of all processes that can still tell one, beginning with the one to blame, if any is."""
        phases = {rank: self._progress.of(rank).phase for rank in range(self._job.processes)}
        logs = {rank: self._job.log(rank) for rank in phases}
        sizes = self.abroad.ask_for_stacks(self._finished)
        pids = {rank: pid for pid, rank in self._own.ranks.items()}
        told = stacks.gather(self._own.running(), logs, first, pids)
        told |= stacks.read(logs, sizes)
        order = sorted(told, key=lambda rank: (rank != first, rank))
        return "\n".join(f"{self._who(r)}, {DOING[phases[r]]}:\n{told[r]}" for r in order)
