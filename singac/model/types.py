"""What a model says that a plan repeats: initialisers, updates, training, topology.

Plain data: a process reads it back from a plan without the compiler.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest

from singac.layers.expression import Expression, Scalar, Variable, add, evaluate, mul, sub
from singac.schedules import Schedule as Schedule

CLIP_SCALE = "clip_scale"


@dataclass(frozen=True, slots=True)
class Initialiser:
    """`gaussian(mean, std)` and its kin; `settings` has every setting, defaults filled in."""

    kind: str
    settings: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Saved:
    """A param starts as the one of its name in a checkpoint.

    Either the newest of the train block of net `train`, which has its own run folder beside that
    of this run, or the one that `path` means.
    """

    train: str = ""
    path: str = ""

    @property
    def key(self) -> str:
        """The train's name, or the path, which has a slash in it."""
        return self.train or self.path


@dataclass(frozen=True, slots=True)
class Update:
    """The updater as assigns over `w`, `g` and its states, done in order, element by element.

    `g` starts as the summed gradient; clipping and weight decay are among the assigns. Targets that
    are neither `w` nor a state are values of the moment. `states` have their initial values.
    `scalars` name the numbers the assigns read, each an expression of `rate`, `weight_decay` and
    `step` computed in double once a step: 1 - beta^step has few digits left in single precision.
    With a `clip_norm` (0: none) the scalar CLIP_SCALE brings the norm of the whole gradient below
    it; only the servers together know it, so it is set while a step runs.
    """

    name: str
    states: tuple[tuple[str, float], ...]
    assigns: tuple[tuple[str, Expression], ...]
    scalars: tuple[tuple[str, Expression], ...]
    rate: Schedule
    weight_decay: float
    clip_norm: float = 0.0

    def values(self, rate: float, weight_decay: float, step: int) -> tuple[float, ...]:
        """Values of `scalars` in update number `step`, counted from 1; scales are the caller's."""
        numbers = {"rate": rate, "weight_decay": weight_decay, "step": float(step), CLIP_SCALE: 1.0}
        return tuple(evaluate(expression, numbers) for _, expression in self.scalars)


# The update of a param that is measured: `g` is what was, and the param follows it.
FOLLOW = Update(
    name="follow",
    states=(),
    assigns=(("w", add(Variable("w"), mul(Scalar("share"), sub(Variable("g"), Variable("w"))))),),
    scalars=(("share", Scalar("share")),),
    rate=Schedule("fixed", (("rate", (1.0,)),)),
    weight_decay=0.0,
)


@dataclass(frozen=True, slots=True)
class Reconcile:
    """How server groups bring their progress together in one centre.

    delta      centre + d, the progress d of a group since it last asked
    average    centre + d / groups
    outer      a step of Nesterov's momentum along d / groups, with a rate of its own
    """

    kind: str = "delta"
    rate: float = 1.0
    momentum: float = 0.0


@dataclass(frozen=True, slots=True)
class Seat:
    """A thread of a process: the worker and the server that take turns in it."""

    rank: int
    thread: int
    worker: int | None
    server: int | None


