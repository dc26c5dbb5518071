"""A `cluster` block, or only a number of processes -> the topology and its framework's name.

1 worker group of 3        ranks, servers beside the workers      ranks, servers separate
1 server group of 2        0  worker 0, server 0                  0  worker 0
                           1  worker 1, server 1                  1  worker 1
                           2  worker 2                            2  worker 2
                                                                  3  server 0
                                                                  4  server 1
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from singac.diagnostics import Exit, Place, Report, Span
from singac.model.arguments import Matched, as_whole, match_settings
from singac.model.types import Topology
from singac.model.values import Binding, Scope, Word, evaluate, unknown_name
from singac.settings import AT_LEAST_ONE, NOT_NEGATIVE, Setting, Sort
from singac.syntax import tree

MOST_PROCESSES = 100_000
SEPARATE = "separate"
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
    """A topology and where it was written; `span` is None for a bare number of processes."""

    topology: Topology
    span: Span | None


def without_cluster(processes: int) -> Cluster:
    """One worker group of all processes, a server beside each worker."""
    return Cluster(_topology(1, processes, 1, processes, False), None)


def resolve_cluster(
    block: tree.Cluster, np: int | None, scope: Scope, report: Report
) -> Cluster | None:
    """The topology of a block; `np` is what its text may call the number of processes."""
    before = len(report.found)
    if np is not None:
        scope = {**scope, "np": Binding(Fraction(np), None)}
    settings = [m for m in block.members if isinstance(m, tree.Named)]
    matched = match_settings(settings, SETTINGS, scope, block.name.span, report)
    groups = _groups(block, scope, np, report)
    if matched is None or groups is None or len(report.found) > before:
        return None
    _check_later(matched, report)
    workers = groups.get("worker", (1, np or 1))
    servers = groups.get("server", (1, workers[0] * workers[1]))
    separate = matched.values["servers"] == SEPARATE
    topology = _topology(*workers, *servers, separate)
    _check_counts(block, topology, report)
    return Cluster(topology, block.span) if len(report.found) == before else None


def _groups(
    block: tree.Cluster, scope: Scope, np: int | None, report: Report
) -> dict[str, tuple[int, int]] | None:
    """Number and size of the groups of each role."""
    found: dict[str, tuple[int, int]] = {}
    spans: dict[str, Span] = {}
    before = len(report.found)
    for member in block.members:
        if not isinstance(member, tree.Group):
            continue
        if member.role in spans:
            related = (Place(spans[member.role], "first given here"),)
            message = f"the {member.role} groups are given twice"
            report.error("SG0111", message, member.span, related=related)
        spans[member.role] = member.span
        count = _count(member.count, scope, np, report)
        size = _count(member.size, scope, np, report)
        if count is not None and size is not None:
            found[member.role] = (count, size)
    return found if len(report.found) == before else None


def _count(node: tree.Value, scope: Scope, np: int | None, report: Report) -> int | None:
    value = evaluate(node, scope, report)
    if isinstance(value, Word):
        if value.text == "np" and np is None:
            help = "give the number of processes: -np 4"
            report.error("SG0403", "the number of processes is not known", node.span, help=help)
        else:
            unknown_name(value, scope, report)
        return None
    if value is None:
        return None
    count = as_whole(value, "the size of a cluster", node.span, report, least=1)
    if count is not None and count > MOST_PROCESSES:
        report.error("SG0201", f"a cluster has at most {MOST_PROCESSES:,} members", node.span)
        return None
    return count


def _check_later(matched: Matched, report: Report) -> None:
    for name in LATER:
        if name in matched.spans:
            message = f"`{name}` is parsed but cannot be compiled yet"
            report.error("SG0190", message, matched.spans[name])


def _check_counts(block: tree.Cluster, topology: Topology, report: Report) -> None:
    if topology.worker_groups > 1 or topology.server_groups > 1:
        groups = [m for m in block.members if isinstance(m, tree.Group)]
        message = "more than one group of a role cannot be compiled yet"
        help = "use one worker group and one server group"
        report.error("SG0190", message, groups[0].span, help=help, exit=Exit.ENVIRONMENT)


def check_processes(cluster: Cluster, np: int, report: Report) -> None:
    """Reports a cluster that does not fit the number of processes it was given."""
    topology = cluster.topology
    if topology.processes == np:
        return
    where = "in processes of their own" if topology.separate else "beside the workers"
    message = f"the cluster needs {topology.processes} processes and -np gives {np}"
    label = (
        f"{_plural(topology.workers, 'worker')} and {_plural(topology.servers, 'server')} {where}"
    )
    help = f"use -np {topology.processes}, or change the groups"
    report.error("SG0401", message, cluster.span, label, help=help, exit=Exit.ENVIRONMENT)


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
