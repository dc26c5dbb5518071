"""Syntax tree -> model: the net graph, its data, its training and its topology.

Everything a file says is checked, whether a run would use it or not; what a run uses is chosen by
`Choices`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from singac.diagnostics import Diagnostic, Exit, Failed, Place, Report, Span, did_you_mean
from singac.layers.kind import LayerKind, Sizes, columns
from singac.model.algorithms import trains
from singac.model.arguments import collect
from singac.model.carry import carrying
from singac.model.definitions import definitions
from singac.model.equations import Updater
from singac.model.graph import Layer
from singac.model.lookups import words_fit
from singac.model.net import Net, kinds_of, resolve_net
from singac.model.origins import check_origins
from singac.model.program import Blocks, Change, gather
from singac.model.rules import AUTO, BATCH, Rules, all_on_auto, resolve_rules
from singac.model.topology import (
    Cluster,
    check_processes,
    mentions_np,
    resolve_cluster,
    without_cluster,
)
from singac.model.training import TrainBlock, for_groups, resolve_train
from singac.model.values import Binding, Scope
from singac.settings import Given, Setting
from singac.sources.kind import Facts, Request
from singac.sources.probe import probe, request_of
from singac.sources.table import SOURCES
from singac.sources.text import vocabulary
from singac.syntax import tree

VOCAB = "vocab"  # in a net on a text, how many characters or words there are


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


@dataclass(frozen=True, slots=True)
class Dataset:
    """A resolved data block."""

    name: str
    request: Request
    facts: Facts

    @property
    def shapes(self) -> dict[str, Sizes]:
        return {f.name: f.shape for f in self.facts.fields}


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
    trains = _chosen_trains(program, resolved.blocks, choices, report)
    blocks = [(t, _train(t, resolved, report)) for t in trains]
    runs = _run_names(resolved.blocks.trains)
    cluster = _chosen_cluster(resolved, choices, report)
    models = []
    for block, train in blocks:
        rules = _chosen_rules(block, resolved, choices, report)
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
        dataset = _dataset(data, blocks.scope, report, cache)
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


# -- data ------------------------------------------------------------------------------------------


def resolve_data(
    program: tree.Program, name: str | None, changes: tuple[Change, ...], cache: str | None = None
) -> Dataset:
    """The data block of this name, or the only one; the rest of the program is not looked at.

    Raises `Failed`.
    """
    report = Report()
    blocks = gather(program, changes, report)
    report.stop_if_any()
    if name is None and len(blocks.data) == 1:
        name = next(iter(blocks.data))
    if name is None or name not in blocks.data:
        message = "say which data block" if name is None else f"there is no data `{name}`"
        help = did_you_mean(name or "", blocks.data) or "the program has none"
        raise Failed([Diagnostic("SG0178", message, help=help, exit=Exit.USAGE)])
    dataset = _dataset(blocks.data[name], blocks.scope, report, cache)
    report.stop_if_any()
    assert dataset is not None, "what is refused is reported"
    return dataset


def _dataset(data: tree.Data, scope: Scope, report: Report, cache: str | None) -> Dataset | None:
    kind = data.call.path.text
    if kind not in SOURCES:
        help = did_you_mean(kind, SOURCES)
        message = f"there is no data kind `{kind}`"
        report.error("SG0170", message, data.call.path.span, help=help)
        return None
    given = _given(data.call, SOURCES[kind].settings, scope, report)
    if given is None:
        return None
    request = request_of(kind, given, data.call.span, report)
    facts = None if request is None else probe(request, report, cache)
    return None if request is None or facts is None else Dataset(data.name.text, request, facts)


def _given(
    call: tree.Apply, table: tuple[Setting, ...], scope: Scope, report: Report
) -> dict[str, Given] | None:
    before = len(report.found)
    found = collect(call.arguments, table, scope, report, ())
    return found.given if len(report.found) == before else None


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
    fits = (_labels_fit(net, dataset, report), words_fit(net, dataset.facts, report))
    if all(fits):
        resolved.nets[name] = net


def _labels_fit(net: Net, dataset: Dataset, report: Report) -> bool:
    """Whether every label is a class number below the number of scores."""
    before = len(report.found)
    for layer in net.graph.layers():
        slot = None if layer.kind is None else layer.kind.label_slot
        if slot is not None:
            _label_fits(net, layer, net.graph.origin(layer.sources[slot]), dataset, report)
    return len(report.found) == before


def _label_fits(net: Net, layer: Layer, label: Layer, dataset: Dataset, report: Report) -> None:
    largest = dataset.facts.label
    classes = columns(net.graph.layer(layer.sources[0]).shape)
    field = dataset.facts.fields[-1].name
    if label.name != field:
        related = () if label.kind is None else (Place(label.span, f"`{label.name}` is a layer"),)
        message = f"`{label.name}` holds no class numbers, and `{layer.name}` needs them"
        help = f"the class numbers of this data are its field `{field}`"
        report.error("SG0172", message, layer.span, related=related, help=help)
    elif largest is None:
        message = f"`{label.name}` holds real numbers, and `{layer.name}` needs class numbers"
        data = dataset.request.span
        related = (Place(data, f"`{label.name}` is read here"),) if data else ()
        help = f"for real numbers: [{layer.sources[0]}, {label.name}] -> euclidean_loss"
        report.error("SG0172", message, layer.span, related=related, help=help)
    elif largest.largest >= classes:
        _label_out_of_range(net, layer.name, dataset, report)


def _label_out_of_range(net: Net, layer: str, dataset: Dataset, report: Report) -> None:
    largest = dataset.facts.label
    assert largest is not None, "only called with labels"
    loss = net.graph.layer(layer)
    scores = net.graph.layer(loss.sources[0])
    classes = columns(scores.shape)
    message = f"label {largest.largest} at {largest.place} of {largest.file} is out of range"
    related = (Place(scores.span, f"`{scores.name}` has {classes} classes, 0 to {classes - 1}"),)
    help = f"give `{scores.name}` {largest.largest + 1} units, or mend the data"
    report.error("SG0173", message, loss.span, related=related, help=help, exit=Exit.DAMAGED)


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


def _chosen_trains(
    program: tree.Program, blocks: Blocks, choices: Choices, report: Report
) -> list[tree.Train]:
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


def _chosen_cluster(resolved: _Program, choices: Choices, report: Report) -> Cluster | None:
    if choices.alone:
        return without_cluster(1)
    clusters = resolved.blocks.clusters
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
    cluster = resolve_cluster(block, choices.np, resolved.blocks.scope, report)
    if cluster is not None and choices.np is not None:
        check_processes(cluster, choices.np, report)
    return cluster


def _chosen_rules(
    block: tree.Train, resolved: _Program, choices: Choices, report: Report
) -> Rules | None:
    if choices.alone:
        return None
    name = choices.partition
    if name == BATCH and BATCH not in resolved.blocks.partitions:
        return None
    if name == AUTO and AUTO not in resolved.blocks.partitions:
        net = resolved.nets.get(block.net.text)
        return None if net is None else all_on_auto(net)
    if name is not None:
        partition = resolved.blocks.partitions.get(name)
        if partition is None:
            help = did_you_mean(name, [*resolved.blocks.partitions, BATCH, AUTO])
            report.error("SG0177", f"there is no partition `{name}`", help=help, exit=Exit.USAGE)
        elif partition.net.text != block.net.text:
            return None  # it cuts another net of the program
        return resolved.rules.get(name)
    own = [p for p in resolved.blocks.partitions.values() if p.net.text == block.net.text]
    if len(own) > 1:
        _several("SG0177", "partition", f"the net `{block.net.text}`", tuple(own), report)
    return resolved.rules.get(own[0].name.text) if len(own) == 1 else None


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
