"""All programs of a plan, held against each other before anything runs.

What is found here is a fault of the compiler, or of a plan that was tampered with: each kind has a
name of its own. A run of a verified plan cannot wait for ever on a process that is alive.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import heappop, heappush

from singac.layers.access import is_carried, reads, writes
from singac.layers.operations import Operation
from singac.layers.time import base_of, shift_of
from singac.plan.deadlock import no_deadlock
from singac.plan.ends import parts_match
from singac.plan.faults import (
    BufferOutside,
    CutInsideVector,
    DuplicatePush,
    DuplicateServe,
    EarlyPush,
    MissingPull,
    MissingPush,
    MissingServe,
    OverlappingBuffers,
    StrayBuffer,
    StrayGradient,
    TwoOwners,
    UnclippedServe,
    UnownedParam,
    UnwrittenBuffer,
)
from singac.plan.items import gradient_of
from singac.plan.plan import (
    LANES,
    Buffer,
    Clip,
    Feed,
    Norm,
    Param,
    Plan,
    Process,
    Program,
    Pull,
    Push,
    Receive,
    Run,
    Send,
    Serve,
    Space,
    Step,
    Stretch,
    padded,
)

FLOAT_BYTES = 4


def verify(plan: Plan) -> None:
    """Raises the first BrokenPlan that is found; checks every process and their exchanges."""
    _slices_cover_params(plan)
    for process in plan.processes:
        for program in (process.train, process.test):
            if program is not None and process.worker is not None:
                _buffers_apart(process, program)
                _buffers_agree(plan, process, program)
                _operations_in_order(plan, process, program)
    _exchanges_match(plan)
    _norm_is_whole(plan)
    for phase in ("train", "test"):
        parts_match(plan, phase)
        no_deadlock(plan, phase)


def _slices_cover_params(plan: Plan) -> None:
    for index, param in enumerate(plan.params):
        at = param.start
        own = sorted((s.start, s.stop) for s in plan.slices if s.param == index)
        for start, stop in own:
            if start % LANES or stop % LANES:
                raise CutInsideVector(f"{param.name} is cut at float {start} or {stop}")
            if start < at:
                raise TwoOwners(f"floats {start} to {at} of {param.name} have two owners")
            if start > at:
                raise UnownedParam(f"floats {at} to {start} of {param.name} have no owner")
            at = stop
        end = param.start + param.floats
        if at < end:
            raise UnownedParam(f"floats {at} to {end} of {param.name} have no owner")
        if at > end:
            raise TwoOwners(f"a slice of {param.name} goes on after its end, {end}")


def _buffers_apart(process: Process, program: Program) -> None:
    arena = [b for b in program.buffers if b.space is Space.ARENA]
    for buffer in arena:
        if _end(buffer) > process.memory.arena:
            raise BufferOutside(f"{buffer.name} of process {process.rank} ends past its arena")
    _Memory(process).check(arena)


@dataclass(frozen=True, slots=True)
class _Tensor:
    """Bytes `start` to `end` that a tensor takes, delays and other rows of it together."""

    name: str
    start: int
    end: int
    first: int
    last: int


def _tensors(buffers: Sequence[Buffer]) -> list[_Tensor]:
    parts: dict[str, list[Buffer]] = {}
    for buffer in buffers:
        parts.setdefault(base_of(buffer.name), []).append(buffer)
    return [
        _Tensor(
            name,
            min(b.offset for b in own),
            max(_end(b) for b in own),
            min(b.first for b in own),
            max(b.last for b in own),
        )
        for name, own in parts.items()
    ]


class _Memory:
    """Buffers alive at one moment of a program, by offset: each must end before the next."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.alive: list[tuple[int, int, str]] = []  # offset, end, name
        self.ends: list[tuple[int, tuple[int, int, str]]] = []  # last position, and which

    def check(self, buffers: Sequence[Buffer]) -> None:
        for buffer in sorted(_tensors(buffers), key=lambda b: b.first):
            while self.ends and self.ends[0][0] < buffer.first:
                gone = heappop(self.ends)[1]
                del self.alive[bisect_left(self.alive, gone)]
            self._add(buffer)

    def _add(self, buffer: _Tensor) -> None:
        taken = (buffer.start, buffer.end, buffer.name)
        at = bisect_left(self.alive, taken)
        for other in self.alive[max(at - 1, 0) : at + 1]:
            if _touch(taken[:2], other[:2]):
                raise OverlappingBuffers(
                    f"{other[2]} and {buffer.name} of process {self.process.rank} share memory"
                )
        self.alive.insert(at, taken)
        heappush(self.ends, (buffer.last, taken))


