"""A plan from some way off: layers cut alike, processes that do alike, what moves between them.

However many processes and layers there are, what is alike is told once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from singac.plan.estimate import traffic
from singac.plan.plan import Held, Plan, Process, Pull, Push, Send, Serve, Slice

FLOAT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Stratum:
    """Layers in a row that are cut alike; `pieces` as each of them has, columns if all agree."""

    layers: tuple[str, ...]
    cut: str
    pieces: tuple[Held, ...]

    @property
    def span(self) -> str:
        first, last = self.layers[0], self.layers[-1]
        return first if first == last else f"{first} .. {last}"


@dataclass(frozen=True, slots=True)
class Move:
    """Bytes of one thing that change hands between processes in a step, all of them together.

    `there` from sender to receiver, `back` the other way: of a param, gradients go there.
    """

    what: str
    sender: str
    receiver: str
    there: int
    back: int = 0

    @property
    def total(self) -> int:
        return self.there + self.back


@dataclass(frozen=True, slots=True)
class Crowd:
    """Processes that do alike, in the order of their ranks."""

    processes: tuple[Process, ...]

    @property
    def ranks(self) -> tuple[int, ...]:
        return tuple(p.rank for p in self.processes)


def strata(plan: Plan) -> tuple[Stratum, ...]:
    """The layers in their order, neighbours cut alike as one."""

    def key(layer_index: int) -> tuple[object, ...]:
        layer = plan.layers[layer_index]
        return (
            layer.cut,
            *((h.worker, h.row, h.rows, *_columns(layer.cut, h)) for h in layer.pieces),
        )

    found = []
    for _, group in groupby(range(len(plan.layers)), key=key):
        layers = [plan.layers[k] for k in group]
        found.append(Stratum(tuple(x.name for x in layers), layers[0].cut, layers[0].pieces))
    return tuple(found)


def _columns(cut: str, held: Held) -> tuple[int, ...]:
    """Columns tell layers apart only where columns are what is cut."""
    return () if cut == "batch" else (held.column, held.columns)


def crowds(plan: Plan, most: int) -> tuple[Crowd, ...]:
    """The processes, each by itself if they are at most `most`, else those that do alike together.

    Where even the kinds are too many, the last crowd has all the others.
    """
    if len(plan.processes) <= most:
        return tuple(Crowd((p,)) for p in plan.processes)
    alike: dict[tuple[object, ...], list[Process]] = {}
    pieces = _pieces_of_members(plan)
    for process in plan.processes:
        alike.setdefault(_likeness(plan, process, pieces), []).append(process)
    groups = list(alike.values())
    if len(groups) > most:
        rest = sorted((p for group in groups[most - 1 :] for p in group), key=lambda p: p.rank)
        groups = [*groups[: most - 1], rest]
    return tuple(Crowd(tuple(group)) for group in groups)


def _pieces_of_members(plan: Plan) -> list[tuple[tuple[int, int], ...]]:
    """For each worker of a group, the sizes of what it computes of every layer."""
    found: list[list[tuple[int, int]]] = [[] for _ in range(plan.topology.workers_per_group)]
    for layer in plan.layers:
        for held in layer.pieces:
            found[held.worker].append((held.rows, held.columns))
    return [tuple(sizes) for sizes in found]


def _likeness(
    plan: Plan, process: Process, pieces: Sequence[tuple[tuple[int, int], ...]]
) -> tuple[object, ...]:
    works, serves = process.worker is not None, process.server is not None
    sizes = pieces[member_of(plan, process)] if works else ()
    program = process.train if process.serve is None else process.serve
    serves_any = any(isinstance(s, Serve) for s in program.steps)
    return (works, serves, serves_any, process.rows, sizes)


def member_of(plan: Plan, process: Process) -> int:
    """The place of a process's worker in its group."""
    assert process.worker is not None, "only a worker has a place in a group"
    return plan.topology.member(process.worker)


def hosts(plan: Plan) -> dict[int, int]:
    """The rank of each server of the first group."""
    servers = range(plan.topology.servers_per_group)
    return {server: plan.topology.rank_of_server(server) for server in servers}


def owned(plan: Plan, server: int) -> tuple[Slice, ...]:
    """What a server has of the params."""
    return tuple(s for s in plan.slices if s.server == server % plan.topology.servers_per_group)


def moves(plan: Plan) -> tuple[Move, ...]:
    """All that moves in a training step, the dearest first."""
    found = [*_pushed_and_pulled(plan), *_exchanged(plan)]
    return tuple(sorted((m for m in found if m.total), key=lambda m: -m.total))


def _pushed_and_pulled(plan: Plan) -> Iterator[Move]:
    """Gradients go to the servers and params come back, but not within a process."""
    pushes = _param_users(plan, Push)
    pulls = _param_users(plan, Pull)
    for index, param in enumerate(plan.params):
        slices = [s for s in plan.slices if s.param == index]
        to = f"server{'s' if len(slices) > 1 else ''} {ranges(s.server for s in slices)}"
        up = sum(_across(plan, s, pushes[index]) for s in slices)
        # What is not learnt is not sent again.
        down = sum(_across(plan, s, pulls[index]) for s in slices) if pushes[index] else 0
        yield Move(param.name, "workers", to, up, down)


def _exchanged(plan: Plan) -> Iterator[Move]:
    """What workers of a group hand each other in a step."""
    bytes_of = [0] * len(plan.exchanges)
    moved = [traffic(exchange) for exchange in plan.exchanges]
    for process in plan.processes:
        for step in process.train.steps:
            if isinstance(step, Send):
                bytes_of[step.exchange] += moved[step.exchange].sent[member_of(plan, process)]
    for exchange, total in zip(plan.exchanges, bytes_of, strict=True):
        yield Move(exchange.name, "workers", "workers", total)


def _param_users(plan: Plan, kind: type[Push] | type[Pull]) -> list[list[Process]]:
    """For each param, the processes that push (pull) it in a training step."""
    found: list[list[Process]] = [[] for _ in plan.params]
    for process in plan.processes:
        for step in process.train.steps:
            if isinstance(step, kind):
                found[step.param].append(process)
    return found


def _across(plan: Plan, piece: Slice, users: Sequence[Process]) -> int:
    """Bytes of a slice between its users and the servers of their groups, in other processes."""
    topology, others = plan.topology, 0
    for user in users:
        assert user.worker is not None, "params are the workers' to use"
        group = topology.served_by(topology.group_of_worker(user.worker))
        server = group * topology.servers_per_group + piece.server
        apart = topology.rank_of_server(server) != user.rank
        others += apart and piece.is_of(topology.member(user.worker))
    return piece.floats * FLOAT_BYTES * others


# -- words -----------------------------------------------------------------------------------------


def ranges(numbers: Iterable[int]) -> str:
    """`0 to 3, 5, 7 to 9`."""
    ordered = sorted(dict.fromkeys(numbers))
    starts = [0, *(k + 1 for k, (a, b) in enumerate(pairwise(ordered)) if b > a + 1), len(ordered)]
    runs = [ordered[a:b] for a, b in pairwise(starts)]
    return ", ".join(_run(run) for run in runs if run)


def _run(run: Sequence[int]) -> str:
    return f"{run[0]}" if len(run) == 1 else f"{run[0]} to {run[-1]}"
