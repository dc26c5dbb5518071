"""A small plan made by hand: softmax regression, data-parallel, for any placing of processes."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from singac.layers.expression import Scalar, Variable, add, mul, sub
from singac.layers.operations import (
    Assign,
    ColumnSum,
    Hits,
    Operation,
    Pointwise,
    Product,
    Role,
    SoftmaxLoss,
)
from singac.plan.plan import (
    CLIP_SCALE,
    FORMAT_VERSION,
    Buffer,
    Clip,
    Data,
    Every,
    Exchange,
    Feed,
    Field,
    Initialiser,
    Input,
    Layout,
    Memory,
    Norm,
    Param,
    Part,
    Plan,
    Process,
    Program,
    Pull,
    Push,
    Receive,
    Run,
    Schedule,
    Send,
    Serve,
    Slice,
    Space,
    Step,
    Stretch,
    Topology,
    Training,
    Update,
    metric_buffer,
    padded,
)

FEATURES, CLASSES, BATCH = 20, 10, 24
TRAIN, TEST, VALIDATE = 100, 50, 30
NEVER = Every()


def save_data(folder: Path) -> None:
    """Points around one centre a class: learnt in a few dozen steps."""
    random = np.random.default_rng(1)
    centres = random.normal(size=(CLASSES, FEATURES))
    for part, examples in (("train", TRAIN), ("test", TEST), ("validate", VALIDATE)):
        labels = random.integers(0, CLASSES, examples)
        points = centres[labels] + 0.3 * random.normal(size=(examples, FEATURES))
        np.save(folder / f"{part}.x.npy", points.astype(np.float32))
        np.save(folder / f"{part}.label.npy", labels.astype(np.float32).reshape(-1, 1))


def plan(
    workers: int,
    servers: int,
    separate: bool = False,
    steps: int = 20,
    seed: int = 3,
    display: Every = NEVER,
    test: Every = NEVER,
    checkpoint: Every = NEVER,
    rate: float = 0.1,
    validate: Every = NEVER,
    early_stop: int = 0,
    clip_norm: float = 0.0,
    exchanges: bool = False,
) -> Plan:
    """`exchanges`: all workers gather the gradients of the scores and have their own given back."""
    topology = Topology(1, workers, 1, servers, separate, "allreduce")
    params = _params()
    slices = _slices(params, servers)
    rows = _shares(BATCH, workers)
    stretches = tuple(s for r in dict.fromkeys(rows) for s in _stretches(r, params))
    processes = tuple(
        _process(rank, topology, rows, slices, params, clip_norm > 0)
        for rank in range(topology.processes)
    )
    if exchanges:
        processes = tuple(_exchanging(p) for p in processes)
    return Plan(
        format_version=FORMAT_VERSION,
        digest=f"{workers} workers, {servers} servers",
        net="regression",
        partition="none",
        topology=topology,
        training=Training(
            "regression", "bp", BATCH, steps, seed, display, test, checkpoint, validate, early_stop
        ),
        data=Data("points", _fields(), TRAIN, TEST, True, VALIDATE),
        metrics=("loss", "accuracy"),
        params=params,
        slices=slices,
        update=_momentum(rate, clip_norm),
        stretches=stretches,
        processes=processes,
        exchanges=_exchanges(rows) if exchanges else (),
    )


def _exchanges(rows: list[int]) -> tuple[Exchange, ...]:
    """Rows to all workers, and back from the first alone; in training, then in testing."""
    firsts = [sum(rows[:k]) for k in range(len(rows))]
    own = tuple(Part(f, n, 0, CLASSES) for f, n in zip(firsts, rows, strict=True))
    whole = Part(0, BATCH, 0, CLASSES)
    gather = Exchange("gather", own, (whole,) * len(rows))
    back = Exchange("back", (whole, *(Part(0, 0, 0, 0) for _ in rows[1:])), own)
    return (gather, back, gather, back)


def _exchanging(process: Process) -> Process:
    if process.worker is None or process.test is None:
        return process
    name = {"train": "dy", "test": "y"}
    own = {b.name: b for b in process.train.buffers}
    gathered = Buffer("all", Space.ARENA, 1 << 19, BATCH, CLASSES)
    programs = []
    for first, program in ((0, process.train), (2, process.test)):
        mine = own[name[program.phase]]
        ends: list[Step] = [Send(first, first, mine), Receive(first, first, gathered, mine)]
        ends += [Send(first + 1, first + 1, gathered)] if process.worker == 0 else []
        source = gathered if process.worker == 0 else None
        ends.append(Receive(first + 1, first + 1, mine, source))
        at = next(k for k, s in enumerate(program.steps) if isinstance(s, Run)) + 1
        steps = (*program.steps[:at], *ends, *program.steps[at:])
        programs.append(replace(program, steps=steps, buffers=(*program.buffers, gathered)))
    return replace(process, train=programs[0], test=programs[1])


def _fields() -> tuple[Field, ...]:
    return (Field("x", (FEATURES,)), Field("label", (1,)))


def _params() -> tuple[Param, ...]:
    floats = math.ceil(CLASSES / 16) * FEATURES * 16
    gaussian = Initialiser("gaussian", (("mean", 0.0), ("std", 0.1)))
    constant = Initialiser("constant", (("value", 0.0),))
    return (
        Param("fc/w", (FEATURES, CLASSES), Layout.PANELS, 0, floats, gaussian),
        Param("fc/b", (CLASSES,), Layout.ROWS, floats, 16, constant, lr_scale=2.0),
    )


def _momentum(rate: float, clip_norm: float) -> Update:
    w, g, v = Variable("w"), Variable("g"), Variable("v")
    clipped = (("g", mul(g, Scalar(CLIP_SCALE))),) if clip_norm else ()
    velocity = sub(mul(Scalar("keep"), v), mul(Scalar("rate"), g))
    scale = ((CLIP_SCALE, Scalar(CLIP_SCALE)),) if clip_norm else ()
    scalars = (("rate", Scalar("rate")), ("keep", _constant(0.9)), *scale)
    schedule = Schedule("fixed", (("rate", (rate,)),))
    assigns = (*clipped, ("v", velocity), ("w", add(w, v)))
    return Update("momentum", (("v", 0.0),), assigns, scalars, schedule, 0.0, clip_norm)


def _constant(value: float) -> Scalar:
    from singac.layers.expression import number

    return number(value)  # type: ignore[return-value]


def _slices(params: tuple[Param, ...], servers: int) -> tuple[Slice, ...]:
    vectors = sum(p.floats for p in params) // 16
    bounds = np.cumsum([0, *_shares(vectors, servers)]) * 16
    found = []
    for number, param in enumerate(params):
        for server in range(servers):
            start = max(param.start, int(bounds[server]))
            stop = min(param.start + param.floats, int(bounds[server + 1]))
            if start < stop:
                found.append(Slice(number, server, start, stop))
    return tuple(found)


def _shares(total: int, parts: int) -> list[int]:
    return [total // parts + (k < total % parts) for k in range(parts)]


def _buffers(rows: int, params: tuple[Param, ...]) -> dict[str, Buffer]:
    buffers = {
        "w": Buffer("w", Space.PARAMS, 0, FEATURES, CLASSES, Layout.PANELS),
        "b": Buffer("b", Space.PARAMS, params[1].start * 4, 1, CLASSES),
        "dw": Buffer("dw", Space.GRADIENTS, 0, FEATURES, CLASSES, Layout.PANELS),
        "db": Buffer("db", Space.GRADIENTS, params[1].start * 4, 1, CLASSES),
        metric_buffer("loss"): Buffer(metric_buffer("loss"), Space.METRICS, 0, 1, 1),
        metric_buffer("accuracy"): Buffer(metric_buffer("accuracy"), Space.METRICS, 8, 1, 1),
    }
    offset = 0
    for name, columns in (("x", FEATURES), ("label", 1), ("y", CLASSES), ("dy", CLASSES)):
        buffers[name] = Buffer(name, Space.ARENA, offset, rows, columns)
        offset += rows * padded(columns) * 4
    return buffers


def _stretches(rows: int, params: tuple[Param, ...]) -> tuple[Stretch, Stretch, Stretch]:
    """Forward with gradient of the scores; gradients of the params; forward alone."""
    buffers = _buffers(rows, params)
    bias = Pointwise("y", (Assign("y", add(Variable("y"), Variable("b"))),))
    scores = Product(Role.FORWARD, "y", "x", "w", then=bias)
    hits = Hits("accuracy", "y", "label", 1)
    train = (scores, SoftmaxLoss("loss", "y", "label", "dy", 1 / BATCH), hits)
    backward = (Product(Role.WEIGHT_GRADIENT, "dw", "x", "dy"), ColumnSum("db", "dy"))
    test = (scores, SoftmaxLoss("loss", "y", "label", None, 1.0), hits)
    return (
        _stretch("forward", rows, train, buffers),
        _stretch("backward", rows, backward, buffers),
        _stretch("test", rows, test, buffers),
    )


def _stretch(
    name: str, rows: int, operations: tuple[Operation, ...], buffers: dict[str, Buffer]
) -> Stretch:
    return Stretch(name, rows, operations, tuple(buffers.values()), 1 << 16, 1 << 20)


def _process(
    rank: int,
    topology: Topology,
    rows: list[int],
    slices: tuple[Slice, ...],
    params: tuple[Param, ...],
    clips: bool,
) -> Process:
    worker = rank if rank < topology.workers else None
    server: int | None = rank - topology.workers if topology.separate else rank
    if server is not None and not 0 <= server < topology.servers:
        server = None
    own = [k for k, s in enumerate(slices) if s.server == server]
    serves: list[Step] = [Serve(k) for k in reversed(own)]
    if clips and serves:
        serves = [*(Norm(k) for k in own), Clip(), *serves]
    first = sum(rows[:worker]) if worker is not None else 0
    part = rows[worker] if worker is not None else 0
    train, test = _programs(part, rows, serves, params)
    floats = sum(p.floats for p in params)
    return Process(
        rank, worker, server, first, part, train, test,
        Memory(2 << 20, floats * 4, floats * 4, floats * 4), 0, 0, 0,
    )  # fmt: skip


def _programs(
    own: int, rows: list[int], serves: list[Step], params: tuple[Param, ...]
) -> tuple[Program, Program | None]:
    if not own:
        return Program("train", tuple(serves), (), ()), None
    kind = list(dict.fromkeys(rows)).index(own) * 3
    buffers = _buffers(own, params)
    inputs = (Input("x", buffers["x"]), Input("label", buffers["label"]))
    begin: list[Step] = [Feed(), Pull(0), Pull(1)]
    train = [*begin, Run(kind), Run(kind + 1), Push(1), Push(0), *serves]
    test = [*begin, Run(kind + 2)]
    arena = tuple(b for b in buffers.values() if b.space is Space.ARENA)
    return (
        Program("train", tuple(train), arena, inputs),
        Program("test", tuple(test), arena, inputs),
    )
