"""Syntax tree -> rows of pieces: how each thing a writer can write is spelt."""

from __future__ import annotations

from collections.abc import Sequence

from singac.diagnostics import Span
from singac.syntax import tree
from singac.syntax.flow import NOWHERE, Close, Open, Row, Text, one_line, with_space, with_suffix
from singac.syntax.tree import Argument, Name, Step, Value

# How tightly an operator binds; a right operand must bind tighter than its operator.
_BINDS = {"+": 1, "-": 1, "*": 2, "/": 2}
_MINUS_BINDS, _ATOM_BINDS = 3, 4

# What stands on a row of its own, or opens a block of rows.
Line = (
    tree.Use | tree.Let | tree.Data | tree.ParamDraw | tree.ParamFrom | tree.Chain
    | tree.State | tree.Equation | tree.Rule | tree.Group | tree.Named
)  # fmt: skip
Body = (
    tree.Block | tree.LayerDef | tree.UpdaterDef | tree.Net | tree.Partition | tree.Train
    | tree.Cluster | tree.Unroll
)  # fmt: skip
Node = Line | Body

Atom = tree.Number | tree.Shape | tree.String | tree.Reference | tree.Transposed


def line_row(node: Line) -> Row:
    """A row without alignment to its neighbours."""
    match node:
        case tree.Use(path, span):
            return [_text(f"use {_value_text(path)}", span)]
        case tree.Let(name):
            return let_row(node, len(name.text))
        case tree.Data(name, call, span):
            return [_head(f"data {name.text} =", span, name), *with_space(_call(call), " ")]
        case tree.Named(path):
            return setting_row(node, len(path.text))
        case tree.State(name, value, span):
            return [_head(f"state {name.text} =", span, name), *with_space(_value(value), " ")]
        case tree.Equation(target, value, span):
            return [_head(f"{target.text} =", span, target), *with_space(_value(value), " ")]
        case tree.Rule():
            return [_text(" ".join(rule_cells(node)), node.span)]
        case tree.Group():
            return [_text(" ".join(group_cells(node)), node.span)]
        case tree.ParamDraw(names, call):
            return [*with_suffix(_params(node, names), " ~"), *with_space(_call(call), " ")]
        case tree.ParamFrom(names, origin):
            origin_text = _text(_origin_text(origin), origin.span)
            head = with_suffix(_params(node, names), " from checkpoint")
            return [*head, *with_space([origin_text], " ")]
        case tree.Chain():
            return chain_row(node)


def let_row(let: tree.Let, width: int) -> Row:
    """`let hidden = 256`, the name padded to a width."""
    head = _head(f"let {let.name.text:{width}} =", let.span, let.name)
    return [head, *with_space(_value(let.value), " ")]


def setting_row(setting: tree.Named, width: int) -> Row:
    """`batch = 64`, the name padded to a width."""
    head = _head(f"{setting.path.text:{width}} =", setting.span, setting.path)
    return [head, *with_space(_value(setting.value), " ")]


def rule_cells(rule: tree.Rule) -> tuple[str, str, str]:
    """`conv1`, `.. pool5`, `on batch`"""
    last = f".. {rule.last.text}" if rule.last else ""
    where = f"on {rule.dimension}" if rule.dimension is not None else f"at {rule.worker}"
    return rule.first.text, last, where


def group_cells(group: tree.Group) -> tuple[str, str, str]:
    """`2`, `worker groups`, `of 4`"""
    count = _value_text(group.count)
    plural = "" if count == "1" else "s"
    return count, f"{group.role} group{plural}", f"of {_value_text(group.size)}"


