"""Syntax tree -> model: the net graph, its data, its training and its topology.

Everything a file says is checked, whether a run would use it or not; what a run uses is chosen by
`Choices`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from singac.diagnostics import Diagnostic, Exit, Place, Report, did_you_mean
from singac.layers.kind import LayerKind
from singac.model.algorithms import trains
from singac.model.carry import carrying
from singac.model.choices import Choices, chosen_cluster, chosen_rules, chosen_trains
from singac.model.datasets import Dataset, resolve_dataset
from singac.model.definitions import definitions
from singac.model.equations import Updater
from singac.model.labels import labels_fit
from singac.model.lookups import words_fit
from singac.model.net import Net, kinds_of, resolve_net
from singac.model.origins import check_origins
from singac.model.program import Blocks, gather
from singac.model.rules import Rules, resolve_rules
from singac.model.topology import (
    Cluster,
    check_processes,
    mentions_np,
    resolve_cluster,
)
from singac.model.training import TrainBlock, for_groups, resolve_train
from singac.model.values import Binding
from singac.sources.table import SOURCES
from singac.sources.text import vocabulary
from singac.syntax import tree

VOCAB = "vocab"  # in a net on a text, how many characters or words there are


@dataclass(frozen=True, slots=True)
class Model:
    """All that one train block needs; `texts` are the files of the program.

    Of several trains each has a run folder of its own, in one they share: `run` names it.
    """

    net: Net
    dataset: Dataset
    train: TrainBlock
    cluster: Cluster
    rules: Rules | None
    texts: tuple[str, ...]
    run: str = ""


@dataclass(slots=True)
class _Program:
    """Everything resolved, by name, in declaration order."""

    blocks: Blocks
    kinds: Mapping[str, LayerKind]
    updaters: Mapping[str, Updater]
    data: dict[str, Dataset]
    nets: dict[str, Net]
    rules: dict[str, Rules]


def check(program: tree.Program, choices: Choices, cache: str | None = None) -> list[Diagnostic]:
    """Every diagnostic of a program; no error when it is right."""
    report = Report()
    resolved = _resolve_all(program, choices, report, cache)
    for block in resolved.blocks.trains:
        _train(block, resolved, report)
    for name, cluster in resolved.blocks.clusters.items():
        if choices.np is not None or not mentions_np(cluster.members):
            found = resolve_cluster(cluster, choices.np, resolved.blocks.scope, report)
            if found is not None and choices.np is not None and choices.cluster == name:
                check_processes(found, choices.np, report)
    return list(dict.fromkeys([*report.warnings, *report.found]))


def resolve(program: tree.Program, choices: Choices, cache: str | None = None) -> tuple[Model, ...]:
    """The models of the chosen train blocks, in order.

    `cache` is a folder of prepared data that spares reading data again. Raises `Failed`.
    """
    report = Report()
    resolved = _resolve_all(program, choices, report, cache)
    trains = chosen_trains(program, resolved.blocks, choices, report)
    blocks = [(t, _train(t, resolved, report)) for t in trains]
    runs = _run_names(resolved.blocks.trains)
    cluster = chosen_cluster(resolved.blocks, choices, report)
    models = []
    for block, train in blocks:
        rules = chosen_rules(block, resolved.blocks, resolved.nets, resolved.rules, choices, report)
        if train is not None and cluster is not None:
            net = resolved.nets[block.net.text]
            dataset = resolved.data[net.block.data.text]
            train = for_groups(train, cluster.topology.worker_groups, dataset.facts.train)
            files, run = tuple(resolved.blocks.files), runs[block]
            models.append(Model(net, dataset, train, cluster, rules, files, run))
    report.stop_if_any()
    return tuple(models)


def _run_names(trains: Sequence[tree.Train]) -> dict[tree.Train, str]:
    """Each train's own run folder, called after its net: `rbm`, `rbm-2`; one alone needs none."""
    if len(trains) == 1:
        return {trains[0]: ""}
    nets = [t.net.text for t in trains]
    counts = [nets[: k + 1].count(net) for k, net in enumerate(nets)]
    named = zip(trains, nets, counts, strict=True)
    return {t: net if count == 1 else f"{net}-{count}" for t, net, count in named}


