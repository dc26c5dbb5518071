"""Statements of a net -> a flat list of layers with full names: blocks and repeats written out.

A layer without a name is called after its kind, numbered where a block or net has several of them
(`relu1`, `relu2`); so is a named layer inside a `repeat`. A block's layers are named inside it:

    conv2: convolve(256, 5x5)   ->   conv2.conv, conv2.relu; `conv2` means its last layer

The layers of an `unroll` are named as if they stood outside it: its copies are one layer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from singac.diagnostics import Place, Report, Span, did_you_mean
from singac.model.arguments import as_whole, given_twice
from singac.model.values import Binding, Scope, bind, evaluate
from singac.syntax import tree

MOST_LAYERS = 10_000
MOST_STEPS = 10_000
DEEPEST_BLOCK = 100


@dataclass(frozen=True, slots=True)
class SourceRef:
    """A source by its full name as written, to be looked up once all layers are known.

    `delay` says how many steps before this one is meant.
    """

    name: str
    span: Span
    delay: int = 0


@dataclass(frozen=True, slots=True)
class Unrolled:
    """The `number`-th `unroll` of a net, from 1, in `steps` copies."""

    number: int
    steps: int
    span: Span


@dataclass(frozen=True, slots=True)
class Placed:
    """A layer to be: its full name, its kind's word, its arguments and what they may name.

    `undirected` when `<->` leads to it.
    """

    name: str
    step: tree.LayerStep
    scope: Scope
    prefix: str
    sources: tuple[SourceRef, ...]
    undirected: bool = False
    unrolled: Unrolled | None = None


@dataclass(frozen=True, slots=True)
class PlacedParam:
    """A shared param by its full name, and how it is drawn or where it is taken from."""

    name: str
    origin: tree.Apply | tree.Name | tree.String
    scope: Scope
    span: Span


@dataclass(slots=True)
class Expanded:
    """Everything a net's statements come to, in declaration order.

    `outputs` maps the name of a layer or block to the layer it means as a source; `members` the
    name of a block to its layers.
    """

    layers: list[Placed] = field(default_factory=list)
    params: list[PlacedParam] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    members: dict[str, tuple[str, ...]] = field(default_factory=dict)


def expand(
    net: tree.Net,
    fields: tuple[str, ...],
    blocks: Mapping[str, tree.Block],
    scope: Scope,
    report: Report,
) -> Expanded:
    """The layers of a net on data with these fields."""
    expanded = Expanded(outputs={name: name for name in fields})
    _Expander(blocks, report, expanded).statements(net.statements, "", scope, None, ())
    return expanded


@dataclass(frozen=True, slots=True)
class _Step:
    step: tree.LayerStep
    repeated: bool
    undirected: bool = False


@dataclass(frozen=True, slots=True)
class _Chain:
    """A chain with its repeats written out, and the unroll it stands in."""

    chain: tree.Chain
    steps: list[_Step]
    unrolled: Unrolled | None


class _Expander:
    def __init__(
        self, blocks: Mapping[str, tree.Block], report: Report, expanded: Expanded
    ) -> None:
        self.blocks, self.report, self.expanded = blocks, report, expanded
        self.spans: dict[str, Span] = {}
        self.unrolled: Unrolled | None = None  # what is being expanded stands in it
        self.unrolls = 0

    def statements(
        self,
        statements: tuple[tree.Statement, ...],
        prefix: str,
        scope: Scope,
        entry: SourceRef | None,
        inside: tuple[str, ...],
    ) -> str | None:
        """Expands the statements of a net or block; gives the full name of the last layer."""
        chains = self._chains(statements, prefix, scope)
        namer = _Namer([s for chain in chains for s in chain.steps], self.report)
        last, around = None, self.unrolled
        for chain in chains:
            self.unrolled = chain.unrolled
            last = self._chain(chain.chain, chain.steps, namer, prefix, scope, entry, inside)
        self.unrolled = around
        return last

    def _chains(
        self, statements: tuple[tree.Statement, ...], prefix: str, scope: Scope
    ) -> list[_Chain]:
        """The chains of a net, a block or an unroll, in order; params are placed on the way."""
        found: list[_Chain] = []
        for statement in statements:
            match statement:
                case tree.Chain():
                    steps = self._flat(statement, scope)
                    found.append(_Chain(statement, steps, self.unrolled))
                case tree.ParamDraw(names, origin) | tree.ParamFrom(names, origin):
                    self.expanded.params += [
                        PlacedParam(prefix + n.text, origin, scope, n.span) for n in names
                    ]
                case tree.Unroll():
                    found += self._unroll(statement, prefix, scope)
        return found

    def _unroll(self, unroll: tree.Unroll, prefix: str, scope: Scope) -> list[_Chain]:
        """The chains of an unroll, which must not stand in another."""
        if self.unrolled is not None:
            related = (Place(self.unrolled.span, "inside this one"),)
            message = "an unroll inside an unroll"
            help = "close the first before the second; what is outside feeds every step"
            self.report.error("SG0185", message, unroll.count.span, related=related, help=help)
            return []
        span = unroll.count.span
        value = evaluate(unroll.count, scope, self.report)
        if value is None:
            return []
        steps = as_whole(value, "the number of steps", span, self.report, scope, 1, MOST_STEPS)
        self.unrolls += 1
        self.unrolled = Unrolled(self.unrolls, steps or 1, span)
        found = self._chains(unroll.statements, prefix, scope)
        self.unrolled = None
        return found

    def _flat(self, chain: tree.Chain, scope: Scope) -> list[_Step]:
        found: list[_Step] = []
        for link in chain.links:
            if link.undirected:
                found += self._joined(link)
            else:
                self._unrepeat(link.step, scope, False, found)
        return found

    def _joined(self, link: tree.Link) -> list[_Step]:
        """The layer at the other end of an undirected connection."""
        step = link.step
        if isinstance(step, tree.LayerStep) and step.kind.text not in self.blocks:
            return [_Step(step, repeated=False, undirected=True)]
        message = "`<->` leads to one layer, not to a block or a repeat"
        help = "vis: rbm_visible(units) <-> hid: rbm_hidden(units)"
        self.report.error("SG0135", message, link.span, help=help)
        return []

    def _unrepeat(self, step: tree.Step, scope: Scope, repeated: bool, found: list[_Step]) -> None:
        if len(found) > MOST_LAYERS:
            return
        if isinstance(step, tree.LayerStep):
            found.append(_Step(step, repeated))
            if len(found) > MOST_LAYERS:
                message = f"this makes more than {MOST_LAYERS:,} layers"
                help = "repeat less often"
                self.report.error("SG0145", message, step.span, help=help)
            return
        value = evaluate(step.count, scope, self.report)
        if value is None:
            return
        span = step.count.span
        count = as_whole(value, "the number of repeats", span, self.report, scope, 1, MOST_LAYERS)
        for _ in range(count or 0):
            for inner in step.steps:
                self._unrepeat(inner, scope, True, found)

    def _chain(
        self,
        chain: tree.Chain,
        steps: list[_Step],
        namer: _Namer,
        prefix: str,
        scope: Scope,
        entry: SourceRef | None,
        inside: tuple[str, ...],
    ) -> str | None:
        sources = tuple(self._source(ref, prefix, entry) for ref in chain.sources)
        last: str | None = None
        for step in steps:
            name = prefix + namer.name(step)
            if step.step.kind.text in self.blocks:
                last = self._block(step.step, name, sources, scope, inside)
            else:
                last = self._layer(step, name, sources, scope, prefix)
            sources = (SourceRef(last or name, step.step.span),)
        return last

    def _source(self, ref: tree.Ref, prefix: str, entry: SourceRef | None) -> SourceRef:
        if entry is not None and ref.path.text == "input":
            return SourceRef(entry.name, entry.span, entry.delay + ref.delay)
        return SourceRef(prefix + ref.path.text, ref.span, ref.delay)

    def _layer(
        self,
        given: _Step,
        name: str,
        sources: tuple[SourceRef, ...],
        scope: Scope,
        prefix: str,
    ) -> str:
        step = given.step
        if self._is_new(name, step.span):
            placed = Placed(name, step, scope, prefix, sources, given.undirected, self.unrolled)
            self.expanded.layers.append(placed)
            self.expanded.outputs[name] = name
        return name

    def _is_new(self, name: str, span: Span) -> bool:
        """Whether nothing else in the net has the name; reports otherwise."""
        if name not in self.expanded.outputs:
            self.spans[name] = span
            return True
        first = self.spans.get(name)
        if first is None:
            message = f"`{name}` is a field of the data and cannot name a layer"
            self.report.error("SG0109", message, span, help=f"{name}1: ...")
        else:
            related = (Place(first, "first named here"),)
            self.report.error("SG0109", f"`{name}` is named twice", span, related=related)
        return False

    def _block(
        self,
        step: tree.LayerStep,
        name: str,
        sources: tuple[SourceRef, ...],
        scope: Scope,
        inside: tuple[str, ...],
    ) -> str | None:
        """The layers of a block; gives the full name of the last."""
        block = self.blocks[step.kind.text]
        if not self._is_new(name, step.span) or not self._can_enter(block, step, sources, inside):
            self.expanded.outputs.setdefault(name, name)  # so that it is not unknown besides
            return name
        start = len(self.expanded.layers)
        inner_scope = self._bind(block, step, scope)
        if inner_scope is None:
            self.expanded.outputs[name] = name
            return name
        within = (*inside, block.name.text)
        last = self.statements(block.statements, f"{name}.", inner_scope, sources[0], within)
        self.expanded.members[name] = tuple(p.name for p in self.expanded.layers[start:])
        self.expanded.outputs[name] = last or name
        return last

    def _can_enter(
        self,
        block: tree.Block,
        step: tree.LayerStep,
        sources: tuple[SourceRef, ...],
        inside: tuple[str, ...],
    ) -> bool:
        """Whether a block has layers, is not inside itself and is fed by one source."""
        related = (Place(block.name.span, "defined here"),)
        name, message, help = block.name.text, "", None
        if name in inside or len(inside) > DEEPEST_BLOCK:
            code, message = "SG0140", f"the block `{name}` contains itself"
        elif not any(isinstance(s, tree.Chain) for s in block.statements):
            code, message = "SG0149", f"the block `{name}` has no layers"
            help = f"block {name}(units) {{ input -> dense(units) }}"
        elif len(sources) != 1:
            code, message = "SG0141", f"a block takes one source, not {len(sources)}"
            help = "join them with a layer first, or feed them inside the net"
        if message:
            self.report.error(code, message, step.span, related=related, help=help)
        return not message

    def _bind(self, block: tree.Block, step: tree.LayerStep, scope: Scope) -> Scope | None:
        """The scope inside a block: the lets around it and the block's own settings."""
        before = len(self.report.found)
        formals = [f.text for f in block.formals]
        values: dict[str, Binding] = {}
        for argument in step.arguments:
            name = self._formal(block, argument, [f for f in formals if f not in values])
            if name is None or isinstance(argument, tree.Drawn):
                continue
            if (first := values.get(name)) is not None and first.span is not None:
                given_twice(name, first.span, argument.span, self.report)
            values[name] = bind(argument.value, argument.span, scope, self.report)
        missing = [f for f in formals if f not in values]
        if missing and len(self.report.found) == before:
            related = (Place(block.name.span, "defined here"),)
            message = f"the block `{block.name.text}` needs {' and '.join(missing)}"
            self.report.error("SG0202", message, step.span, related=related)
        return {**scope, **values} if len(self.report.found) == before else None

    def _formal(self, block: tree.Block, argument: tree.Argument, free: list[str]) -> str | None:
        """The setting of a block that an argument gives; a block has no params."""
        formals = [f.text for f in block.formals]
        name = block.name.text
        help = f"`{name}` takes {', '.join(formals) or 'no settings'}"
        if isinstance(argument, tree.Positional):
            message = f"the block `{name}` takes no more values"
            found = free[0] if free else None
        else:
            written = argument.path.text
            message = f"the block `{name}` has no setting `{written}`"
            help = did_you_mean(written, formals) or help
            found = written if written in formals else None
        if found is None or isinstance(argument, tree.Drawn):
            related = (Place(block.name.span, "defined here"),)
            self.report.error("SG0100", message, argument.span, related=related, help=help)
        return found