def head_row(node: Body) -> Row:
    """The row up to the `{` of a block."""
    match node:
        case tree.Block(name, formals):
            head = _head(f"block {name.text}", node.span, name)
            names: list[Row] = [[_text(f.text, f.span)] for f in formals]
            return with_suffix(_list(head, names), " {")
        case tree.LayerDef(name, formals) | tree.UpdaterDef(name, formals):
            word = "layer" if isinstance(node, tree.LayerDef) else "updater"
            head = _head(f"{word} {name.text}", node.span, name)
            if not formals:
                return with_suffix([head], " {")
            rows = [_formal(f) for f in formals]
            return with_suffix(_list(head, rows), " {")
        case tree.Net(name, data):
            return [_head(f"net {name.text} on {data.text} {{", node.span, data)]
        case tree.Partition(name, net):
            return [_head(f"partition {name.text} of {net.text} {{", node.span, net)]
        case tree.Train(net):
            return [_head(f"train {net.text} {{", node.span, net)]
        case tree.Cluster(name):
            return [_head(f"cluster {name.text} {{", node.span, name)]
        case tree.Unroll(count):
            head = Text("unroll", node.span.start, node.span.start)
            return with_suffix([head, *with_space(_value(count), " ")], " {")


def body_nodes(node: Body) -> Sequence[Node]:
    """What stands in the braces of a block."""
    match node:
        case tree.Block() | tree.Net() | tree.Unroll():
            return node.statements
        case tree.LayerDef():
            return node.equations
        case tree.UpdaterDef():
            return node.body
        case tree.Partition():
            return node.rules
        case tree.Train():
            return node.settings
        case tree.Cluster():
            return node.members


# -- chains ----------------------------------------------------------------------------------------


def chain_row(chain: tree.Chain, padding: int = 0) -> Row:
    """A chain; `padding` columns more before its first arrow."""
    row = _sources(chain)
    for at, link in enumerate(chain.links):
        arrow = "<->" if link.undirected else "->"
        step = _step(arrow, link.step, link.span.start)
        if at == 0:
            row += [Open(1 + padding), *with_space(step, " " * (1 + padding))]
        else:
            row += with_space(step, " ", may_break=True)
    return [*row, Close()]


def arrow_end(chain: tree.Chain) -> int:
    """Column after the first arrow of a chain on one line."""
    return len(one_line(_sources(chain))) + (4 if chain.links[0].undirected else 3)


def _sources(chain: tree.Chain) -> Row:
    refs: list[Row] = [[_text(_ref_text(r), r.span)] for r in chain.sources]
    if not chain.joined:
        return refs[0]
    head = Text("", chain.span.start, chain.span.start)
    return _list(head, refs, opener="[", closer="]")


def _ref_text(ref: tree.Ref) -> str:
    return f"{ref.path.text}[t-{ref.delay}]" if ref.delay else ref.path.text


def _step(arrow: str, step: Step, start: int) -> Row:
    if isinstance(step, tree.Repeat):
        return _repeat(arrow, step, start)
    name = f"{step.name.text}: " if step.name else ""
    head = Text(f"{arrow} {name}{step.kind.text}".lstrip(), start, step.kind.span.stop)
    return _arguments(head, step.arguments, step.span) if step.arguments else [head]


def _repeat(arrow: str, repeat: tree.Repeat, start: int) -> Row:
    head = Text(f"{arrow} repeat".lstrip(), start, start)
    row = [head, *with_suffix(with_space(_value(repeat.count), " "), " {"), Open(1)]
    for at, step in enumerate(repeat.steps):
        arrow = "" if at == 0 else "->"
        row += with_space(_step(arrow, step, step.span.start), " ", may_break=at > 0)
    end = repeat.span.stop
    return [*row, Close(), Text("}", end - 1, end, space=" ")]


# -- settings --------------------------------------------------------------------------------------


def _params(node: tree.ParamDraw | tree.ParamFrom, names: Sequence[Name]) -> Row:
    head = Text("param", node.span.start, node.span.start)
    return [head, *with_space(_comma([[_text(n.text, n.span)] for n in names]), " ")]


def _origin_text(origin: Name | tree.String) -> str:
    return origin.text if isinstance(origin, Name) else f'"{origin.text}"'


def _formal(formal: tree.Formal) -> Row:
    if formal.default is None:
        return [_text(formal.name.text, formal.span)]
    head = _head(f"{formal.name.text} =", formal.span, formal.name)
    return [head, *with_space(_value(formal.default), " ")]


