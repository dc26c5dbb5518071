"""Lark's tree -> syntax tree, without recursion."""

from __future__ import annotations

from lark import Token, Tree
from lark.tree import Meta

from singac.diagnostics import Report, Source, Span
from singac.syntax import tree
from singac.syntax.tree import (
    Argument,
    Formal,
    Link,
    Name,
    Path,
    Ref,
    Setting,
    Statement,
    Step,
    Value,
)

MAX_DIGITS = 15
_MAX_MANTISSA = 40
_MAX_EXPONENT_DIGITS = 2


class Builder:
    """Builds the items of `source.text[base:]`; mistakes of numbers go to the report.

    A method named like a rule of the grammar builds what the rule stands for, from what its parts
    built; one named like a terminal does so from the token.
    """

    def __init__(self, source: Source, base: int, report: Report) -> None:
        self._source = source
        self._base = base
        self._report = report

    def build(self, root: Tree[Token]) -> tuple[tree.Item, ...]:
        order: list[Tree[Token] | Token] = []
        todo: list[Tree[Token] | Token] = [root]
        while todo:
            node = todo.pop()
            order.append(node)
            if isinstance(node, Tree):
                todo += node.children
        built: list[object] = []
        for node in reversed(order):
            if isinstance(node, Tree):
                parts = built[len(built) - len(node.children) :]
                del built[len(built) - len(node.children) :]
                built.append(getattr(self, node.data)(node.meta, *parts))
            else:
                # A part that may be left out is None.
                make = getattr(self, node.type, None) if node is not None else None
                built.append(make(node) if make else node)
        (items,) = built
        assert isinstance(items, tuple), "the first rule builds the items"
        return items

    def _span(self, meta: Meta | Token) -> Span:
        assert meta.start_pos is not None, "lark knows where a token starts"
        assert meta.end_pos is not None, "lark knows where a token ends"
        return Span(self._source, self._base + meta.start_pos, self._base + meta.end_pos)

    # -- words -------------------------------------------------------------------------------------

    def NAME(self, token: Token) -> Name:
        return Name(str(token), self._span(token))

    KEY = NAME

    def STRING(self, token: Token) -> tree.String:
        return tree.String(str(token)[1:-1], self._span(token))

    def INT(self, token: Token) -> tree.Number:
        self._check_digits(token, str(token))
        if token.startswith("0") and token != "0":
            # 1,000 would be read as two settings, 1 and 0.
            help = f"write `{token.lstrip('0') or '0'}`; there is no comma inside a number"
            self._bad_number(token, "a whole number starts with no 0", help)
        return tree.Number(str(token), self._span(token))

    def NUMBER(self, token: Token) -> tree.Number:
        mantissa, _, exponent = token.lower().partition("e")
        self._check_digits(token, mantissa.partition(".")[0])
        if len(mantissa) > _MAX_MANTISSA:
            self._bad_number(token, "this number is too long", "float32 keeps 7 digits")
        if len(exponent.lstrip("+-0")) > _MAX_EXPONENT_DIGITS:
            self._bad_number(token, "this number is out of range", "float32 goes up to 3e38")
        return tree.Number(str(token), self._span(token))

    def SHAPE(self, token: Token) -> tree.Shape:
        sizes = token.split("x")
        for size in sizes:
            self._check_digits(token, size)
        return tree.Shape(tuple(int(s[:MAX_DIGITS]) for s in sizes), self._span(token))

    def _check_digits(self, token: Token, digits: str) -> None:
        if len(digits) > MAX_DIGITS:
            message = f"this number has {len(digits)} digits"
            self._bad_number(token, message, f"at most {MAX_DIGITS} are kept exactly")

    def _bad_number(self, token: Token, message: str, help: str) -> None:
        self._report.error("SG0007", message, self._span(token), help=help)

    # -- blocks ------------------------------------------------------------------------------------

    def start(self, meta: Meta, *items: tree.Item) -> tuple[tree.Item, ...]:
        return items

    def use(self, meta: Meta, path: tree.String) -> tree.Use:
        return tree.Use(path, self._span(meta))

    def let(self, meta: Meta, name: Name, value: Value) -> tree.Let:
        return tree.Let(name, value, self._span(meta))

    def data(self, meta: Meta, name: Name, call: tree.Apply) -> tree.Data:
        return tree.Data(name, call, self._span(meta))

    def block(
        self, meta: Meta, name: Name, formals: tuple[Name, ...], body: tuple[Statement, ...]
    ) -> tree.Block:
        return tree.Block(name, formals, body, self._span(meta))

    def layer_def(
        self, meta: Meta, name: Name, formals: tuple[Formal, ...] | None, *body: tree.Equation
    ) -> tree.LayerDef:
        return tree.LayerDef(name, formals or (), body, self._span(meta))

    def updater_def(
        self,
        meta: Meta,
        name: Name,
        formals: tuple[Formal, ...] | None,
        *body: tree.State | tree.Equation,
    ) -> tree.UpdaterDef:
        return tree.UpdaterDef(name, formals or (), body, self._span(meta))

    def net(self, meta: Meta, name: Name, data: Name, body: tuple[Statement, ...]) -> tree.Net:
        return tree.Net(name, data, body, self._span(meta))

    def partition(self, meta: Meta, name: Name, net: Name, *rules: tree.Rule) -> tree.Partition:
        return tree.Partition(name, net, rules, self._span(meta))

    def train(self, meta: Meta, net: Name, *settings: Setting) -> tree.Train:
        return tree.Train(net, settings, self._span(meta))

    def cluster(self, meta: Meta, name: Name, *members: tree.Group | Setting) -> tree.Cluster:
        return tree.Cluster(name, members, self._span(meta))

    # -- inside net and block ----------------------------------------------------------------------

    def statements(self, meta: Meta, *statements: Statement) -> tuple[Statement, ...]:
        return statements

    def param_draw(self, meta: Meta, names: tuple[Name, ...], call: tree.Apply) -> tree.ParamDraw:
        return tree.ParamDraw(names, call, self._span(meta))

    def param_from(
        self, meta: Meta, names: tuple[Name, ...], origin: Name | tree.String
    ) -> tree.ParamFrom:
        return tree.ParamFrom(names, origin, self._span(meta))

    def params(self, meta: Meta, *names: Name) -> tuple[Name, ...]:
        return names

    def own(self, meta: Meta, *names: Name) -> Name:
        return Name(".".join(n.text for n in names), self._span(meta))

    def unroll(self, meta: Meta, count: Value, body: tuple[Statement, ...]) -> tree.Unroll:
        return tree.Unroll(count, body, self._span(meta))

    def chain(self, meta: Meta, sources: tuple[bool, tuple[Ref, ...]], *links: Link) -> tree.Chain:
        joined, refs = sources
        return tree.Chain(refs, joined, links, self._span(meta))

    def alone(self, meta: Meta, ref: Ref) -> tuple[bool, tuple[Ref, ...]]:
        return False, (ref,)

    def joined(self, meta: Meta, *refs: Ref) -> tuple[bool, tuple[Ref, ...]]:
        return True, refs

    def ref(self, meta: Meta, path: Path, delay: int | None) -> Ref:
        return Ref(path, delay or 0, self._span(meta))

    def delay(self, meta: Meta, steps: tree.Number) -> int:
        if not steps.text.strip("0"):
            self._report.error(
                "SG0018",
                "a delay of 0 steps",
                self._span(meta),
                help="write the layer's name alone for this step, `[t-1]` for the one before",
            )
        return int(steps.text[:MAX_DIGITS])

    def directed(self, meta: Meta, step: Step) -> Link:
        return Link(False, step, self._span(meta))

    def undirected(self, meta: Meta, step: Step) -> Link:
        return Link(True, step, self._span(meta))

    def layer(
        self, meta: Meta, name: Name | None, kind: Name, arguments: tuple[Argument, ...] | None
    ) -> tree.LayerStep:
        return tree.LayerStep(name, kind, arguments or (), self._span(meta))

    def repeat(self, meta: Meta, count: Value, *steps: Step) -> tree.Repeat:
        return tree.Repeat(count, steps, self._span(meta))

    # -- equations, rules, groups ------------------------------------------------------------------

    def state(self, meta: Meta, name: Name, value: Value) -> tree.State:
        return tree.State(name, value, self._span(meta))

    def equation(self, meta: Meta, target: Name, value: Value) -> tree.Equation:
        return tree.Equation(target, value, self._span(meta))

    def rule(self, meta: Meta, first: Path, *rest: Path | Token | tree.Number) -> tree.Rule:
        *paths, where = rest
        last = next((p for p in paths if isinstance(p, Path)), None)
        if isinstance(where, tree.Number):
            return tree.Rule(first, last, None, int(where.text[:MAX_DIGITS]), self._span(meta))
        return tree.Rule(first, last, str(where), None, self._span(meta))

    def group(self, meta: Meta, count: Value, role: Token, size: Value) -> tree.Group:
        return tree.Group(count, str(role), size, self._span(meta))

    # -- settings ----------------------------------------------------------------------------------

    def names(self, meta: Meta, *names: Name) -> tuple[Name, ...]:
        return names

    def formals(self, meta: Meta, *formals: Formal) -> tuple[Formal, ...]:
        return formals

    def formal(self, meta: Meta, name: Name, default: Value | None) -> Formal:
        return Formal(name, default, self._span(meta))

    def args(self, meta: Meta, *arguments: Argument) -> tuple[Argument, ...]:
        return arguments

    def positional(self, meta: Meta, value: Value) -> tree.Positional:
        return tree.Positional(value, self._span(meta))

    def setting(self, meta: Meta, path: Path, value: Value) -> tree.Named:
        return tree.Named(path, value, self._span(meta))

    def drawn(self, meta: Meta, path: Path, call: tree.Apply) -> tree.Drawn:
        return tree.Drawn(path, call, self._span(meta))

    def path(self, meta: Meta, *names: Name) -> Path:
        return Path(names, self._span(meta))

    key = path

    def call(self, meta: Meta, path: Path, arguments: tuple[Argument, ...] | None) -> tree.Apply:
        return tree.Apply(path, arguments or (), self._span(meta))

    apply = call

    # -- values ------------------------------------------------------------------------------------

    def reference(self, meta: Meta, path: Path) -> tree.Reference:
        return tree.Reference(path, self._span(meta))

    def transposed(self, meta: Meta, path: Path) -> tree.Transposed:
        return tree.Transposed(path, self._span(meta))

    def negate(self, meta: Meta, operand: Value) -> tree.Negate:
        return tree.Negate(operand, self._span(meta))

    def add(self, meta: Meta, left: Value, right: Value) -> tree.Binary:
        return tree.Binary("+", left, right, self._span(meta))

    def sub(self, meta: Meta, left: Value, right: Value) -> tree.Binary:
        return tree.Binary("-", left, right, self._span(meta))

    def mul(self, meta: Meta, left: Value, right: Value) -> tree.Binary:
        return tree.Binary("*", left, right, self._span(meta))

    def div(self, meta: Meta, left: Value, right: Value) -> tree.Binary:
        return tree.Binary("/", left, right, self._span(meta))