class _Namer:
    """Names for the steps of one net or block."""

    def __init__(self, steps: list[_Step], report: Report) -> None:
        self._fixed = {s.step.name.text for s in steps if s.step.name and not s.repeated}
        self._count = Counter(_base(s) for s in steps if _is_free(s))
        self._next: Counter[str] = Counter()

    def name(self, step: _Step) -> str:
        base = _base(step)
        if not _is_free(step) or (self._count[base] == 1 and base not in self._fixed):
            return base
        while True:
            self._next[base] += 1
            numbered = f"{base}{self._next[base]}"
            if numbered not in self._fixed:
                return numbered


def _base(step: _Step) -> str:
    return (step.step.name or step.step.kind).text


def _is_free(step: _Step) -> bool:
    """Whether the layer's name is ours to make."""
    return step.step.name is None or step.repeated


def unknown_source(ref: SourceRef, placed: Placed, expanded: Expanded, report: Report) -> None:
    """Reports a source that no layer, block or field is called; its own consumer is not offered."""
    prefix = placed.prefix
    here = [n.removeprefix(prefix) for n in expanded.outputs if n.startswith(prefix)]
    word = ref.name.removeprefix(prefix)
    known = [n for n in here if prefix + n != placed.name]
    help = did_you_mean(word, ["input", *known] if prefix else known)
    report.error("SG0102", f"no layer is named `{word}`", ref.span, help=help)
