"""The plan: everything a process needs to know, decided before anything runs.

Frozen data, readable as JSON, the same for the same text on every machine. A rank reads it without
the compiler. What it repeats of the model and of the partition is named here too, so that whoever
reads a plan needs no other file.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from singac.layers.exchange import Exchange as Exchange
from singac.layers.exchange import Part as Part
from singac.layers.operations import Operation
from singac.model.types import CLIP_SCALE as CLIP_SCALE
from singac.model.types import FOLLOW as FOLLOW
from singac.model.types import Every as Every
from singac.model.types import Initialiser as Initialiser
from singac.model.types import Reconcile as Reconcile
from singac.model.types import Saved as Saved
from singac.model.types import Schedule as Schedule
from singac.model.types import Seat as Seat
from singac.model.types import Topology as Topology
from singac.model.types import Training as Training
from singac.model.types import Update as Update
from singac.partition.chosen import Choice as Choice
from singac.partition.chosen import Chosen as Chosen
from singac.partition.machine import Machine as Machine
from singac.partition.space import LANES as LANES
from singac.partition.space import Layout as Layout
from singac.partition.space import Param as Param
from singac.partition.space import Slice as Slice
from singac.partition.space import padded as padded

FORMAT_VERSION = "1.0"


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


@dataclass(frozen=True, slots=True)
class Buffer:
    """A tensor's place: `offset` in bytes from the start of its space, 64-byte aligned.

    `first` and `last` are the positions in the program between which it must keep its contents.
    One of an unrolled layer has the rows of all its `steps`, one after another; delays and the like
    are rows of another buffer's memory (`layers/time.py`).
    """

    name: str
    space: Space
    offset: int
    rows: int
    columns: int
    layout: Layout = Layout.ROWS
    first: int = 0
    last: int = 0
    steps: int = 1

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


@dataclass(frozen=True, slots=True)
class Norm:
    """Wait as for a `Serve` of the slice, and tell all servers the sum of its squares."""

    slice: int


@dataclass(frozen=True, slots=True)
class Clip:
    """Wait for the squares of all slices, and set the factor that clips this step's gradient."""


@dataclass(frozen=True, slots=True)
class Send:
    """Hand what the other workers of the group need of `source` to them, in exchange `exchange`.

    Does not wait for them to take it. Both ends of an exchange have one tag, no other has it.
    """

    exchange: int
    tag: int
    source: Buffer


@dataclass(frozen=True, slots=True)
class Receive:
    """Wait for what the other workers have sent in an exchange; with the own part it makes `out`.

    `source` is None where this worker holds nothing that it wants.
    """

    exchange: int
    tag: int
    out: Buffer
    source: Buffer | None


Step = Feed | Run | Push | Pull | Serve | Norm | Clip | Send | Receive


@dataclass(frozen=True, slots=True)
class Stretch:
    """Operations between two exchanges, compiled to one native function.

    `buffers` are those the operations name. `rows` is the worker's part of a `batch`; a tensor of
    as many rows as the batch has all of it.
    """

    name: str
    rows: int
    operations: tuple[Operation, ...]
    buffers: tuple[Buffer, ...]
    scratch: int
    scratch_bytes: int
    batch: int = 0


@dataclass(frozen=True, slots=True)
class Input:
    """Field `field` of the data goes to `buffer`: the worker's rows, or those of a `whole` batch.

    Of its columns as many as the buffer has, from `column` on.
    """

    field: str
    buffer: Buffer
    column: int = 0
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """What one process does in one step of a phase (`train`, `test` or `serve`).

    The program of `test` serves validation too: it differs only in the part it is fed from. What is
    `carried` from one batch to the next is zero at the start of a part of the data.
    """

    phase: str
    steps: tuple[Step, ...]
    buffers: tuple[Buffer, ...]
    inputs: tuple[Input, ...]
    carried: tuple[Buffer, ...] = ()


# -- processes -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes a process touches in its steps; `mail` is what it sends to the workers of its group,
    `data` the order of its examples; these themselves are pages of files.

    `others` are not its own: gradients and mail that it reads where other processes of its node
    have them. The first process also fills all params and states there are. `tests` come on top
    when it tests: mail of their own. Where processes share no memory it is `messages` instead of
    all these: params and states whole, and what comes and goes.
    """

    arena: int
    params: int
    gradients: int
    states: int
    mail: int = 0
    data: int = 0
    others: int = 0
    tests: int = 0
    messages: int = 0

    @property
    def total(self) -> int:
        """In a node, tests included."""
        return self.steps + self.tests

    @property
    def steps(self) -> int:
        """In a node, without tests."""
        return self.own + self.others

    @property
    def own(self) -> int:
        return self.arena + self.params + self.gradients + self.states + self.mail + self.data


@dataclass(frozen=True, slots=True)
class Process:
    """A thread of process `rank`: the worker and the server it hosts (None: none), and programs.

    Workers and servers are numbered group by group. `first_row` and `rows` are the worker's part of
    each batch of its group. A server that has a thread of its own runs `serve` in it, for each of
    the worker groups that it serves. Bytes are those of a step in a node, tests apart; messages
    are so much `narrower` where gradients travel in another precision.
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
    serve: Program | None = None
    thread: int = 0
    narrower_sent: int = 0
    narrower_received: int = 0


# -- layers ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Held:
    """What worker `worker` of a group computes of a layer: rows of a batch, columns of each.

    On input these are partial sums over `inputs` columns of the source, from `input` on.
    """

    worker: int
    row: int
    rows: int
    column: int
    columns: int
    input: int = 0
    inputs: int = 0


@dataclass(frozen=True, slots=True)
class PlacedLayer:
    """A layer of the net and its pieces, for whoever reads the plan; nothing runs by it.

    `kind` is `field` for a field of the data, `place` where it is written (file:line:column), `cut`
    the dimension it is cut on. Sources that are `handed` over come from other workers, in part.
    `definition` says all of it that its name and its sources do not.
    """

    name: str
    kind: str
    sources: tuple[str, ...]
    shape: tuple[int, ...]
    params: tuple[str, ...]
    place: str
    cut: str
    pieces: tuple[Held, ...]
    handed: tuple[str, ...] = ()
    definition: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the program says what `what` is: the `batch`, `workers`, `servers` or `partition`."""

    what: str
    at: str


# -- the whole -------------------------------------------------------------------------------------


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
    """The examples: fields, and how many examples each part has (0: no such part).

    Of a text `vocabulary` is a digest of the tokens in the order of their numbers.
    """

    name: str
    fields: tuple[Field, ...]
    train: int
    test: int
    shuffle: bool
    validate: int = 0
    vocabulary: str = ""

    def examples(self, part: str) -> int:
        """How many examples `train`, `test` or `validate` has."""
        return {"train": self.train, "test": self.test, "validate": self.validate}[part]


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole run. Invariants are checked by `plan/verify.py` before anything runs.

    `chosen` tells what a partition left to the compiler; nothing runs by it.
    """

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
    layers: tuple[PlacedLayer, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    places: tuple[Place, ...] = ()
    chosen: Chosen | None = None

    @property
    def trains(self) -> bool:
        """Whether it is a plan of training, not of testing alone."""
        return any(p.train.steps for p in self.processes)

    @property
    def examples_a_step(self) -> int:
        """What all worker groups together read when each does a step."""
        return self.training.batch * self.topology.worker_groups

    @property
    def param_floats(self) -> int:
        """Size of the param space in floats."""
        return sum(p.floats for p in self.params)
