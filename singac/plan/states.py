"""States of an unrolled net: what the first step takes for the steps before it, and leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from singac.layers.expression import Variable, number
from singac.layers.operations import Assign, Pointwise
from singac.layers.time import base_of, shift_of, steps_of
from singac.model.graph import NetGraph
from singac.plan.items import Item
from singac.plan.loops import names_in
from singac.plan.tensors import in_memory, inner_of, tensor_columns


class States:
    """What the first step takes for the steps before it: zeros, or what a batch before left.

    `steps` are those of every tensor of the forward pass of an unrolled layer.
    """

    def __init__(self, graph: NetGraph, carry: Sequence[str]) -> None:
        self.carry = carry
        self.steps: dict[str, int] = {}
        self.owners: dict[str, str] = {}
        self.sizes = tensor_columns(graph)
        for layer in in_memory(graph):
            names = (layer.name, *inner_of(graph, layer))
            self.steps |= dict.fromkeys(names, layer.steps)
            self.owners |= dict.fromkeys(names, layer.name)
        self.columns: dict[str, int] = {}
        self.carried: dict[str, int] = {}

    def around(self, items: Sequence[Item]) -> list[Item]:
        """The items, with states set before them and left behind them."""
        longest: dict[str, int] = {}
        for name in names_in(items):
            if shift_of(name) < 0:
                longest[base_of(name)] = max(longest.get(base_of(name), 0), -shift_of(name))
        before: list[Item] = []
        behind: list[Item] = []
        for name, delay in longest.items():
            first, kept = steps_of(name, -delay, 0), f"carried({name})"
            if self.owners[name] not in self.carry:
                before.append(Pointwise(first, (Assign(first, number(0)),)))
                continue
            steps = self.steps[name]
            last = steps_of(name, steps - delay, steps)
            before.append(Pointwise(first, (Assign(first, Variable(kept)),)))
            behind.append(Pointwise(kept, (Assign(kept, Variable(last)),)))
            self.columns[kept], self.carried[kept] = self.sizes[name], delay
        return [*before, *items, *behind]


def ended(items: Sequence[Item], steps: Mapping[str, int]) -> list[Item]:
    """The items of backward, before them: behind the last step nothing hands a gradient back."""
    furthest: dict[str, int] = {}
    for name in names_in(items):
        if shift_of(name) > 0:
            furthest[base_of(name)] = max(furthest.get(base_of(name), 0), shift_of(name))
    zeros: list[Item] = []
    for name, delay in furthest.items():
        behind = steps_of(name, steps[name], steps[name] + delay)
        zeros.append(Pointwise(behind, (Assign(behind, number(0)),)))
    return [*zeros, *items]