def _touch(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether two stretches of memory share a byte."""
    return a[0] < b[1] and b[0] < a[1]


def _buffers_agree(plan: Plan, process: Process, program: Program) -> None:
    """What a stretch was compiled for is what the process has."""
    own = {b.name: replace(b, first=0, last=0) for b in program.buffers}
    params = {name: p for p in plan.params for name in (p.name, gradient_of(p.name))}
    for step in program.steps:
        for buffer in _exchanged(step):
            if own.get(buffer.name) != buffer:
                raise StrayBuffer(f"an exchange has another place for {buffer.name}")
    for buffer in own.values():
        if buffer.name in params and not _lies_in(buffer, params[buffer.name]):
            raise StrayBuffer(f"{buffer.name} does not lie where its param lies")
    for stretch in _stretches(plan, program):
        if stretch.rows != process.rows:
            raise StrayBuffer(f"`{stretch.name}` is not for the rows of process {process.rank}")
        for buffer in stretch.buffers:
            if own.get(buffer.name) != buffer:
                raise StrayBuffer(f"`{stretch.name}` has another place for {buffer.name}")
    _scratch_apart(plan, process, program)


def _lies_in(buffer: Buffer, param: Param) -> bool:
    """Whether a buffer is a param, or a part of it that lies on end."""
    start, end = param.start * FLOAT_BYTES, (param.start + param.floats) * FLOAT_BYTES
    if (buffer.rows, buffer.columns) == param.matrix:
        return buffer.offset == start
    used = buffer.floats if buffer.rows > 1 else buffer.columns
    return start <= buffer.offset and buffer.offset + used * FLOAT_BYTES <= end


def _exchanged(step: Step) -> tuple[Buffer, ...]:
    match step:
        case Send(source=source) | Receive(out=source, source=None):
            return (source,)
        case Receive(_, _, out, source):
            assert source is not None, "where there is none is told above"
            return (out, source)
    return ()


def _scratch_apart(plan: Plan, process: Process, program: Program) -> None:
    """Scratch is nobody else's for the whole step."""
    stretches = _stretches(plan, program)
    places = dict.fromkeys((s.scratch, s.scratch + s.scratch_bytes) for s in stretches)
    for scratch in places:
        if scratch[1] > process.memory.arena:
            raise BufferOutside(f"scratch of process {process.rank} ends past its arena")
        for buffer in program.buffers:
            if buffer.space is Space.ARENA and _touch(scratch, (buffer.offset, _end(buffer))):
                raise OverlappingBuffers(f"{buffer.name} lies in scratch")


def _stretches(plan: Plan, program: Program) -> list[Stretch]:
    return [plan.stretches[s.stretch] for s in program.steps if isinstance(s, Run)]


def _end(buffer: Buffer) -> int:
    return buffer.offset + buffer.floats * FLOAT_BYTES


def _operations_in_order(plan: Plan, process: Process, program: Program) -> None:
    """Nothing is read before it is written, pulled or fed, and nothing touched after its push."""
    names = {p.name for p in plan.params}
    parts = {b.name for b in program.buffers if b.space is Space.PARAMS}
    written = set(names)
    written |= {b.name for b in program.buffers if b.space is Space.METRICS}
    written |= {b.name for b in program.carried}
    lone = len(plan.processes) == 1
    pulled = set(names) if lone else set()
    pushed: set[str] = set()
    for step in program.steps:
        match step:
            case Feed():
                written.update(i.buffer.name for i in program.inputs)
            case Pull(param):
                pulled.add(plan.params[param].name)
            case Push(param):
                name = plan.params[param].name
                if name in parts:
                    _check_read(gradient_of(name), written, process)
                pushed |= {name, gradient_of(name)}
            case Send(_, _, source):
                _check_read(source.name, written, process)
            case Receive(_, _, out, source):
                if source is not None:
                    _check_read(source.name, written, process)
                written.add(out.name)
            case Run(stretch):
                for operation in plan.stretches[stretch].operations:
                    _check_params(operation, names, pulled, pushed)
                    made = writes(operation)
                    for name in reads(operation):
                        known = written.union(made) if is_carried(name, made) else written
                        _check_read(name, known, process)
                    written.update(made)
            case _:
                pass


def _check_params(
    operation: Operation, names: set[str], pulled: set[str], pushed: set[str]
) -> None:
    for name in reads(operation):
        if name in names and name not in pulled:
            raise MissingPull(f"{name} is read without a pull")
        if name in pushed:
            raise EarlyPush(f"{name} is read after its push")
    for name in writes(operation):
        if name in pushed:
            raise EarlyPush(f"{name} is written after its push")


def _check_read(name: str, known: set[str], process: Process) -> None:
    """Other steps are of a tensor that is written, and so are those beyond its own."""
    base = base_of(name)
    beyond = not shift_of(name) or any(base_of(n) == base != n for n in known)
    if base not in known or not beyond:
        raise UnwrittenBuffer(f"process {process.rank} reads {name} before it is written")


def _exchanges_match(plan: Plan) -> None:
    """Every served slice has a push from each worker that has it, every push is served."""
    served, topology = _served(plan), plan.topology
    for process in plan.processes:
        steps = process.train.steps
        pushes = dict.fromkeys(s.param for s in steps if isinstance(s, Push))
        if len(pushes) != sum(isinstance(s, Push) for s in steps):
            raise DuplicatePush(f"process {process.rank} pushes a param twice")
        if process.worker is None:
            continue
        group = topology.served_by(topology.group_of_worker(process.worker))
        own = [k for k, s in enumerate(plan.slices) if s.is_of(topology.member(process.worker))]
        for index in own:
            param = plan.slices[index].param
            name = plan.params[param].name
            if (group, index) in served and param not in pushes:
                raise MissingPush(f"process {process.rank} never pushes {name}")
            if param in pushes and (group, index) not in served:
                raise MissingServe(f"slice {index} of {name} is not served by group {group}")
        _gradients_are_taken(plan, process, pushes, own)


def _gradients_are_taken(
    plan: Plan, process: Process, pushes: Mapping[int, None], own: Sequence[int]
) -> None:
    """The slices of which a worker has a gradient make up what it has of each param."""
    taken: dict[str, int] = {}
    for index in own:
        piece = plan.slices[index]
        name = gradient_of(plan.params[piece.param].name)
        taken[name] = taken.get(name, 0) + piece.floats
    parts = {b.name: b for b in process.train.buffers if b.space is Space.GRADIENTS}
    for name in (gradient_of(plan.params[param].name) for param in pushes):
        part = parts.get(name)
        if part is None or _vectors(part) != taken.get(name, 0):
            raise StrayGradient(f"the slices of {name} are not what process {process.rank} has")


def _vectors(part: Buffer) -> int:
    """Floats of the whole vectors that a part of a param touches."""
    start = part.offset // FLOAT_BYTES
    stop = start + (part.floats if part.rows > 1 else part.columns)
    return padded(stop) - start // LANES * LANES


def _serving(process: Process) -> Sequence[Step]:
    """The steps among which a process has those of its server."""
    return process.train.steps if process.serve is None else process.serve.steps


def _served(plan: Plan) -> dict[tuple[int, int], None]:
    """Server group and slice of all that is served, each by the one process of its server."""
    found: dict[tuple[int, int], None] = {}
    for process in plan.processes:
        for index in (s.slice for s in _serving(process) if isinstance(s, Serve)):
            server, size = process.server, plan.topology.servers_per_group
            if server is None or server % size != plan.slices[index].server:
                raise MissingServe(
                    f"slice {index} is served by process {process.rank}, not its own"
                )
            key = (plan.topology.group_of_server(server), index)
            if key in found:
                raise DuplicateServe(f"slice {index} is served twice")
            found[key] = None
    return found


def _norm_is_whole(plan: Plan) -> None:
    """Where gradients are clipped by their norm, every served slice is weighed once before."""
    if not plan.update.clip_norm:
        return
    for process in plan.processes:
        steps = [s for s in _serving(process) if isinstance(s, Norm | Clip | Serve)]
        served = [s.slice for s in steps if isinstance(s, Serve)]
        weighed = [s.slice for s in steps if isinstance(s, Norm)]
        kinds = [type(s) for s in steps]
        order = [*[Norm] * len(weighed), *[Clip] * bool(served), *[Serve] * len(served)]
        if sorted(weighed) != sorted(served) or kinds != order:
            raise UnclippedServe(f"process {process.rank} updates without the whole norm")
