"""Files of a program -> its blocks by kind and name, with `let`s and command-line changes applied.

A `use` brings another file's blocks as if they stood there; paths are relative to the file that
says them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from singac.diagnostics import Diagnostic, Failed, Place, Report, Source, Span, did_you_mean
from singac.model.values import Binding, Scope, bind
from singac.syntax import tree
from singac.syntax.parse import parse
from singac.syntax.read import read

Named = (
    tree.Data
    | tree.Block
    | tree.LayerDef
    | tree.UpdaterDef
    | tree.Net
    | tree.Partition
    | tree.Cluster
)
Item = TypeVar("Item", bound=tree.Item)
DEEPEST_USE = 50
# fmt: off
EXAMPLES = {
    "train":   "train mlp { updater = SGD(rate = 0.1)  batch = 64  steps = 1000 }",
    "cluster": "cluster two { 1 worker group of 2 }",
    "data":    'data points = csv("points.csv")',
}
# fmt: on


@dataclass(frozen=True, slots=True)
class Change:
    """`--let hidden=512` or `--set train.steps=100`, as `option name=value`."""

    option: str
    name: str
    value: str

    @property
    def source(self) -> Source:
        """The change parsed as a `let`, a name with dots as one without, and shown as written."""
        parsed = f"let {self.name.replace('.', '_')} = {self.value}"
        return Source(f"--{self.option}", parsed, f"    {self.name} = {self.value}")

    @property
    def span(self) -> Span:
        """The name in `source`."""
        return Span(self.source, 4, 4 + len(self.name))


@dataclass(slots=True)
class Blocks:
    """The blocks of a program, each kind in declaration order, and the files they came from."""

    data: dict[str, tree.Data] = field(default_factory=dict)
    blocks: dict[str, tree.Block] = field(default_factory=dict)
    layers: dict[str, tree.LayerDef] = field(default_factory=dict)
    updaters: dict[str, tree.UpdaterDef] = field(default_factory=dict)
    nets: dict[str, tree.Net] = field(default_factory=dict)
    partitions: dict[str, tree.Partition] = field(default_factory=dict)
    trains: list[tree.Train] = field(default_factory=list)
    clusters: dict[str, tree.Cluster] = field(default_factory=dict)
    lets: dict[str, Binding] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)

    @property
    def scope(self) -> Scope:
        return self.lets


def gather(program: tree.Program, changes: tuple[Change, ...], report: Report) -> Blocks:
    """All blocks of a program and of the files it uses."""
    blocks = Blocks()
    items = tuple(_with_uses(program, (), blocks.files, report))
    _bind_lets(items, changes, blocks, report)
    for item in items:
        _file(item, blocks, report)
    return _changed(blocks, changes, report)


def _with_uses(
    program: tree.Program, using: tuple[str, ...], files: list[str], report: Report
) -> list[tree.Item]:
    files.append(program.source.path)
    here = (*using, str(Path(program.source.path).resolve()))
    items: list[tree.Item] = []
    for item in program.items:
        if isinstance(item, tree.Use):
            items += _used(item, here, files, report)
        else:
            items.append(item)
    return items


def _used(
    use: tree.Use, using: tuple[str, ...], files: list[str], report: Report
) -> list[tree.Item]:
    path = Path(use.span.source.path).parent / use.path.text
    if str(path.resolve()) in using or len(using) > DEEPEST_USE:
        around = [Path(u).name for u in [*using, str(path)]]
        label = " uses ".join(around)
        report.error("SG0106", f"the file {use.path.text} uses itself", use.span, label)
        return []
    if any(path.resolve() == Path(f).resolve() for f in files):
        return []  # two files may use a third; its blocks are there once
    try:
        return _with_uses(parse(read(path)), using, files, report)
    except Failed as failed:
        report.found += [_as_used(d, use) for d in failed.diagnostics]
        return []


def _as_used(diagnostic: Diagnostic, use: tree.Use) -> Diagnostic:
    """What is wrong with a used file, with the place that uses it."""
    if diagnostic.place is None:
        message = f"{use.path.text} cannot be used: {diagnostic.message}"
        return replace(diagnostic, message=message, place=Place(use.span), file=None)
    return replace(diagnostic, related=(*diagnostic.related, Place(use.span, "used here")))


def _bind_lets(
    items: tuple[tree.Item, ...], changes: tuple[Change, ...], blocks: Blocks, report: Report
) -> None:
    """Lets in order, each seeing the ones before; `--let` replaces the value of one."""
    replaced = {c.name: c for c in changes if c.option == "let"}
    for item in items:
        if not isinstance(item, tree.Let):
            continue
        name = item.name.text
        if name in blocks.lets:
            _duplicate(item.name, blocks.lets[name].span, report)
            continue
        changed = name in replaced
        node = _changed_value(replaced.pop(name), report) if changed else item.value
        blocks.lets[name] = bind(node, item.name.span, blocks.lets, report)
    for change in replaced.values():
        message = f"the program has no `let {change.name}` to replace"
        help = did_you_mean(change.name, blocks.lets) or f"write let {change.name} = ... in it"
        report.error("SG0108", message, change.span, help=help)


def _changed_value(change: Change, report: Report) -> tree.Value | None:
    """The value of a `--let` or `--set`, read as the text of a `let`."""
    try:
        items = parse(change.source).items
    except Failed as failed:
        report.found.extend(failed.diagnostics)
        return None
    item = items[0] if len(items) == 1 else None
    if isinstance(item, tree.Let):
        return item.value
    report.error("SG0107", f"--{change.option} takes one name and one value", change.span)
    return None


def _file(item: tree.Item, blocks: Blocks, report: Report) -> None:
    match item:
        case tree.Train():
            blocks.trains.append(item)
        case tree.Use() | tree.Let():
            pass
        case _:
            _add(_shelf(item, blocks), item, report)


def _shelf(item: Named, blocks: Blocks) -> dict[str, Named]:
    shelves: Mapping[type, object] = {
        tree.Data: blocks.data,
        tree.Block: blocks.blocks,
        tree.LayerDef: blocks.layers,
        tree.UpdaterDef: blocks.updaters,
        tree.Net: blocks.nets,
        tree.Partition: blocks.partitions,
        tree.Cluster: blocks.clusters,
    }
    shelf = shelves[type(item)]
    assert isinstance(shelf, dict), "each kind of block has a shelf"
    return shelf


def _add(shelf: dict[str, Named], item: Named, report: Report) -> None:
    name = item.name
    if name.text in shelf:
        _duplicate(name, shelf[name.text].name.span, report)
    else:
        shelf[name.text] = item


def _duplicate(name: tree.Name, first: Span | None, report: Report) -> None:
    related = (Place(first, "first named here"),) if first else ()
    report.error("SG0109", f"`{name.text}` is named twice", name.span, related=related)


# -- --set -----------------------------------------------------------------------------------------


def _changed(blocks: Blocks, changes: tuple[Change, ...], report: Report) -> Blocks:
    for change in (c for c in changes if c.option == "set"):
        node = _changed_value(change, report)
        if node is not None:
            _set(blocks, change, node, report)
    return blocks


def _set(blocks: Blocks, change: Change, node: tree.Value, report: Report) -> None:
    """`train.steps`, `cluster.sync_every`, `data.scale`; a block's own name serves as well."""
    block, _, setting = change.name.partition(".")
    trains = [t for t in blocks.trains if block in ("train", t.net.text)]
    clusters = [c for n, c in blocks.clusters.items() if block in ("cluster", n)]
    data = [d for n, d in blocks.data.items() if block in ("data", n)]
    if not setting or not (trains or clusters or data):
        _no_block(block if setting else "", blocks, change, report)
        return
    named = _named(setting, node, change.span)
    blocks.trains = [_with_setting(t, named) if t in trains else t for t in blocks.trains]
    for cluster in clusters:
        blocks.clusters[cluster.name.text] = replace(
            cluster, members=_replaced(cluster.members, named)
        )
    for item in data:
        arguments = item.call.arguments
        if setting == "path":  # may stand first without its name
            arguments = tuple(a for a in arguments if not isinstance(a, tree.Positional))
        call = replace(item.call, arguments=_replaced(arguments, named))
        blocks.data[item.name.text] = replace(item, call=call)


