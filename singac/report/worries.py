"""What a reader of a plan should worry about, each with the place in the program it is due to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from singac.partition.machine import Machine
from singac.plan.plan import Plan, Push, Run, Saved
from singac.plan.show import count, imbalance, size
from singac.report.costs import duration, stretch_cost
from singac.report.survey import member_of, moves, ranges

FLOAT_BYTES = 4
MOST_OF_ALL = 2 / 3
UNEVEN = 1.2


@dataclass(frozen=True, slots=True)
class Worry:
    """One worry: a sentence without a full stop, the place it is due to, and the remedy."""

    message: str
    place: str
    help: str


def worries(plan: Plan, machine: Machine) -> tuple[Worry, ...]:
    """All worries, in the order in which a reader can do something about them."""
    if not plan.trains:
        return ()
    kinds = (_unlearnt, _idle_workers, _idle_servers, _heavy_server, _uneven)
    return tuple([w for kind in kinds for w in kind(plan)] + [*_dear_exchange(plan, machine)])


def place_of(plan: Plan, what: str) -> str:
    """Where the program says the `batch`, the `workers`, the `servers` or the `partition`."""
    return next((p.at for p in plan.places if p.what == what), "")


def _unlearnt(plan: Plan) -> Iterator[Worry]:
    """Params that stay as they are drawn; one from a checkpoint has learnt elsewhere."""
    pushed = {s.param for p in plan.processes for s in p.train.steps if isinstance(s, Push)}
    why, help = "no loss depends on it", "feed it to a loss, or leave the layer out"
    if plan.training.gibbs:
        why, help = "it lies below the RBM", "take it from the checkpoint of a train before"
    for index, param in enumerate(plan.params):
        if index not in pushed and not isinstance(param.initialiser, Saved):
            user = next((x for x in plan.layers if param.name in x.params), None)
            yield Worry(f"{param.name} learns nothing: {why}", user.place if user else "", help)


def _idle_workers(plan: Plan) -> Iterator[Worry]:
    held = (h for layer in plan.layers if layer.kind != "field" for h in layer.pieces)
    busy = {h.worker for h in held if h.rows and h.columns}
    workers = [p for p in plan.processes if p.worker is not None]
    idle = [p for p in workers if member_of(plan, p) not in busy]
    if idle:
        who = f"worker{'s' if len(idle) > 1 else ''} {ranges(p.worker or 0 for p in idle)}"
        message = f"{who} {'have' if len(idle) > 1 else 'has'} nothing to compute"
        place = place_of(plan, "partition") or place_of(plan, "workers")
        enough = len(workers) - len(idle)
        yield Worry(message, place, f"use {count(enough, 'worker')}, or cut more layers")


def _idle_servers(plan: Plan) -> Iterator[Worry]:
    owners = {s.server for s in plan.slices}
    servers = [p.server for p in plan.processes if p.server is not None]
    idle = [s for s in servers if s % plan.topology.servers_per_group not in owners]
    if idle:
        who = f"server{'s' if len(idle) > 1 else ''} {ranges(idle)}"
        message = f"{who} {'own' if len(idle) > 1 else 'owns'} no param"
        used = plan.topology.servers - len(idle)
        help = f"{count(used, 'server')} would do: a slice is at least 16 floats"
        yield Worry(message, place_of(plan, "servers"), help)


def _heavy_server(plan: Plan) -> Iterator[Worry]:
    total = sum(s.stop - s.start for s in plan.slices)
    if plan.topology.servers < 2 or not total:
        return
    held: dict[int, int] = {}
    for piece in plan.slices:
        held[piece.server] = held.get(piece.server, 0) + piece.stop - piece.start
    server, most = max(held.items(), key=lambda item: item[1])
    if most > MOST_OF_ALL * total:
        message = f"server {server} owns {most / total:.0%} of all params"
        help = f"all others wait for it: {count(plan.topology.servers, 'server')} could share them"
        yield Worry(message, place_of(plan, "servers"), help)


def _uneven(plan: Plan) -> Iterator[Worry]:
    if plan.topology.separate or (most := imbalance(plan)) <= UNEVEN:
        return
    slowest = max(plan.processes, key=lambda p: p.flops)
    message = f"process {slowest.rank} computes {most:.1f} times the mean, and all wait for it"
    batch, workers = plan.training.batch, plan.topology.workers_per_group
    remedy = f"a batch of {-(-batch // workers) * workers} is even on {workers} workers"
    help = remedy if batch % workers else "cut the layers that one worker has alone"
    place = place_of(plan, "batch" if batch % workers else "partition")
    yield Worry(message, place, help)


def _dear_exchange(plan: Plan, machine: Machine) -> Iterator[Worry]:
    """Exchange dearer than computing, at the process where it is worst, and what moves most."""
    told = moves(plan)
    if not told:
        return
    compute = compute_seconds(plan, machine)
    moving = [max(p.bytes_sent, p.bytes_received) / machine.exchange for p in plan.processes]
    worst = max(range(len(compute)), key=lambda k: moving[k] - compute[k])
    if moving[worst] <= compute[worst]:
        return
    dearest = told[0].what
    layer = next((x for x in plan.layers if dearest in x.params), None)
    moved = size(plan.processes[worst].bytes_sent)
    took, computes = duration(moving[worst]), duration(compute[worst])
    message = (
        f"exchange is dearer than computing: process {worst} sends {moved} in {took}"
        f" and computes {computes} a step; most is {dearest}"
    )
    help = f"a larger batch, fewer workers, or `{layer.name} on feature`" if layer else "fewer cuts"
    yield Worry(message, layer.place if layer else "", help)


def compute_seconds(plan: Plan, machine: Machine) -> list[float]:
    """What each process is expected to compute as a worker in a training step."""
    seconds = [stretch_cost(s).seconds(machine) for s in plan.stretches]
    steps = (p.train.steps for p in plan.processes)
    return [sum(seconds[s.stretch] for s in own if isinstance(s, Run)) for own in steps]