@dataclass(frozen=True, slots=True)
class Topology:
    """The cluster: groups and where servers live, and the framework it amounts to.

    Workers are numbered group by group, and so are servers. A group may be `staleness` steps ahead
    of the slowest (None: any number).
    """

    worker_groups: int
    workers_per_group: int
    server_groups: int
    servers_per_group: int
    separate: bool
    framework: str
    workers_per_process: int = 1
    servers_per_process: int = 1
    sync_every: int = 1
    staleness: int | None = None
    reconcile: Reconcile = Reconcile()
    wire: str = "float32"

    @property
    def workers(self) -> int:
        return self.worker_groups * self.workers_per_group

    @property
    def servers(self) -> int:
        return self.server_groups * self.servers_per_group

    @property
    def processes(self) -> int:
        """How many processes MPI starts."""
        workers, servers = self._worker_ranks, -(-self.servers // self.servers_per_process)
        return workers + servers if self.separate else max(workers, servers)

    @property
    def _worker_ranks(self) -> int:
        return -(-self.workers // self.workers_per_process)

    @property
    def is_lone(self) -> bool:
        """Whether one thread does everything."""
        return self.workers == self.processes == 1 and self.servers == 1

    @property
    def asynchronous(self) -> bool:
        """Whether there are worker groups that do not wait for each other."""
        return self.worker_groups > 1

    @property
    def servers_in_threads(self) -> bool:
        """Whether servers have threads of their own, not turns with the workers of one group.

        They must where groups come and go as they like. They may where a process has several
        workers or servers, or where messages are not what lies in memory.
        """
        threads = self.workers_per_process > 1 or self.servers_per_process > 1
        return self.asynchronous or threads or self.wire != "float32"

    def rank_of_worker(self, worker: int) -> int:
        return worker // self.workers_per_process

    def rank_of_server(self, server: int) -> int:
        first = self._worker_ranks if self.separate else 0
        return first + server // self.servers_per_process

    def group_of_worker(self, worker: int) -> int:
        return worker // self.workers_per_group

    def member(self, worker: int) -> int:
        """A worker's number in its group."""
        return worker % self.workers_per_group

    def group_of_server(self, server: int) -> int:
        return server // self.servers_per_group

    def served_by(self, worker_group: int) -> int:
        """The server group that a worker group talks to."""
        return worker_group * self.server_groups // self.worker_groups

    def groups_of(self, server_group: int) -> tuple[int, ...]:
        """The worker groups that a server group serves."""
        return tuple(g for g in range(self.worker_groups) if self.served_by(g) == server_group)

    def in_memory(self, worker_group: int) -> bool:
        """Whether a group and all its servers are threads of one process."""
        size, servers = self.workers_per_group, self.servers_per_group
        first = self.served_by(worker_group) * servers
        ranks = [self.rank_of_worker(worker_group * size + k) for k in range(size)]
        ranks += [self.rank_of_server(first + k) for k in range(servers)]
        return len(dict.fromkeys(ranks)) == 1

    def seats(self) -> tuple[Seat, ...]:
        """All threads, those of a process together; its first worker sits with its first server."""
        workers: list[list[int]] = [[] for _ in range(self.processes)]
        servers: list[list[int]] = [[] for _ in range(self.processes)]
        for worker in range(self.workers):
            workers[self.rank_of_worker(worker)].append(worker)
        for server in range(self.servers):
            servers[self.rank_of_server(server)].append(server)
        found = []
        for rank, own in enumerate(zip(workers, servers, strict=True)):
            for thread, (worker, server) in enumerate(zip_longest(*own)):
                found.append(Seat(rank, thread, worker, server))
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Every:
    """`every(n, steps = s, after = a, keep = k)`; 0: never, all steps, from the start, keep all."""

    every: int = 0
    steps: int = 0
    after: int = 0
    keep: int = 0

    def due(self, step: int) -> bool:
        """Whether it falls due after `step` steps are done."""
        return (
            self.every > 0 and step >= max(self.after, 1) and (step - self.after) % self.every == 0
        )


@dataclass(frozen=True, slots=True)
class Training:
    """A train block: `steps` in all, `batch` examples a step and worker group.

    Algorithms of energy models take `gibbs` Gibbs steps in one of training.

    It ends before when `early_stop` validations in a row were no better than the best (0: never).
    The states of the layers in `carry` go on from batch to batch: these are successive then, row b
    of a batch going on where row b of the one before ends.
    """

    net: str
    algorithm: str
    batch: int
    steps: int
    seed: int
    display: Every
    test: Every
    checkpoint: Every
    validate: Every = Every()
    early_stop: int = 0
    gibbs: int = 0
    carry: tuple[str, ...] = ()