def _argument(argument: Argument) -> Row:
    match argument:
        case tree.Positional(value):
            return _value(value)
        case tree.Named(path, value, span):
            return [_head(f"{path.text} =", span, path), *with_space(_value(value), " ")]
        case tree.Drawn(path, call, span):
            return [_head(f"{path.text} ~", span, path), *with_space(_call(call), " ")]


def _call(call: tree.Apply) -> Row:
    """A call where a call must stand, so parentheses without settings are left out."""
    head = _text(call.path.text, call.path.span)
    return _arguments(head, call.arguments, call.span) if call.arguments else [head]


def _arguments(head: Text, arguments: Sequence[Argument], span: Span) -> Row:
    return _list(head, [_argument(a) for a in arguments], span.stop - 1)


def _list(
    head: Text, rows: list[Row], end: int = NOWHERE, opener: str = "(", closer: str = ")"
) -> Row:
    """`head(a, b)`; `end` is where the closing bracket stands, if that is known."""
    row = with_suffix([head], opener)
    return [*row, Open(), *_comma(rows), Close(), Text(closer, end, end)]


def _comma(rows: list[Row]) -> Row:
    row: Row = []
    for at, part in enumerate(rows):
        spaced = with_space(part, " ", may_break=True) if at > 0 else part
        row += with_suffix(spaced, ",") if at < len(rows) - 1 else spaced
    return row


# -- values ----------------------------------------------------------------------------------------


def _value(value: Value, least: int = 0) -> Row:
    """A value, in parentheses where its operator binds less than `least`."""
    match value:
        case tree.Binary(operator):
            row, binds = _binary(value), _BINDS[operator]
        case tree.Negate(operand):
            minus = Text("-", value.span.start, value.span.start)
            row, binds = [minus, *_value(operand, _MINUS_BINDS)], _MINUS_BINDS
        case tree.Apply(path, arguments, span):
            head = _text(path.text, path.span)
            row, binds = _list(head, [_argument(a) for a in arguments], span.stop - 1), _ATOM_BINDS
        case _:
            row, binds = [_text(_atom_text(value), value.span)], _ATOM_BINDS
    if binds >= least:
        return row
    opener = Text("(", NOWHERE, NOWHERE)
    return [opener, Open(), *row, Close(), Text(")", NOWHERE, NOWHERE)]


def _binary(value: tree.Binary) -> Row:
    """`a + b`, broken before the operator; `1/255` is written tight."""
    binds = _BINDS[value.operator]
    left, right = _value(value.left, binds), _value(value.right, binds + 1)
    if value.operator == "/" and _is_tight(value.left) and _is_tight(value.right):
        return [*with_suffix(left, "/"), *right]
    start = value.right.span.start
    operator = Text(value.operator, start, start, space=" ", may_break=True)
    first = next(p for p in left if isinstance(p, Text))
    at = left.index(first) + 1
    indent = Open(-len(first.text))
    return [*left[:at], indent, *left[at:], operator, *with_space(right, " "), Close()]


def _is_tight(value: Value) -> bool:
    if isinstance(value, tree.Negate):
        return _is_tight(value.operand)
    return isinstance(value, tree.Number | tree.Reference)


def _atom_text(value: Atom) -> str:
    match value:
        case tree.Number(text):
            return text
        case tree.Shape(sizes):
            return "x".join(map(str, sizes))
        case tree.String(text):
            return f'"{text}"'
        case tree.Reference(path):
            return path.text
        case tree.Transposed(path):
            return f"{path.text}'"


def _value_text(value: Value) -> str:
    return one_line(_value(value))


# -- places ----------------------------------------------------------------------------------------


def _text(text: str, span: Span) -> Text:
    return Text(text, span.start, span.stop)


def _head(text: str, whole: Span, last: Name | tree.Path) -> Text:
    """The first words of something, up to the last one that has a place."""
    return Text(text, whole.start, last.span.stop)
