"""What a model says that a plan repeats: initialisers, updates, training, topology.

Plain data: a process reads it back from a plan without the compiler.
"""

from __future__ import annotations

from dataclasses import dataclass

from singac.layers.expression import Expression, evaluate
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


@dataclass(frozen=True, slots=True)
class Topology:
    """The cluster: groups and where servers live, and the framework it amounts to."""

    worker_groups: int
    workers_per_group: int
    server_groups: int
    servers_per_group: int
    separate: bool
    framework: str

    @property
    def workers(self) -> int:
        return self.worker_groups * self.workers_per_group

    @property
    def servers(self) -> int:
        return self.server_groups * self.servers_per_group

    @property
    def processes(self) -> int:
        return self.workers + self.servers if self.separate else max(self.workers, self.servers)


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
