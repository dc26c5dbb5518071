"""Random nets with random partitions."""

from __future__ import annotations

import random

from tests.programs import IMAGES, POINTS

POINTWISE = ("relu", "tanh", "sigmoid", "gelu", "dropout(0.3)")
NO_FEATURE = ("softmax", "layer_norm")


def case(seed: int) -> tuple[str, str, str, int]:
    """A net, its data, the rules of a partition, and a number of workers."""
    chance = random.Random(seed)
    on_images = chance.random() < 0.3
    data, source = (IMAGES, "image") if on_images else (POINTS, "features")
    lines, names = [], [source]
    if on_images:
        lines.append(f"{source} -> l0: conv({chance.randint(1, 9)}, 3x3, pad = 1)")
        lines.append(f"l0 -> l1: {chance.choice(('max_pool', 'avg_pool'))}(2x2, stride = 2)")
        lines.append("l1 -> l2: flatten")
        names = ["l2"]
    widths = {names[0]: 0}
    for number in range(3, chance.randint(5, 9)):
        name, before = f"l{number}", chance.choice(names[-2:])
        lines.append(f"{before} -> {name}: {_layer(chance, name, before, widths)}")
        names.append(name)
    lines.append(f"{names[-1]} -> top: dense(3)")
    lines.append("[top, label] -> loss: softmax_loss")
    layers = [line.split(" -> ")[-1].partition(":")[0] for line in lines]
    kinds = dict(zip(layers, (line.rpartition(": ")[2] for line in lines), strict=True))
    workers = chance.randint(2, 7)
    rules = [_rule(chance, layer, kinds[layer], workers) for layer in layers]
    return "\n".join(lines), data, "\n".join(r for r in rules if r), workers


def _layer(chance: random.Random, name: str, before: str, widths: dict[str, int]) -> str:
    kind = chance.random()
    if kind < 0.5 or widths.get(before, 0) == 0:
        widths[name] = chance.choice((1, 5, 16, 17, 33, 64))
        return f"dense({widths[name]})"
    widths[name] = widths[before]
    return chance.choice(POINTWISE if kind < 0.9 else NO_FEATURE)


def _rule(chance: random.Random, layer: str, kind: str, workers: int) -> str:
    where = chance.random()
    if where < 0.3:
        return ""
    if where < 0.5:
        return f"{layer} at {chance.randrange(workers)}"
    never = (*NO_FEATURE, "softmax_loss")
    return "" if kind in never else f"{layer} on feature"
