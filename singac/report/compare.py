"""Two plans held against each other: what differs, from the topology down to the bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from singac.plan.encode import to_json
from singac.plan.plan import Plan
from singac.plan.show import imbalance, owners, size, table
from singac.report.costs import FLOAT_BYTES
from singac.report.survey import Stratum, moves, ranges

Row = tuple[str, str, str]
Facts = Mapping[str, str]
MOST_ROWS = 20
NOTHING = "-"


def compare(one: Plan, other: Plan, names: tuple[str, str]) -> str:
    """What differs, as text; empty for plans that are the same."""
    # fmt: off
    parts: tuple[tuple[str, Callable[[Plan], Facts]], ...] = (
        ("the run",   _run),
        ("layers",    _layers),
        ("params",    _params),
        ("costs",     _costs),
        ("moves",     _moves),
        ("programs",  _programs),
    )
    # fmt: on
    told = []
    for title, facts in parts:
        rows = list(_different(facts(one), facts(other)))
        if rows:
            shown = table((title, *names), rows[:MOST_ROWS], right=False)
            hidden = len(rows) - MOST_ROWS
            told.append(shown + (f"\nand {hidden} more" if hidden > 0 else ""))
    if not told and to_json(one) != to_json(other):
        told.append("the plans differ only in how buffers are placed or operations are written")
    return "\n\n".join(told) + "\n" if told else ""


def _different(one: Facts, other: Facts) -> Iterator[Row]:
    for name in dict.fromkeys([*one, *other]):
        was, now = one.get(name, NOTHING), other.get(name, NOTHING)
        if was != now:
            yield name, was, now


def _run(plan: Plan) -> Facts:
    topology, training = plan.topology, plan.training
    return {
        "net": plan.net,
        "data": plan.data.name,
        "examples": f"{plan.data.train:,} to train, {plan.data.test:,} to test",
        "partition": plan.partition,
        "framework": topology.framework,
        "processes": str(len(plan.processes)),
        "workers": f"{topology.worker_groups} x {topology.workers_per_group}",
        "servers": f"{topology.server_groups} x {topology.servers_per_group}"
        + (", separate" if topology.separate else ""),
        "batch": str(training.batch),
        "steps": f"{training.steps:,}",
        "algorithm": training.algorithm,
        "updater": plan.update.name,
        "seed": str(training.seed),
        "params and updates": plan.digest,
    }


def _layers(plan: Plan) -> Facts:
    """Each layer with its shape, cut and pieces."""
    found = {}
    for layer in plan.layers:
        pieces = Stratum((layer.name,), layer.cut, layer.pieces)
        shape = "x".join(map(str, layer.shape)) or "1"
        found[layer.name] = f"{layer.kind} {shape}, on {layer.cut}: {_sizes(pieces)}"
    return found


def _sizes(stratum: Stratum) -> str:
    sizes = [f"{h.rows} x {h.columns}" for h in stratum.pieces]
    alike = list(dict.fromkeys(sizes))
    return " | ".join(f"{sizes.count(s)} of {s}" for s in alike)


def _params(plan: Plan) -> Facts:
    found = {}
    for index, param in enumerate(plan.params):
        servers = owners(plan, index)
        told = ranges(servers) if len(servers) > 4 else ", ".join(servers.values())
        shape = " x ".join(map(str, param.shape))
        found[param.name] = f"{shape}, {size(param.floats * FLOAT_BYTES)}, on servers {told}"
    return found


def _costs(plan: Plan) -> Facts:
    processes = plan.processes
    most = max(p.memory.total for p in processes)
    return {
        "memory of all": size(sum(p.memory.total for p in processes)),
        "memory of the largest": size(most),
        "MFLOP a step of all": f"{sum(p.flops for p in processes) / 1e6:,.2f}",
        "MFLOP a step of the busiest": f"{max(p.flops for p in processes) / 1e6:,.2f}",
        "bytes a step of all": size(sum(p.bytes_sent for p in processes)),
        "sent by the busiest": size(max(p.bytes_sent for p in processes)),
        "imbalance": f"{imbalance(plan):.2f}",
    }


def _moves(plan: Plan) -> Facts:
    return {m.what: f"{size(m.there)} there, {size(m.back)} back" for m in moves(plan)}


def _programs(plan: Plan) -> Facts:
    """How many steps of each kind a process has."""
    found = {}
    for process in plan.processes:
        kinds = [type(s).__name__.lower() for s in process.train.steps]
        counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
        found[f"process {process.rank}"] = ", ".join(f"{n} {k}" for k, n in counts.items())
    return found
