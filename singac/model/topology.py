"""A `cluster` block, or only a number of processes -> the topology and its framework's name.

1 worker group of 3        ranks, servers beside the workers      ranks, servers separate
1 server group of 2        0  worker 0, server 0                  0  worker 0
                           1  worker 1, server 1                  1  worker 1
                           2  worker 2                            2  worker 2
                                                                  3  server 0
                                                                  4  server 1
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from fractions import Fraction

from singac.diagnostics import Exit, Place, Report, Span
from singac.model.arguments import Matched, as_whole, match_settings
from singac.model.types import Topology
from singac.model.values import Binding, Scope, evaluate
from singac.settings import AT_LEAST_ONE, NOT_NEGATIVE, Setting, Sort
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
    Setting("reconcile", "how server groups reconcile",
            sorts=(Sort.WORD,), choices=("delta", "average"), optional=True),
    Setting("wire", "the precision of gradients and params between nodes",
            sorts=(Sort.WORD,), choices=("float32", "bf16"), optional=True),
)
# fmt: on
LATER = tuple(s.name for s in SETTINGS[1:])


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
    return Cluster(_topology(1, processes, 1, processes, False))


def resolve_cluster(
    block: tree.Cluster, np: int | None, scope: Scope, report: Report
) -> Cluster | None:
    """The topology of a block; `np` is what its text may call the number of processes."""
    before = len(report.found)
    if np is not None:
        scope = {**scope, NP: Binding(Fraction(np), None)}
    settings = [m for m in block.members if isinstance(m, tree.Named)]
    matched = match_settings(settings, SETTINGS, scope, block.name.span, report)
    groups = _groups(block, scope, np, report)
    if matched is None or len(report.found) > before:
        return None
    _check_later(matched, report)
    separate = matched.values["servers"] == SEPARATE
    workers = groups.get("worker") or _workers_left(groups.get("server"), separate, np)
    servers = groups.get("server") or _Groups(1, workers.count * workers.size, None)
    _check_counts((workers, servers), report)
    topology = _topology(workers.count, workers.size, servers.count, servers.size, separate)
    found = Cluster(topology, workers.span, servers.span)
    return found if len(report.found) == before else None


def _workers_left(servers: _Groups | None, separate: bool, np: int | None) -> _Groups:
    """One group of every process that is no server's alone."""
    taken = servers.count * servers.size if servers and separate else 0
    return _Groups(1, max((np or 1) - taken, 1), None)


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


def _check_later(matched: Matched, report: Report) -> None:
    for name in LATER:
        if name in matched.spans:
            message = f"`{name}` is parsed but cannot be compiled yet"
            report.error("SG0190", message, matched.spans[name], help="leave it out")


def _check_counts(groups: tuple[_Groups, ...], report: Report) -> None:
    for group in groups:
        if group.count > 1:
            message = "more than one group of a role cannot be compiled yet"
            help = "use one worker group and one server group"
            report.error("SG0190", message, group.span, help=help)


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


def _topology(
    worker_groups: int, workers: int, server_groups: int, servers: int, separate: bool
) -> Topology:
    framework = framework_of(worker_groups, workers, server_groups, servers, separate)
    return Topology(worker_groups, workers, server_groups, servers, separate, framework)


def framework_of(
    worker_groups: int, workers: int, server_groups: int, servers: int, separate: bool
) -> str:
    """The framework a topology amounts to.

    | worker groups | server groups      | servers                       | framework           |
    |---------------|--------------------|-------------------------------|---------------------|
    | 1             | 1                  | one beside each worker        | AllReduce           |
    | 1             | 1                  | fewer, or separate            | Sandblaster         |
    | several       | 1                  | any                           | Downpour            |
    | several       | one a worker group | beside the workers            | Distributed Hogwild |
    | any other                                                          | hybrid              |
    """
    if worker_groups == 1 and server_groups == 1:
        return "AllReduce" if servers == workers and not separate else "Sandblaster"
    if server_groups == 1:
        return "Downpour"
    if server_groups == worker_groups and not separate:
        return "Distributed Hogwild"
    return "hybrid"