def _resolve_all(
    program: tree.Program, choices: Choices, report: Report, cache: str | None
) -> _Program:
    blocks = gather(program, choices.changes, report)
    layers, updaters = definitions(blocks, report)
    kinds = kinds_of(layers)
    resolved = _Program(blocks, kinds, updaters, {}, {}, {})
    for name, data in blocks.data.items():
        dataset = resolve_dataset(data, blocks.scope, report, cache)
        if dataset is not None:
            resolved.data[name] = dataset
    for name, net in blocks.nets.items():
        _net(name, net, resolved, report)
    graphs = {name: net.graph for name, net in resolved.nets.items()}
    broken = [name for name in blocks.nets if name not in graphs]
    check_origins(graphs, blocks.trains, broken, report)
    for name, partition in blocks.partitions.items():
        _partition(name, partition, resolved, report)
    return resolved


# -- nets ------------------------------------------------------------------------------------------


def _net(name: str, block: tree.Net, resolved: _Program, report: Report) -> None:
    data = block.data
    if data.text not in resolved.blocks.data:
        help = did_you_mean(data.text, resolved.blocks.data)
        help = help or f'data {data.text} = csv("data.csv")'
        report.error("SG0171", f"there is no data `{data.text}`", data.span, help=help)
        return
    dataset = resolved.data.get(data.text)
    if dataset is None:
        return
    blocks, scope = resolved.blocks.blocks, resolved.blocks.scope
    texts: tuple[str, ...] = ()
    if SOURCES[dataset.request.kind].is_text and not dataset.facts.absent:
        texts, size = tuple(dataset.shapes), len(vocabulary(dataset.request))
        scope = {VOCAB: Binding(Fraction(size), dataset.request.span), **scope}
    net = resolve_net(block, dataset.shapes, blocks, resolved.kinds, scope, report, texts)
    if net is None:
        return
    fits = (labels_fit(net, dataset, report), words_fit(net, dataset.facts, report))
    if all(fits):
        resolved.nets[name] = net


# -- partitions, trains, clusters ------------------------------------------------------------------


def _partition(name: str, block: tree.Partition, resolved: _Program, report: Report) -> None:
    if block.net.text not in resolved.blocks.nets:
        _no_net(block.net, resolved.blocks, report)
        return
    net = resolved.nets.get(block.net.text)
    if net is not None and (rules := resolve_rules(block, net, report)) is not None:
        resolved.rules[name] = rules


def _train(block: tree.Train, resolved: _Program, report: Report) -> TrainBlock | None:
    name = block.net.text
    if name not in resolved.blocks.nets:
        _no_net(block.net, resolved.blocks, report)
        return None
    net = resolved.nets.get(name)
    dataset = resolved.data[net.block.data.text] if net is not None else None
    absent = dataset is not None and dataset.facts.absent
    examples = None if dataset is None or absent else dataset.facts.train
    scope = resolved.blocks.scope
    train = resolve_train(block, examples, resolved.updaters, scope, report)
    if absent and not _counts_steps(block, report):
        return None
    if net is None or dataset is None or train is None:
        return None
    algorithm, span = train.training.algorithm, train.spans.get("algorithm", block.net.span)
    if not trains(algorithm, net.graph, span, net.block.name.span, report):
        return None
    train = carrying(train, net.graph, examples, report)
    if not absent:
        data = resolved.blocks.data[dataset.name]
        if train.training.test.every and not dataset.facts.test:
            _no_part("test", train, data, report)
        if train.training.validate.every and not dataset.facts.validate:
            _no_part("validate", train, data, report)
    return train


def _counts_steps(block: tree.Train, report: Report) -> bool:
    """Whether a train block can do without the number of examples."""
    epochs = next((s for s in block.settings if s.path.text == "epochs"), None)
    if epochs is not None:
        message = "how many steps an epoch has is not known before the data is there"
        help = "say steps instead of epochs"
        report.error("SG0179", message, epochs.span, help=help, exit=Exit.DAMAGED)
    return epochs is None


def _no_part(part: str, train: TrainBlock, data: tree.Data, report: Report) -> None:
    message = f"the data `{data.name.text}` has no {part} part to {part} on"
    related = (Place(data.call.span, f"no `{part}` here"),)
    help = f"hold out a fifth with {part} = 0.2, or leave out this setting"
    report.error("SG0165", message, train.spans[part], related=related, help=help)


def _no_net(name: tree.Name, blocks: Blocks, report: Report) -> None:
    help = did_you_mean(name.text, blocks.nets) or f"net {name.text} on DATA {{ ... }}"
    report.error("SG0174", f"there is no net `{name.text}`", name.span, help=help)
