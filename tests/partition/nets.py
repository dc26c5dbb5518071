"""Random nets with random partitions, of every kind of layer that a partition can meet."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from singac.layers.table import KINDS
from tests.programs import IMAGES, POINTS, small

Shape = tuple[int, ...]

MOST_WORKERS = 8
PLAIN = "BP"
MOMENTUM = "SGD(rate = 0.01, momentum = 0.5)"  # slow enough for nets of any depth
SLOW = "SGD(rate = 0.002, momentum = 0.5)"  # for losses that are sums
UPDATERS = (
    MOMENTUM,
    "SGD(rate = 0.02)",
    "SGD(rate = 0.01, momentum = 0.5, weight_decay = 0.01)",
    "SGD(rate = 0.01, momentum = 0.5, clip_norm = 1)",
)
POINTWISE = ("relu", "tanh", "sigmoid", "gelu", "leaky_relu", "swish", "own(0.5)", "dropout(0.3)")
UNITS = (1, 5, 16, 17, 33, 64)
CELLS = ("rnn", "gru", "lstm")
# Of an RBM; chains of two gaussian ones run away.
SIDES = (("binary", "binary"), ("binary", "gaussian"), ("gaussian", "binary"))
OWN = "layer own(a = 1) { e = exp(-abs(x))  y = x * (1 - a * e) }\n"
HELD_OUT = POINTS.replace('csv"', 'csv", test = 0.25')


@dataclass(frozen=True, slots=True)
class Case:
    """A net, its data, the rules of a partition, how it is trained, and a number of workers."""

    net: str
    data: str
    rules: str
    workers: int
    batch: int = 9
    algorithm: str = PLAIN
    updater: str = MOMENTUM

    @property
    def train(self) -> str:
        settings = f"algorithm = {self.algorithm}  updater = {self.updater}"
        return f"train small {{ {settings}  batch = {self.batch}  steps = 20 }}\n"

    @property
    def text(self) -> str:
        """The program; its partition is `cut`."""
        cut = f"partition cut of small {{\n{self.rules}\n}}\n"
        return small(self.net, self.train, self.data, OWN) + cut


def case(seed: int) -> Case:
    """One in eight is unrolled, one in twelve an RBM, four in ten have images."""
    chance = random.Random(seed)
    kind, workers = chance.random(), chance.randint(1, MOST_WORKERS)
    batch = chance.randint(workers, 12)
    updater = chance.choice(UPDATERS)
    if kind < 0.08:
        net, algorithm = _machine(chance)
        return Case(net, HELD_OUT, "", workers, batch, algorithm, MOMENTUM)
    grown = _Net(chance, workers)
    data, algorithm = chance.choice((POINTS, HELD_OUT)), PLAIN
    if kind < 0.5:
        data = IMAGES
        grown.begin_with("image", (3, 9, 10))
    elif kind < 0.62:
        algorithm = grown.begin_unrolled()
        data = POINTS  # a state is carried on to as many examples
    else:
        grown.begin_with("features", (4,))
    grown.grow(chance.randint(2, 6))
    rules = "\n".join(rule for rule in grown.rules if rule)
    net = "\n".join(grown.lines)
    if "euclidean" in net:
        updater = SLOW
    return Case(net, data, rules, workers, batch, algorithm, updater)


def _machine(chance: random.Random) -> tuple[str, str]:
    """An RBM, maybe above a layer that learns no more, and how it is trained."""
    visible, hidden = chance.choice(SIDES)
    below = "features -> sigmoid"
    if chance.random() < 0.5:
        below = "features -> below: dense(19, weight ~ gaussian(std = 0.5)) -> sigmoid"
    seen = 4 if below == "features -> sigmoid" else 19
    drawn = "~ gaussian(std = 0.3)"
    net = f"""{below} -> vis: rbm_visible({seen}, kind = {visible}, bias {drawn})
    vis <-> hid: rbm_hidden({chance.choice(UNITS)}, kind = {hidden}, weight {drawn})"""
    return net, f"{chance.choice(('CD', 'PCD'))}({chance.randint(1, 3)})"


@dataclass
class _Net:
    """A net while it grows: the shapes of what may be read on, the newest last."""

    chance: random.Random
    workers: int
    lines: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)

    # -- beginnings and ends -----------------------------------------------------------------------

    def begin_with(self, name: str, shape: Shape) -> None:
        self.shapes[name] = shape

    def begin_unrolled(self) -> str:
        """A cell of which the rest of the net reads the last step; gives the algorithm."""
        cell, units = self.chance.choice(CELLS), self.chance.choice((4, 8, 17))
        each = self.chance.choice(("features", "features -> x: dense(5) -> tanh"))
        read = each.split(" ")[-1]
        steps = self.chance.choice((3, 4))
        chain = f"{each}\n" if each != read else ""
        self.lines.append(f"unroll {steps} {{ {chain}[{read}, h[t-1]] -> h: {cell}({units}) }}")
        self.add("h", f"dense({units})", (units,))
        return self.chance.choice(("BPTT", "BPTT", "BPTT(carry = h)"))

    def grow(self, layers: int) -> None:
        """So many times something more, and a loss on top of the last of it."""
        while layers > 0:
            (move,) = self.chance.choices(list(MENU), list(MENU.values()))
            layers -= move(self)
        top = self._one()
        if len(self.shapes[top]) > 1:
            top = self.add(top, "flatten", (math.prod(self.shapes[top]),))
        end = self.chance.random()
        if end < 0.1:
            if self.shapes[top] > (64,):  # of many values the loss is too large to fall
                top = self.add(top, "dense(17)", (17,))
            return self._add_loss(top, "euclidean_loss")
        top = self.add(top, "dense(3)", (3,))
        self._add_loss(top, "softmax_loss")
        return None

    def _add_loss(self, top: str, kind: str) -> None:
        target = top if kind == "euclidean_loss" else "label"
        if kind == "euclidean_loss":
            target = self.add("label", f"embedding(3, {self.shapes[top][0]})", self.shapes[top])
        self.lines.append(f"[{top}, {target}] -> loss: {kind}")
        self.rules.append(self._rule("loss", kind))

    def add(self, source: str, layer: str, shape: Shape, rule: str | None = None) -> str:
        """A layer behind a source; `rule` says how it is cut, else it is drawn."""
        name = f"l{len(self.shapes)}"
        self.lines.append(f"{source} -> {name}: {layer}")
        self.shapes[name] = shape
        drawn = self._rule(name, layer.partition("(")[0])
        self.rules.append(drawn if rule is None else f"{name} {rule}" if rule else "")
        return name

    def _rule(self, name: str, kind: str) -> str:
        where = self.chance.random()
        if where < 0.2:
            return ""
        if where < 0.32:
            return f"{name} at {self.chance.randrange(self.workers)}"
        if where < 0.45:
            return f"{name} on auto"
        known = KINDS.get(kind)
        if known is not None and known.sums_input and where < 0.7:
            return f"{name} on input"
        return "" if known is not None and known.feature is None else f"{name} on feature"

    def _one(self) -> str:
        """One of the newest."""
        return self.chance.choice(list(self.shapes)[-2:])

    def _one_of(self, images: bool) -> str | None:
        """One of the newest images, or plain rows; None: there is none."""
        found = [n for n, shape in self.shapes.items() if (len(shape) > 1) == images]
        return self.chance.choice(found[-2:]) if found else None

    # -- what may grow; each tells how much it has -------------------------------------------------

    def dense(self) -> int:
        if (source := self._one_of(images=False)) is None:
            return 0
        units = self.chance.choice(UNITS)
        bias = self.chance.choice(("", "", ", bias = none"))
        self.add(source, f"dense({units}{bias})", (units,))
        return 1

    def pointwise(self) -> int:
        source = self._one()
        self.add(source, self.chance.choice(POINTWISE), self.shapes[source])
        return 1

    def norm(self) -> int:
        source = self._one()
        kinds = ["batch_norm", "layer_norm"]
        channels, *image = self.shapes[source]
        kinds += [f"lrn({n})" for n in (1, 3, 5) if n <= channels] if image else ["softmax"]
        self.add(source, self.chance.choice(kinds), self.shapes[source])
        return 1

    def conv(self) -> int:
        if (source := self._one_of(images=True)) is None:
            return 0
        channels, *image = self.shapes[source]
        filters = self.chance.choice((1, 2, 4, 5, 6, 8, 12))
        kernel = self.chance.randint(1, min(3, *image))
        stride, pad = self.chance.choice((1, 1, 2)), self.chance.randint(0, kernel - 1)
        groups = self.chance.choice([g for g in range(1, 5) if channels % g == filters % g == 0])
        settings = f"{filters}, {kernel}x{kernel}, stride = {stride}, pad = {pad}"
        sizes = ((size + 2 * pad - kernel) // stride + 1 for size in image)
        self.add(source, f"conv({settings}, groups = {groups})", (filters, *sizes))
        return 1

    def pool(self) -> int:
        if (source := self._one_of(images=True)) is None:
            return 0
        channels, *image = self.shapes[source]
        kernel = min(self.chance.choice((2, 3)), *image)
        stride = self.chance.randint(1, kernel)
        kind = self.chance.choice(("max_pool", "avg_pool"))
        sizes = ((size - kernel) // stride + 1 for size in image)
        self.add(source, f"{kind}({kernel}, stride = {stride})", (channels, *sizes))
        return 1

    def flat(self) -> int:
        if (source := self._one_of(images=True)) is None:
            return 0
        size = math.prod(self.shapes[source])
        kind = self.chance.choice(("flatten", f"reshape({size})"))
        name = self.add(source, kind, (size,))
        if size > 64:  # What is wide is soon narrow again: small nets are quickly compiled.
            self.add(name, "dense(33)", (33,))
        return 1

    def slice(self) -> int:
        source = self._one()
        first, *rest = self.shapes[source]
        if first < 2:
            return 0
        start = self.chance.randrange(first - 1)
        stop = self.chance.randint(start + 1, first)
        self.add(source, f"slice({start}, {stop})", (stop - start, *rest))
        return 1

    def joined(self) -> int:
        """Two branches meet, or one with itself."""
        one = self._one()
        first, *rest = self.shapes[one]
        beside = [n for n, s in list(self.shapes.items())[-5:] if list(s[1:]) == rest]
        other = self.chance.choice(beside)
        alike = self.shapes[other] == self.shapes[one]
        kind = self.chance.choice(("add", "multiply", "concat")) if alike else "concat"
        total = first + self.shapes[other][0] * (kind == "concat")
        self.add(f"[{one}, {other}]", kind, (total, *rest))
        return 1

    def words(self) -> int:
        """A branch that begins with the label: told beforehand, but as good as any number."""
        units = self.chance.choice(UNITS)
        kind, size = self.chance.choice(((f"embedding(3, {units})", units), ("onehot(3)", 3)))
        self.add("label", kind, (size,))
        return 1

    def twins(self) -> int:
        """Two layers with one weight; they must be cut alike."""
        images = self.chance.random() < 0.3
        if (source := self._one_of(images)) is None:
            return 0
        weight = f"w{len(self.lines)}"
        self.lines.append(f"param {weight} ~ gaussian(std = 0.15)")
        units = self.chance.choice(UNITS[1:5])
        kind = f"conv({units}, 1x1" if images else f"dense({units}"
        layer, shape = f"{kind}, weight = {weight})", (units, *self.shapes[source][1:])
        first = self.add(source, layer, shape)
        _, _, rule = self.rules[-1].partition(" ")
        second = self.add(source, layer, shape, rule)
        self.add(f"[{first}, {second}]", "add", shape)
        return 2

    def turned(self) -> int:
        """There and back by one weight, the second time transposed."""
        if (source := self._one_of(images=False)) is None:
            return 0
        weight, units = f"w{len(self.lines)}", self.chance.choice(UNITS)
        self.lines.append(f"param {weight} ~ gaussian(std = 0.15)")
        there, back = self.chance.choice(TURNED)
        first = self.add(source, f"dense({units}, weight = {weight})", (units,), there)
        between = self.add(first, "tanh", (units,), there if there != "on input" else "")
        shape = self.shapes[source]
        self.add(between, f"dense({shape[0]}, weight = {weight}')", shape, back)
        return 2


# How two layers may be cut of which one has the other's weight, transposed.
TURNED = (("", ""), ("on feature", "on input"), ("", "at 0"), ("on auto", "on auto"))

# fmt: off
MENU: dict[Callable[[_Net], int], float] = {
    _Net.dense:     5,
    _Net.pointwise: 4,
    _Net.conv:      4,
    _Net.norm:      2,
    _Net.joined:    2,
    _Net.pool:      1.5,
    _Net.flat:      1,
    _Net.slice:     1,
    _Net.words:     0.7,
    _Net.twins:     1,
    _Net.turned:    0.7,
}
# fmt: on
