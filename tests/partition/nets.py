"""Random nets with random partitions: chains, branches, joins, shared params, unrolled parts."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tests.programs import IMAGES, POINTS

POINTWISE = ("relu", "tanh", "sigmoid", "gelu", "dropout(0.3)")
NO_FEATURE = ("softmax", "layer_norm")
UNITS = (1, 5, 16, 17, 33, 64)
CELLS = ("rnn", "gru", "lstm")


def case(seed: int) -> tuple[str, str, str, int]:
    """A net, its data, the rules of a partition, and a number of workers."""
    chance = random.Random(seed)
    net = _Net(chance, chance.randint(2, 8))
    kind = chance.random()
    data = IMAGES if kind < 0.3 else POINTS
    if kind < 0.3:
        net.images()
    elif kind < 0.42:
        net.unrolled()
    for _ in range(chance.randint(2, 6)):
        net.grow()
    top = chance.choice(net.names[-2:])
    net.add(f"{top} -> top: dense(3)", "top", "dense")
    net.add("[top, label] -> loss: softmax_loss", "loss", "softmax_loss")
    return "\n".join(net.lines), data, "\n".join(r for r in net.rules if r), net.workers


@dataclass
class _Net:
    """A net while it grows: what may be read on, and the width of what is a plain row."""

    chance: random.Random
    workers: int
    lines: list[str] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=lambda: ["features"])
    widths: dict[str, int] = field(default_factory=dict)

    def add(self, line: str, name: str, kind: str) -> None:
        self.lines.append(line)
        self.names.append(name)
        self.rules.append(self._rule(name, kind))

    def images(self) -> None:
        chance = self.chance
        self.add(f"image -> c: conv({chance.randint(1, 9)}, 3x3, pad = 1)", "c", "conv")
        pool = chance.choice(("max_pool", "avg_pool"))
        self.add(f"c -> p: {pool}(2x2, stride = 2)", "p", pool)
        self.add("p -> f: flatten", "f", "flatten")
        self.names = ["f"]

    def unrolled(self) -> None:
        """A cell that is unrolled, of which the rest of the net reads the last step."""
        cell, units = self.chance.choice(CELLS), self.chance.choice((4, 8, 17))
        self.lines.append(f"unroll 3 {{ [features, h[t-1]] -> h: {cell}({units}) }}")
        self.add(f"h -> after: dense({units})", "after", "dense")
        self.names, self.widths = ["after"], {"after": units}

    def grow(self) -> None:
        """One more layer, or two that share a weight, behind one or two of the last."""
        name, before = f"l{len(self.lines)}", self.chance.choice(self.names[-2:])
        pairs = [n for n in self.names[-4:] if self.widths.get(n, 0) and n != before]
        draw = self.chance.random()
        if draw < 0.12:
            self._twins(name, before)
        elif draw < 0.25 and pairs and self.widths.get(before, 0):
            self._joined(name, before, self.chance.choice(pairs))
        elif draw < 0.6 or not self.widths.get(before, 0):
            units = self.widths[name] = self.chance.choice(UNITS)
            self.add(f"{before} -> {name}: dense({units})", name, "dense")
        else:
            kind = self.chance.choice(POINTWISE if draw < 0.93 else NO_FEATURE)
            self.widths[name] = self.widths[before]
            self.add(f"{before} -> {name}: {kind}", name, kind)

    def _twins(self, name: str, before: str) -> None:
        """Two layers with one weight; they must be cut alike."""
        units = self.widths[name] = self.chance.choice(UNITS)
        self.lines.append(f"param {name}w ~ gaussian(std = 0.3)")
        for twin in (f"{name}a", f"{name}b"):
            self.add(f"{before} -> {twin}: dense({units}, weight = {name}w)", twin, "dense")
        first = self.rules[-2].partition(" ")[2]
        self.rules[-1] = f"{name}b {first}" if first else ""
        self.add(f"[{name}a, {name}b] -> {name}: add", name, "add")

    def _joined(self, name: str, one: str, other: str) -> None:
        alike = self.widths[one] == self.widths[other]
        kind = self.chance.choice(("add", "multiply", "concat")) if alike else "concat"
        self.widths[name] = self.widths[one] + self.widths[other] * (kind == "concat")
        self.add(f"[{one}, {other}] -> {name}: {kind}", name, kind)

    def _rule(self, name: str, kind: str) -> str:
        where = self.chance.random()
        if where < 0.25:
            return ""
        if where < 0.4:
            return f"{name} at {self.chance.randrange(self.workers)}"
        if where < 0.5:
            return f"{name} on auto"
        if where < 0.7 and kind == "dense":
            return f"{name} on input"
        return "" if kind in (*NO_FEATURE, "softmax_loss") else f"{name} on feature"