def _no_block(block: str, blocks: Blocks, change: Change, report: Report) -> None:
    shelves = (("train", blocks.trains), ("cluster", blocks.clusters), ("data", blocks.data))
    kinds = [kind for kind, shelf in shelves if shelf]
    nets = [t.net.text for t in blocks.trains]
    known = [*kinds, *nets, *blocks.clusters, *blocks.data]
    help: str | None
    if block in EXAMPLES:
        message, help = f"the program has no {block} block", EXAMPLES[block]
    elif block:
        message = f"no block `{block}` has settings to replace"
        help = did_you_mean(block, known)
    else:
        message = f"`{change.name}` says no block, or no setting of it"
        help = "write --set train.steps=100"
    report.error("SG0110", message, change.span, help=help)


def _with_setting(train: tree.Train, named: tree.Named) -> tree.Train:
    return replace(train, settings=_replaced(train.settings, named))


Member = TypeVar("Member")


def _replaced(members: tuple[Member, ...], named: tree.Named) -> tuple[Member | tree.Named, ...]:
    """The members with the setting of that name replaced, or added at the end."""

    def is_it(member: object) -> bool:
        return isinstance(member, tree.Named) and member.path.text == named.path.text

    if any(is_it(m) for m in members):
        return tuple(named if is_it(m) else m for m in members)
    return (*members, named)


def _named(setting: str, node: tree.Value, span: Span) -> tree.Named:
    names = tuple(tree.Name(n, span) for n in setting.split("."))
    return tree.Named(tree.Path(names, span), node, node.span)
