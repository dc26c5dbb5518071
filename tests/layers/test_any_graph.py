"""Nets of layers joined at random: gradients, fusing and native code at once.

A net is grown one layer at a time from any tensors there are, so that layers feed several others,
are fed twice by one, and meet again; what nothing reads at the end is joined for the loss.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from singac.codegen.stretch import scratch_bytes
from singac.model.graph import NetGraph
from singac.model.resolve import Model
from singac.partition.partition import partition
from singac.plan.fuse import fuse
from singac.plan.items import gradient_of
from singac.plan.order import train_order
from singac.plan.project import project
from singac.plan.verify import verify
from singac.settings import shape_text
from tests.inprocess import InProcess
from tests.plan.orders import BATCH, done, examples, measuring, params, training
from tests.programs import model, small
from tests.reference.steps import Buffers

pytestmark = pytest.mark.slow

MOST_VALUES = 40
Shape = tuple[int, ...]
Choice = tuple[int, int, int]  # of a layer, of its source, of what else it needs


class Grown:
    """The text of a net, and the shapes of its tensors."""

    def __init__(self, choices: list[Choice]) -> None:
        self.shapes: dict[str, Shape] = {"features": (4,)}
        self.unread: dict[str, None] = {}
        self.lines: list[str] = []
        self.add(("features",), "dense(6)", (6,))
        for layer, source, other in choices:
            self.grow(layer, list(self.shapes)[source % len(self.shapes)], other)
        flat = [self.add((name,), "flatten", (0,)) for name in list(self.unread)]
        last = self.add(tuple(flat), "concat", (0,)) if len(flat) > 1 else flat[0]
        self.lines += [f"{last} -> tanh -> scores: dense(3)", "[scores, label] -> softmax_loss"]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def add(self, sources: tuple[str, ...], layer: str, shape: Shape) -> str:
        name = f"t{len(self.shapes)}"
        for source in sources:
            self.unread.pop(source, None)
        joined = sources[0] if len(sources) == 1 else f"[{', '.join(sources)}]"
        *before, own = layer.split(" -> ")
        self.lines.append(" -> ".join([joined, *before, f"{name}: {own}"]))
        self.shapes[name], self.unread[name] = shape, None
        return name

    def grow(self, layer: int, source: str, other: int) -> None:
        shape = self.shapes[source]
        first, *rest = shape
        units, start = 1 + other % 20, other % first
        divisors = [d for d in range(1, math.prod(shape) + 1) if math.prod(shape) % d == 0]
        outer = divisors[other % len(divisors)]
        folded = (outer, math.prod(shape) // outer)
        alike = [n for n, s in self.shapes.items() if s == shape]
        beside = [n for n, s in self.shapes.items() if s[1:] == shape[1:]]
        twin, neighbour = alike[other % len(alike)], beside[other % len(beside)]
        longer = (first + self.shapes[neighbour][0], *rest)
        # fmt: off
        menu = (
            ((source,),              f"dense({units})",            (units,)),
            ((source,),              "tanh",                       shape),
            ((source,),              "softmax",                    shape),
            ((source,),              "layer_norm(epsilon = 0.1)",  shape),
            ((source, twin),         "add",                        shape),
            ((source, twin, source), "multiply -> tanh",           shape),
            ((source, neighbour),    "concat",                     longer),
            ((source,),              f"slice({start}, {first})",   (first - start, *rest)),
            ((source,),              f"reshape({shape_text(folded)})", folded),
        )
        # fmt: on
        sources, text, made = menu[layer % len(menu)]
        if math.prod(made) <= MOST_VALUES:
            self.add(sources, text, made)


# A net that fails is small enough to read, and compiling smaller ones takes minutes.
GROWING = settings(deadline=None, phases=(Phase.reuse, Phase.generate))
NETS = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=12
).map(lambda choices: Grown(choices).text)


def loss(graph: NetGraph, values: Buffers) -> float:
    return float(done(measuring(graph), examples(), values)["metric:loss"][0]) / BATCH


@settings(GROWING, max_examples=40)
@given(NETS)
def test_gradients_in_a_direction(net: str) -> None:
    """All gradients at once: the loss's slope where every param moves a little."""
    graph = model(small(net)).net.graph
    values = params(graph)
    random = np.random.default_rng(4)
    direction = {n: random.standard_normal(a.shape) for n, a in values.items()}
    tensors = done(training(graph), examples(), values)
    slope = sum(
        float((tensors[gradient_of(n)].reshape(d.shape) * d).sum())
        for n, d in direction.items()
        if gradient_of(n) in tensors
    )
    step = 1e-5
    high, low = (
        loss(graph, {n: a + sign * step * direction[n] for n, a in values.items()})
        for sign in (1, -1)
    )
    assert slope == pytest.approx((high - low) / (2 * step), rel=1e-5, abs=1e-6)


@settings(GROWING, max_examples=4)
@given(NETS)
def test_fused_and_native_agree_with_numpy(net: str) -> None:
    they_agree(net)


@pytest.mark.slow
@settings(GROWING, max_examples=40)
@given(NETS)
def test_many_more_fused_and_native_agree_with_numpy(net: str) -> None:
    they_agree(net)


def they_agree(net: str) -> None:
    made = model(small(net))
    graph = made.net.graph
    plain, machine = _plain_and_native(made)
    order = train_order(graph, BATCH)
    fused = done(fuse(order.items, order.columns), examples(), _params_of(machine))
    for name, values in fused.items():
        np.testing.assert_array_equal(values, plain[name])
    metrics = machine.step(examples())
    assert metrics[0] == pytest.approx(plain["metric:loss"][0], rel=1e-5)
    for param in machine.plan.params:
        wanted = plain[gradient_of(param.name)].reshape(param.shape)
        difference = np.linalg.norm(machine.gradient(param.name) - wanted)
        assert difference <= 1e-4 * np.linalg.norm(wanted) + 1e-7, param.name


def _plain_and_native(made: Model) -> tuple[Buffers, InProcess]:
    plan = project(partition(made), made, "digest", scratch_bytes)
    verify(plan)
    machine = InProcess(plan)
    return done(training(made.net.graph), examples(), _params_of(machine)), machine


def _params_of(machine: InProcess) -> Buffers:
    return {p.name: machine.param(p.name) for p in machine.plan.params}
