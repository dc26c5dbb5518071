"""A `cluster` block, or only a number of processes -> the topology and its framework's name.

Several workers, or several servers, may be threads of one process.

1 worker group of 3        ranks, servers beside the workers      ranks, servers separate
1 server group of 2        0  worker 0, server 0                  0  worker 0
                           1  worker 1, server 1                  1  worker 1
                           2  worker 2                            2  worker 2
                                                                  3  server 0
                                                                  4  server 1
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from singac.diagnostics import Exit, Place, Report, Span
from singac.model.arguments import as_whole, given_twice, match_settings
from singac.model.frameworks import named
from singac.model.types import Reconcile, Topology
from singac.model.values import Binding, Called, Scope, Word, describe, evaluate
from singac.settings import AT_LEAST_ONE, BELOW_ONE, NOT_NEGATIVE, POSITIVE, Setting, Sort
from singac.syntax import tree

MOST_PROCESSES = 100_000
SEPARATE = "separate"
NP = "np"  # what a cluster's text calls the number of processes
# fmt: off
SETTINGS = (
    Setting("servers", "where servers live: in the workers' processes or in their own",
            sorts=(Sort.WORD,), choices=("with_workers", SEPARATE), default="with_workers"),
    Setting("workers_per_process", "workers that share one process as threads",
            sorts=(Sort.INTEGER,), default=1, within=AT_LEAST_ONE),
    Setting("servers_per_process", "servers that share one process",
            sorts=(Sort.INTEGER,), default=1, within=AT_LEAST_ONE),
    Setting("sync_every", "steps between two reconciliations of server groups",
            sorts=(Sort.INTEGER,), default=1, within=AT_LEAST_ONE),
    Setting("staleness", "steps a worker group may run ahead of the slowest",
            sorts=(Sort.INTEGER,), optional=True, within=NOT_NEGATIVE),
    Setting("wire", "the precision of what messages between processes carry",
            sorts=(Sort.WORD,), choices=("float32", "bf16"), default="float32"),
)
OUTER = (
    Setting("rate", "how far the centre goes along what the groups have done",
            default=0.7, positional=True, within=POSITIVE),
    Setting("momentum", "Nesterov's, of the centre", default=0.9, within=BELOW_ONE),
)
# fmt: on
RECONCILE = "reconcile"
KINDS = ("delta", "average", "outer")


@dataclass(frozen=True, slots=True)
class Cluster:
    """A topology, and where its worker groups and server groups were written, if they were."""

    topology: Topology
    workers_at: Span | None = None
    servers_at: Span | None = None


@dataclass(frozen=True, slots=True)
class _Groups:
    count: int
    size: int
    span: Span | None


def without_cluster(processes: int) -> Cluster:
    """One worker group of all processes, a server beside each worker."""
    return Cluster(named(Topology(1, processes, 1, processes, False, "")))


def resolve_cluster(
    block: tree.Cluster, np: int | None, scope: Scope, report: Report
) -> Cluster | None:
    """The topology of a block; `np` is what its text may call the number of processes."""
    before = len(report.found)
    if np is not None:
        scope = {**scope, NP: Binding(Fraction(np), None)}
    given = [m for m in block.members if isinstance(m, tree.Named)]
    settings = [m for m in given if m.path.text != RECONCILE]
    reconcile = _reconcile([m for m in given if m.path.text == RECONCILE], scope, report)
    matched = match_settings(settings, SETTINGS, scope, block.name.span, report, (RECONCILE,))
    groups = _groups(block, scope, np, report)
    if matched is None or len(report.found) > before:
        return None
    numbers = {n: v for n, v in matched.values.items() if isinstance(v, int)}
    separate = matched.values["servers"] == SEPARATE
    workers = groups.get("worker") or _workers_left(groups.get("server"), separate, numbers, np)
    servers = groups.get("server") or _servers_beside(workers, numbers)
    topology = Topology(
        workers.count,
        workers.size,
        servers.count,
        servers.size,
        separate,
        "",
        numbers["workers_per_process"],
        numbers["servers_per_process"],
        numbers["sync_every"],
        numbers.get("staleness"),
        reconcile,
        str(matched.values["wire"]),
    )
    _check_server_groups(workers, servers, block.name.span, report)
    for role, groups_of_role in (("worker", workers), ("server", servers)):
        name = f"{role}s_per_process"
        _check_threads(role, groups_of_role, numbers[name], matched.spans.get(name), report)
    found = Cluster(named(topology), workers.span, servers.span)
    return found if len(report.found) == before else None


def _reconcile(given: list[tree.Named], scope: Scope, report: Report) -> Reconcile:
    """`delta`, `average` or `outer(rate, momentum = m)`; the default after reporting."""
    if not given:
        return Reconcile()
    for second in given[1:]:
        given_twice(RECONCILE, given[0].span, second.span, report)
    span = given[0].value.span
    match evaluate(given[0].value, scope, report):
        case None:
            pass
        case Word("delta" | "average" as kind):
            return Reconcile(kind)
        case Word("outer"):
            return Reconcile("outer", *(float(str(s.default)) for s in OUTER))
        case Called("outer", arguments, _, inner):
            matched = match_settings(arguments, OUTER, inner, span, report)
            if matched is not None:
                return Reconcile("outer", *(float(str(matched.values[s.name])) for s in OUTER))
        case other:
            message = "`reconcile` must be `delta`, `average` or `outer(...)`"
            help = "reconcile = outer(0.7, momentum = 0.9)"
            report.error("SG0200", message, span, f"this is {describe(other)}", help=help)
    return Reconcile()


def _workers_left(
    servers: _Groups | None, separate: bool, numbers: Mapping[str, int], np: int | None
) -> _Groups:
    """One group of every process that is no server's alone."""
    apart = servers.count * servers.size if servers and separate else 0
    taken = -(-apart // numbers["servers_per_process"])
    return _Groups(1, max((np or 1) - taken, 1) * numbers["workers_per_process"], None)


def _servers_beside(workers: _Groups, numbers: Mapping[str, int]) -> _Groups:
    """One group that fills the processes of the workers."""
    processes = -(-workers.count * workers.size // numbers["workers_per_process"])
    return _Groups(1, processes * numbers["servers_per_process"], None)


def _groups(
    block: tree.Cluster, scope: Scope, np: int | None, report: Report
) -> dict[str, _Groups]:
    """The groups of each role that the block counts."""
    found: dict[str, _Groups] = {}
    spans: dict[str, Span] = {}
    for member in block.members:
        if not isinstance(member, tree.Group):
            continue
        first = spans.setdefault(member.role, member.span)
        if first is not member.span:
            related = (Place(first, "first given here"),)
            message = f"the {member.role} groups are given twice"
            report.error("SG0111", message, member.span, related=related)
        count = _count(member.count, f"the number of {member.role} groups", scope, np, report)
        size = _count(member.size, f"the size of a {member.role} group", scope, np, report)
        if count is not None and size is not None:
            found[member.role] = _Groups(count, size, member.span)
    return found


def mentions_np(node: object) -> bool:
    """Whether a part of the syntax tree names the number of processes."""
    if isinstance(node, tree.Reference):
        return node.path.text == NP
    if isinstance(node, tuple):
        return any(mentions_np(n) for n in node)
    if dataclasses.is_dataclass(node) and not isinstance(node, type | Span):
        return any(mentions_np(getattr(node, f.name)) for f in dataclasses.fields(node))
    return False


def _count(node: tree.Value, what: str, scope: Scope, np: int | None, report: Report) -> int | None:
    if np is None and mentions_np(node):
        help = "give the number of processes: -np 4"
        report.error("SG0403", "the number of processes is not known", node.span, help=help)
        return None
    value = evaluate(node, scope, report)
    if value is None:
        return None
    return as_whole(value, what, node.span, report, scope, least=1, most=MOST_PROCESSES)


def _check_server_groups(workers: _Groups, servers: _Groups, block: Span, report: Report) -> None:
    """A worker group talks to one server group, so there are at least as many."""
    if servers.count <= workers.count:
        return
    counts = _plural(servers.count, "server group"), _plural(workers.count, "worker group")
    message = f"{counts[0]} cannot share {counts[1]}: some would serve nobody"
    related = (Place(workers.span, counts[1]),) if workers.span else ()
    help = f"use at most {_plural(workers.count, 'server group')}, or more worker groups"
    span = servers.span or block
    report.error(
        "SG0404", message, span, counts[0], related=related, help=help, exit=Exit.ENVIRONMENT
    )


def _check_threads(
    role: str, groups: _Groups, threads: int, span: Span | None, report: Report
) -> None:
    """A process holds whole groups, or an equal part of one."""
    total = groups.count * groups.size
    parts = groups.size % threads == 0 or threads % groups.size == 0
    if (parts and total % threads == 0) or span is None:
        return
    what = f"{_plural(groups.count, f'{role} group')} of {groups.size}"
    message = f"{what} cannot be placed {threads} {role}s to a process"
    related = (Place(groups.span, what),) if groups.span else ()
    fitting = [
        n for n in range(1, total + 1)
        if total % n == 0 and (groups.size % n == 0 or n % groups.size == 0)
    ]  # fmt: skip
    help = f"{role}s_per_process may be {', '.join(map(str, fitting[:8]))}"
    label = f"{threads} {role}s a process"
    report.error("SG0405", message, span, label, related=related, help=help, exit=Exit.ENVIRONMENT)


def check_processes(cluster: Cluster, np: int, report: Report) -> None:
    """Reports a cluster that does not fit the number of processes it was given."""
    topology = cluster.topology
    if topology.processes == np:
        return
    message = f"the cluster needs {topology.processes} processes and -np gives {np}"
    workers = _plural(topology.workers, "worker")
    servers = _plural(topology.servers, "server")
    where = "in processes of their own" if topology.separate else "beside the workers"
    places = [
        Place(span, label)
        for span, label in ((cluster.workers_at, workers), (cluster.servers_at, servers))
        if span is not None
    ]
    first = places[0] if places else None
    help = f"{workers}, {servers} {where}: use -np {topology.processes}, or change the groups"
    report.error(
        "SG0401",
        message,
        first.span if first else None,
        first.label if first else "",
        related=places[1:],
        help=help,
        exit=Exit.ENVIRONMENT,
    )


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
