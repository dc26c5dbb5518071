"""A `partition` block -> what its rules say of each layer of its net."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from singac.diagnostics import Place, Report, Span, did_you_mean
from singac.model.net import Net
from singac.syntax import tree

AUTO = "auto"  # the compiler chooses
BATCH = "batch"  # every layer, as where nothing is said


@dataclass(frozen=True, slots=True)
class Cut:
    """What a rule says of a layer: cut on `dimension`, or whole at `worker`; and where it says."""

    dimension: str | None
    worker: int | None
    span: Span

    @property
    def text(self) -> str:
        """As in a rule: `batch`, `at 2`."""
        return self.dimension if self.dimension is not None else f"at {self.worker}"


@dataclass(frozen=True, slots=True)
class Rules:
    """A partition's name and what it says of each layer; layers no rule names are on batch."""

    name: str
    cuts: Mapping[str, Cut]


def all_on_auto(net: Net) -> Rules:
    """The rules of `--partition auto`: every layer is left to the compiler."""
    layers = [layer for layer in net.graph.layers() if layer.kind is not None]
    return Rules(AUTO, {layer.name: Cut(AUTO, None, layer.span) for layer in layers})


def resolve_rules(block: tree.Partition, net: Net, report: Report) -> Rules | None:
    """The rules of a partition, or None after reporting layers that are unknown or ruled twice."""
    before = len(report.found)
    cuts: dict[str, Cut] = {}
    for rule in block.rules:
        cut = Cut(rule.dimension, rule.worker, rule.span)
        for name in _layers(rule, net, report):
            if name in cuts:
                related = (Place(cuts[name].span, "by this rule"),)
                message = f"`{name}` is cut twice"
                report.error("SG0180", message, rule.span, related=related)
            cuts.setdefault(name, cut)
    return Rules(block.name.text, cuts) if len(report.found) == before else None


def _layers(rule: tree.Rule, net: Net, report: Report) -> tuple[str, ...]:
    """Every layer on a path from the first named to the last named."""
    first = _named(rule.first, net, report)
    last = first if rule.last is None else _named(rule.last, net, report)
    if not first or not last:
        return ()
    if rule.last is None:
        return first
    found = net.graph.between(first[0], last[-1])
    if not found:
        message = f"no path leads from `{rule.first.text}` to `{rule.last.text}`"
        back = net.graph.between(last[0], first[-1])
        turned = f"one leads from `{rule.last.text}` to `{rule.first.text}`"
        help = turned if back else "name layers of which the second is reached from the first"
        report.error("SG0181", message, rule.span, help=help)
    return found


def _named(path: tree.Path, net: Net, report: Report) -> tuple[str, ...]:
    """The layers a name means: a layer itself, or the layers of a block."""
    name = path.text
    if name in net.members:
        return net.members[name]
    layers = [layer.name for layer in net.graph.layers() if layer.kind is not None]
    if name in layers:
        return (name,)
    help = did_you_mean(name, [*layers, *net.members])
    report.error("SG0102", f"no layer is named `{name}`", path.span, help=help)
    return ()
