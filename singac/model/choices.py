"""What the command line chose among the blocks of a program, and what is taken else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from singac.diagnostics import Exit, Place, Report, Span, did_you_mean
from singac.model.net import Net
from singac.model.program import Blocks, Change
from singac.model.rules import AUTO, BATCH, Rules, all_on_auto
from singac.model.topology import Cluster, check_processes, resolve_cluster, without_cluster
from singac.syntax import tree


@dataclass(frozen=True, slots=True)
class Choices:
    """What the command line chose; None leaves the choice to the program.

    `alone` asks for one process whatever the program's clusters and partitions say.
    """

    np: int | None = None
    cluster: str | None = None
    partition: str | None = None
    train: str | None = None
    changes: tuple[Change, ...] = ()
    alone: bool = False


def chosen_trains(
    program: tree.Program, blocks: Blocks, choices: Choices, report: Report
) -> list[tree.Train]:
    """The train blocks that a run takes, in order."""
    chosen = choices.train
    trains = [t for t in blocks.trains if chosen in (None, t.net.text)]
    if trains:
        return trains
    names = [t.net.text for t in blocks.trains]
    if chosen is not None and names:
        report.error(
            "SG0176", f"no train block trains `{chosen}`", help=did_you_mean(chosen, names)
        )
    else:
        message = "the program has no train block"
        help = "train mlp { updater = SGD(rate = 0.1)  batch = 64  steps = 1000 }"
        end = len(program.source.text)
        report.error("SG0176", message, Span(program.source, end, end), help=help)
    return []


def chosen_cluster(blocks: Blocks, choices: Choices, report: Report) -> Cluster | None:
    """The cluster that a run has; one group of all processes where the program has none."""
    if choices.alone:
        return without_cluster(1)
    clusters = blocks.clusters
    name = choices.cluster
    if name is None and len(clusters) > 1 and choices.np != 1:
        _several("SG0402", "cluster", "the program", tuple(clusters.values()), report)
        return None
    if name is not None and name not in clusters:
        message = f"there is no cluster `{name}`"
        help = did_you_mean(name, clusters) or "leave out --cluster: the program has none"
        report.error("SG0402", message, help=help, exit=Exit.USAGE)
        return None
    if not clusters or (name is None and len(clusters) > 1):
        return without_cluster(choices.np or 1)
    block = clusters[name] if name is not None else next(iter(clusters.values()))
    cluster = resolve_cluster(block, choices.np, blocks.scope, report)
    if cluster is not None and choices.np is not None:
        check_processes(cluster, choices.np, report)
    return cluster


def chosen_rules(
    block: tree.Train,
    blocks: Blocks,
    nets: Mapping[str, Net],
    rules: Mapping[str, Rules],
    choices: Choices,
    report: Report,
) -> Rules | None:
    """How the net of a train block is cut; None where all of it is on batch."""
    if choices.alone:
        return None
    name = choices.partition
    if name == BATCH and BATCH not in blocks.partitions:
        return None
    if name == AUTO and AUTO not in blocks.partitions:
        net = nets.get(block.net.text)
        return None if net is None else all_on_auto(net)
    if name is not None:
        partition = blocks.partitions.get(name)
        if partition is None:
            help = did_you_mean(name, [*blocks.partitions, BATCH, AUTO])
            report.error("SG0177", f"there is no partition `{name}`", help=help, exit=Exit.USAGE)
        elif partition.net.text != block.net.text:
            return None  # it cuts another net of the program
        return rules.get(name)
    own = [p for p in blocks.partitions.values() if p.net.text == block.net.text]
    if len(own) > 1:
        _several("SG0177", "partition", f"the net `{block.net.text}`", tuple(own), report)
    return rules.get(own[0].name.text) if len(own) == 1 else None


def _several(
    code: str,
    noun: str,
    owner: str,
    blocks: tuple[tree.Cluster, ...] | tuple[tree.Partition, ...],
    report: Report,
) -> None:
    """Reports that the command line has to choose."""
    first, second, *_ = (b.name for b in blocks)
    message = f"{owner} has several {noun}s: {', '.join(b.name.text for b in blocks)}"
    help = f"choose one with --{noun} {first.text}"
    related = (Place(first.span, "the first"),)
    report.error(code, message, second.span, related=related, help=help, exit=Exit.USAGE)
