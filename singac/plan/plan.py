"""The plan: everything a process needs to know, decided before anything runs.

Frozen data, readable as JSON, the same for the same text on every machine. A rank reads it without
the compiler. Floats of a param lie in *panels of 16 columns*, so that one layout serves the three
products of a dense layer:

    canonical [in, out]              packed [ceil(out / 16)][in][16]
    row 0  | 0..15 | 16..19          panel 0: row 0 | row 1 | ...     columns  0..15
    row 1  | 0..15 | 16..19          panel 1: row 0 | row 1 | ...     columns 16..19, then zeros
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from singac.layers.expression import Expression, evaluate
from singac.layers.operations import Operation

FORMAT_VERSION = "1.0"
LANES = 16  # floats of a vector of generated code; rows of buffers and panels are padded to it


def padded(columns: int) -> int:
    """Columns rounded up to whole vectors."""
    return -(-columns // LANES) * LANES


def metric_buffer(metric: str) -> str:
    """Name of the buffer of a metric; no layer can be called so."""
    return f"metric:{metric}"


class Space(StrEnum):
    """Where a buffer lies.

    arena      memory of one process, placed by lifetime
    params     the param space: all params end to end, one copy a node
    gradients  one worker's gradients, laid out as the param space
    metrics    one double a metric
    """

    ARENA = "arena"
    PARAMS = "params"
    GRADIENTS = "gradients"
    METRICS = "metrics"


class Layout(StrEnum):
    """How the elements of a buffer lie: `rows` each padded to whole vectors, or `panels`."""

    ROWS = "rows"
    PANELS = "panels"


@dataclass(frozen=True, slots=True)
class Buffer:
    """A tensor's place: `offset` in bytes from the start of its space, 64-byte aligned.

    `first` and `last` are the positions in the program between which it must keep its contents.
    """

    name: str
    space: Space
    offset: int
    rows: int
    columns: int
    layout: Layout = Layout.ROWS
    first: int = 0
    last: int = 0

    @property
    def stride(self) -> int:
        """Floats from one row to the next (of a panel: 16)."""
        return LANES if self.layout is Layout.PANELS else padded(self.columns)

    @property
    def floats(self) -> int:
        return self.rows * padded(self.columns)


# -- steps of a program ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Feed:
    """Copy the worker's rows of the next batch into the buffers of the fields."""


@dataclass(frozen=True, slots=True)
class Run:
    """Call stretch `stretch` of the plan, one native function."""

    stretch: int


@dataclass(frozen=True, slots=True)
class Push:
    """The worker's gradient of param `param` is complete: hand it to the servers of its slices."""

    param: int


@dataclass(frozen=True, slots=True)
class Pull:
    """Wait until every slice of param `param` has had all updates of the steps before this one."""

    param: int


@dataclass(frozen=True, slots=True)
class Serve:
    """Wait for every worker's gradient of slice `slice`, sum in worker order, update, publish."""

    slice: int


Step = Feed | Run | Push | Pull | Serve


@dataclass(frozen=True, slots=True)
class Stretch:
    """Operations between two exchanges, compiled to one native function.

    `buffers` are those the operations name. `rows` is the worker's part of a batch.
    """

    name: str
    rows: int
    operations: tuple[Operation, ...]
    buffers: tuple[Buffer, ...]
    scratch: int
    scratch_bytes: int


@dataclass(frozen=True, slots=True)
class Input:
    """Field `field` of the data goes to `buffer`."""

    field: str
    buffer: Buffer


@dataclass(frozen=True, slots=True)
class Program:
    """What one process does in one step of a phase (`train` or `test`)."""

    phase: str
    steps: tuple[Step, ...]
    buffers: tuple[Buffer, ...]
    inputs: tuple[Input, ...]


# -- params and servers ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Initialiser:
    """`gaussian(mean, std)` and its kin; `settings` has every setting, defaults filled in."""

    kind: str
    settings: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Param:
    """A param: canonical shape and its place in the param space, `start` and `floats` in floats."""

    name: str
    shape: tuple[int, ...]
    layout: Layout
    start: int
    floats: int
    initialiser: Initialiser
    lr_scale: float = 1.0
    wd_scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Slice:
    """Floats `start` to `stop` of the param space, all of param `param`, owned by `server`."""

    param: int
    server: int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """A learning rate as a function of the step: a row of `singac/schedules.py` and its settings."""

    kind: str
    settings: tuple[tuple[str, tuple[float, ...]], ...]


@dataclass(frozen=True, slots=True)
class Update:
    """The updater as assigns over `w`, `g` and its states, done in order, element by element.

    `g` starts as the summed gradient; clipping and weight decay are among the assigns. Targets that
    are neither `w` nor a state are values of the moment. `states` have their initial values.
    `scalars` name the numbers the assigns read, each an expression of `rate`, `weight_decay` and
    `step` computed in double once a step: 1 - beta^step has few digits left in single precision.
    """

    name: str
    states: tuple[tuple[str, float], ...]
    assigns: tuple[tuple[str, Expression], ...]
    scalars: tuple[tuple[str, Expression], ...]
    rate: Schedule
    weight_decay: float

    def values(self, rate: float, weight_decay: float, step: int) -> tuple[float, ...]:
        """Values of `scalars` in update number `step`, counted from 1; scales are the caller's."""
        numbers = {"rate": rate, "weight_decay": weight_decay, "step": float(step)}
        return tuple(evaluate(expression, numbers) for _, expression in self.scalars)


# -- processes -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes a process holds."""

    arena: int
    params: int
    gradients: int
    states: int

    @property
    def total(self) -> int:
        return self.arena + self.params + self.gradients + self.states


@dataclass(frozen=True, slots=True)
class Process:
    """One rank: the worker and the server it hosts (None: none), and its programs.

    `first_row` and `rows` are the worker's part of each batch.
    """

    rank: int
    worker: int | None
    server: int | None
    first_row: int
    rows: int
    train: Program
    test: Program | None
    memory: Memory
    flops: int
    bytes_sent: int
    bytes_received: int


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


# -- data and training -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the data: its shape an example, and `(raw * scale - mean) / std` on reading."""

    name: str
    shape: tuple[int, ...]
    scale: float = 1.0
    mean: float = 0.0
    std: float = 1.0


@dataclass(frozen=True, slots=True)
class Data:
    """The examples: fields, and how many examples each part has (0: no such part)."""

    name: str
    fields: tuple[Field, ...]
    train: int
    test: int
    shuffle: bool


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
    """A train block: `steps` in all, `batch` examples a step and worker group."""

    net: str
    algorithm: str
    batch: int
    steps: int
    seed: int
    display: Every
    test: Every
    checkpoint: Every


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole run. Invariants are checked by `plan/verify.py` before anything runs."""

    format_version: str
    digest: str
    net: str
    partition: str
    topology: Topology
    training: Training
    data: Data
    metrics: tuple[str, ...]
    params: tuple[Param, ...]
    slices: tuple[Slice, ...]
    update: Update
    stretches: tuple[Stretch, ...]
    processes: tuple[Process, ...]

    @property
    def param_floats(self) -> int:
        """Size of the param space in floats."""
        return sum(p.floats for p in self.params)
