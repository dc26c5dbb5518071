"""Parts of a plan as text: its header, one process in full, tables and words for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from singac.plan.plan import (
    Buffer,
    Clip,
    Data,
    Feed,
    Norm,
    Plan,
    Process,
    Pull,
    Push,
    Receive,
    Reconcile,
    Run,
    Send,
    Serve,
    Space,
    Step,
    Topology,
    Training,
)

FLOAT_BYTES = 4


def show_process(plan: Plan, rank: int) -> str:
    """One process: costs, program step by step and buffers of each of its threads."""
    parts = [header(plan)]
    for process in plan.processes:
        if process.rank == rank:
            parts += [_process_lines(process), program(plan, process), _buffers(process)]
    return "\n\n".join(p for p in parts if p) + "\n"


def _buffers(process: Process) -> str:
    buffers = [
        (b.name, f"{b.rows} x {b.columns}", _bytes(b), b.offset, f"{b.first} to {b.last}")
        for b in sorted(process.train.buffers, key=lambda b: b.offset)
        if b.space is Space.ARENA
    ]
    text = table(("buffer", "shape", "bytes", "offset", "kept"), buffers)
    return f"{text}\n(offsets in bytes; kept between two operations of the step, by number)"


def _bytes(buffer: Buffer) -> str:
    return size(buffer.floats * FLOAT_BYTES)


def header(plan: Plan) -> str:
    """What is trained, on how many processes."""
    topology, training = plan.topology, plan.training
    return "\n".join(
        (
            f"net {plan.net}, partition {plan.partition}, {topology.framework}",
            *_who(topology),
            f"batch {training.batch}, {training.steps:,} steps of {_algorithm(training)}, "
            f"{plan.update.name}, seed {training.seed}; "
            f"{_examples(plan.data)}",
        )
    )


def _examples(data: Data) -> str:
    if not data.train:
        return "data that is not there yet"
    validate = f", {data.validate:,} to validate" if data.validate else ""
    return f"{data.train:,} examples to train, {data.test:,} to test{validate}"


def _algorithm(training: Training) -> str:
    return f"{training.algorithm}({training.gibbs})" if training.gibbs else training.algorithm


def _who(topology: Topology) -> list[str]:
    """How many there are of whom; groups where there are several, and how they keep together."""
    where = "in processes of their own" if topology.separate else "beside the workers"
    processes = count(topology.processes, "process", "processes")
    if not topology.asynchronous:
        workers, servers = count(topology.workers, "worker"), count(topology.servers, "server")
        return [f"{processes}: {workers}, {servers} {where}"]
    workers = f"{topology.worker_groups} worker groups of {topology.workers_per_group}"
    servers = f"{count(topology.server_groups, 'server group')} of {topology.servers_per_group}"
    bound = topology.staleness
    ahead = "any number of steps" if bound is None else f"at most {count(bound, 'step')}"
    lines = [f"{processes}: {workers}, {servers} {where}", f"a group may be {ahead} ahead"]
    if topology.server_groups > 1:
        every = count(topology.sync_every, "step")
        lines[1] += f"; server groups reconcile every {every} ({_reconcile(topology.reconcile)})"
    return lines


def _reconcile(how: Reconcile) -> str:
    settings = f", rate {how.rate:g}, momentum {how.momentum:g}"
    return how.kind + settings * (how.kind == "outer")


def owners(plan: Plan, param: int) -> dict[int, str]:
    """The servers that own a param, each with how much of it if not all: `1 (30%)`."""
    floats: dict[int, int] = {}
    for piece in plan.slices:
        if piece.param == param:
            floats[piece.server] = floats.get(piece.server, 0) + piece.floats
    whole = plan.params[param].floats
    return {k: f"{k}" if n == whole else f"{k} ({n / whole:.0%})" for k, n in floats.items()}


def member(number: int | None, size: int, groups: int) -> str:
    """A worker or server; `group.number` where there are several groups."""
    if number is None:
        return "-"
    return str(number) if groups == 1 else f"{number // size}.{number % size}"


def _process_lines(process: Process) -> str:
    memory = process.memory
    sent, received = process.narrower_sent, process.narrower_received
    narrower = f"in messages {size(sent)} and {size(received)} less" if sent or received else ""
    return "\n".join(
        (
            f"process {process.rank}: arena {size(memory.arena)}, params {size(memory.params)}, "
            f"gradients {size(memory.gradients)}, states {size(memory.states)}, "
            f"mail {size(memory.mail)}, of others {size(memory.others)}",
            f"order of the data {size(memory.data)}; where processes share no memory "
            f"{size(memory.messages)} in all",
            f"a step: {process.flops / 1e6:,.2f} MFLOP, {size(process.bytes_sent)} sent, "
            f"{size(process.bytes_received)} received" + (f"; {narrower}" if narrower else ""),
        )
    )


def imbalance(plan: Plan) -> float:
    """The most loaded process over the mean, by floating-point operations a step."""
    loads = [p.flops for p in plan.processes]
    return max(loads) * len(loads) / max(sum(loads), 1)


def program(plan: Plan, process: Process) -> str:
    """The steps of a process in order, and those of a server with a thread of its own."""
    lines = []
    if process.worker is not None or process.serve is None:
        lines = [f"a training step of process {process.rank}"]
        lines += [f"  {line}" for line in _lines(plan, process.train.steps)]
    if process.serve is not None:
        lines.append(f"for each worker group, server {process.server} in a thread of its own")
        lines += [f"  {line}" for line in _lines(plan, process.serve.steps)]
    return "\n".join(lines)


def _lines(plan: Plan, steps: Sequence[Step]) -> list[str]:
    """Steps in order, neighbours of one kind on one line."""
    lines: list[str] = []
    verb = ""
    for step in steps:
        this, what = words(plan, step)
        if this == verb and this != "run":
            lines[-1] += f", {what}"
        else:
            lines.append(f"{this:<6}{what}".rstrip())
        verb = this
    return lines


def words(plan: Plan, step: Step) -> tuple[str, str]:
    """A verb for a step, and what it is done to."""
    match step:
        case Feed():
            return "feed", ", ".join(f.name for f in plan.data.fields)
        case Pull(param):
            return "pull", plan.params[param].name
        case Push(param):
            return "push", plan.params[param].name
        case Serve(index):
            piece = plan.slices[index]
            return "serve", plan.params[piece.param].name
        case Norm(index):
            return "norm", plan.params[plan.slices[index].param].name
        case Clip():
            return "clip", ""
        case Send(index):
            return "send", plan.exchanges[index].name
        case Receive(index):
            return "take", plan.exchanges[index].name
        case Run(stretch):
            return "run", plan.stretches[stretch].name.partition(": ")[2]


# -- words -----------------------------------------------------------------------------------------


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 worker`, `4 workers`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def size(number: int) -> str:
    """Bytes in the unit a reader wants: 512 B, 36.1 KB, 1.2 MB."""
    amount = float(number)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1024 or unit == "GB":
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError("the loop returns at the last unit")


def table(head: Sequence[str], rows: Iterable[Sequence[object]], right: bool = True) -> str:
    """Columns of text, the first and last to the left, those between to the right if `right`."""
    cells = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(head))]
    return "\n".join(_row(row, widths, right) for row in cells)


def _row(cells: Sequence[str], widths: Sequence[int], right: bool) -> str:
    last = len(cells) - 1
    aligned = [
        c.rjust(w) if right and 0 < k < last else c.ljust(w)
        for k, (c, w) in enumerate(zip(cells, widths, strict=True))
    ]
    return "  ".join(aligned).rstrip()
