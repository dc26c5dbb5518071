"""The syntax tree: one frozen node for each thing a writer can write, with the span it stands at.

Each docstring shows the text the node stands for. Nothing is resolved here: names are words.
"""

from __future__ import annotations

from dataclasses import dataclass

from singac.diagnostics import Source, Span


@dataclass(frozen=True, slots=True)
class Name:
    """`fc1`"""

    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Path:
    """`conv2.relu`"""

    names: tuple[Name, ...]
    span: Span

    @property
    def text(self) -> str:
        return ".".join(n.text for n in self.names)


# -- values ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Number:
    """`64`, `0.9`, `1e-3`; `text` is what was written"""

    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Shape:
    """`3x227x227`"""

    sizes: tuple[int, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class String:
    """`"data/mnist"`; `text` is without the quotes"""

    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Reference:
    """`hidden`, `vis.bias`"""

    path: Path
    span: Span


@dataclass(frozen=True, slots=True)
class Transposed:
    """`w'`"""

    path: Path
    span: Span


@dataclass(frozen=True, slots=True)
class Apply:
    """`step(0.1, gamma = 0.5)`; also a bare call such as `conv` where a call is expected"""

    path: Path
    arguments: tuple[Argument, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Negate:
    """`-x`"""

    operand: Value
    span: Span


@dataclass(frozen=True, slots=True)
class Binary:
    """`a + b`; `operator` is one of `+ - * /`"""

    operator: str
    left: Value
    right: Value
    span: Span


Value = Number | Shape | String | Reference | Transposed | Apply | Negate | Binary


# -- settings --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Positional:
    """`256` as an argument"""

    value: Value
    span: Span


@dataclass(frozen=True, slots=True)
class Named:
    """`stride = 2`, `bias.lr_scale = 2`: a setting, as an argument or alone in a block"""

    path: Path
    value: Value
    span: Span


@dataclass(frozen=True, slots=True)
class Drawn:
    """`weight ~ gaussian(std = 0.01)`"""

    path: Path
    call: Apply
    span: Span


Argument = Positional | Named | Drawn
Setting = Named


# -- inside net and block --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ref:
    """`fc2`, `h[t-1]`; `delay` is 0 or the steps back"""

    path: Path
    delay: int
    span: Span


@dataclass(frozen=True, slots=True)
class LayerStep:
    """`fc1: dense(256)`; `name` is None for an unnamed layer"""

    name: Name | None
    kind: Name
    arguments: tuple[Argument, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Repeat:
    """`repeat depth { conv(filters, 3x3) -> relu }`"""

    count: Value
    steps: tuple[Step, ...]
    span: Span


Step = LayerStep | Repeat


@dataclass(frozen=True, slots=True)
class Link:
    """`-> relu`, `<-> hid: rbm_hidden(units)`"""

    undirected: bool
    step: Step
    span: Span


@dataclass(frozen=True, slots=True)
class Chain:
    """`[fc2, label] -> softmax_loss`; `joined` tells whether the sources stood in brackets"""

    sources: tuple[Ref, ...]
    joined: bool
    links: tuple[Link, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class ParamDraw:
    """`param w ~ gaussian(std = 0.1)`"""

    names: tuple[Name, ...]
    call: Apply
    span: Span


@dataclass(frozen=True, slots=True)
class ParamFrom:
    """`param w, b from checkpoint rbm`; `origin` is a train's name or a path"""

    names: tuple[Name, ...]
    origin: Name | String
    span: Span


@dataclass(frozen=True, slots=True)
class Unroll:
    """`unroll length { ... }`"""

    count: Value
    statements: tuple[Statement, ...]
    span: Span


Statement = Chain | ParamDraw | ParamFrom | Unroll


# -- blocks of a program ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Use:
    """`use "blocks.singa"`"""

    path: String
    span: Span


@dataclass(frozen=True, slots=True)
class Let:
    """`let hidden = 256`"""

    name: Name
    value: Value
    span: Span


@dataclass(frozen=True, slots=True)
class Data:
    """`data fashion = idx("...", scale = 1/255)`"""

    name: Name
    call: Apply
    span: Span


@dataclass(frozen=True, slots=True)
class Block:
    """`block classify(units) { input -> dense(units) -> relu }`"""

    name: Name
    formals: tuple[Name, ...]
    statements: tuple[Statement, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Formal:
    """`beta1 = 0.9`; `default` is None where one must be given"""

    name: Name
    default: Value | None
    span: Span


@dataclass(frozen=True, slots=True)
class Equation:
    """`y = x * sigmoid(slope * x)`"""

    target: Name
    value: Value
    span: Span


@dataclass(frozen=True, slots=True)
class State:
    """`state m = 0`"""

    name: Name
    value: Value
    span: Span


@dataclass(frozen=True, slots=True)
class LayerDef:
    """`layer swish(slope = 1) { y = x * sigmoid(slope * x) }`"""

    name: Name
    formals: tuple[Formal, ...]
    equations: tuple[Equation, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class UpdaterDef:
    """`updater Lion(rate) { state m = 0  w = w - rate * sign(m) ... }`"""

    name: Name
    formals: tuple[Formal, ...]
    body: tuple[State | Equation, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Net:
    """`net mlp on fashion { ... }`"""

    name: Name
    data: Name
    statements: tuple[Statement, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Rule:
    """`conv1 .. pool5 on batch`, `fc8 at 0`; `last` is None for one layer; one of `dimension`
    (`batch`, `feature`, `input`, `auto`) and `worker` is not None"""

    first: Path
    last: Path | None
    dimension: str | None
    worker: int | None
    span: Span


@dataclass(frozen=True, slots=True)
class Partition:
    """`partition hybrid of alexnet { ... }`"""

    name: Name
    net: Name
    rules: tuple[Rule, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Train:
    """`train mlp { batch = 64 ... }`"""

    net: Name
    settings: tuple[Setting, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Group:
    """`2 worker groups of 4`; counts are values so that `np` and `let` names may stand there"""

    count: Value
    role: str
    size: Value
    span: Span


@dataclass(frozen=True, slots=True)
class Cluster:
    """`cluster downpour { 2 worker groups of 4 ... }`"""

    name: Name
    members: tuple[Group | Setting, ...]
    span: Span


Item = (
    Use | Let | Data | Block | LayerDef | UpdaterDef | Net | Partition | Train | Cluster
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Comment:
    """`# words to the end of the line`; `text` starts with `#`"""

    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Program:
    """One file: its blocks in order, and its comments for the formatter."""

    source: Source
    items: tuple[Item, ...]
    comments: tuple[Comment, ...]
