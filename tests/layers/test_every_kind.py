"""Every kind of layer, of sizes drawn at random: its gradients are the slopes of the printed loss
(finite differences in double), and native code finds them. A kind not shown here fails a test.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from singac.codegen.stretch import scratch_bytes
from singac.model.definitions import built_in
from singac.model.graph import NetGraph
from singac.model.net import kinds_of
from singac.partition.partition import partition
from singac.plan.items import Item, gradient_of
from singac.plan.plan import metric_buffer
from singac.plan.project import project
from tests.inprocess import InProcess
from tests.plan.orders import BATCH, examples, measuring, params, training
from tests.programs import model, small
from tests.reference import philox
from tests.reference.steps import Array, Buffers, run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
POINTS = 'data points = csv("data/points.csv", test = 0.5)\n'
Draw = Callable[[int, int], int]  # a whole number from the first to the second

TO_SCORES = "out -> flatten -> tanh -> scores: dense(3)\n[scores, label] -> softmax_loss"


def flat(layer: str) -> Callable[[Draw], str]:
    """A layer of one source of any size."""
    return lambda draw: f"features -> dense({draw(1, 40)}) -> out: {layer}\n{TO_SCORES}"


def image(draw: Draw, layer: str, least: int = 1, channels: int = 2) -> str:
    """A layer on once to three times so many channels; `least` bounds height and width."""
    shape = (draw(1, 3) * channels, draw(least, 7), draw(least, 7))
    values = "x".join(map(str, shape))
    units = shape[0] * shape[1] * shape[2]
    return f"features -> dense({units}) -> reshape({values}) -> out: {layer}\n{TO_SCORES}"


def normed(draw: Draw) -> str:
    """Behind a tanh: a bias just before it would have no gradient."""
    return image(draw, "batch_norm(epsilon = 0.1)").replace("out:", "tanh -> out:")


def windowed(kind: str, first: str = "") -> Callable[[Draw], str]:
    def net(draw: Draw) -> str:
        kernel = f"{draw(1, 3)}x{draw(1, 3)}"
        return image(draw, f"{kind}({first}{kernel}, stride = {draw(1, 3)})", least=3)

    return net


def conv(draw: Draw) -> str:
    sizes = f"{2 * draw(1, 9)}, {draw(1, 3)}x{draw(1, 3)}"
    rest = f"stride = {draw(1, 2)}, pad = {draw(0, 1)}, groups = {draw(1, 2)}"
    return image(draw, f"conv({sizes}, {rest})", least=3)


def joined(kind: str, alike: bool) -> Callable[[Draw], str]:
    def net(draw: Draw) -> str:
        first = draw(1, 20)
        second = first if alike else draw(1, 20)
        return (
            f"features -> a: dense({first}) -> t: tanh\nfeatures -> b: dense({second})\n"
            f"[t, b, a] -> out: {kind}\n{TO_SCORES}"
        )

    return net


def words(layer: str) -> Callable[[Draw], str]:
    return lambda draw: f"label -> out: {layer.replace('UNITS', str(draw(1, 20)))}\n{TO_SCORES}"


def cut(draw: Draw) -> str:
    start, stop = draw(0, 9), draw(10, 20)
    return f"features -> dense(20) -> out: slice({start}, {stop})\n{TO_SCORES}"


def shaped(draw: Draw) -> str:
    sizes = draw(1, 4), draw(1, 4), draw(1, 4)
    shape = "x".join(map(str, sizes))
    units = sizes[0] * sizes[1] * sizes[2]
    return f"features -> dense({units}) -> out: reshape({shape})\n{TO_SCORES}"


def loss(kind: str, targets: str) -> Callable[[Draw], str]:
    def net(draw: Draw) -> str:
        units = draw(1, 20)
        return (
            f"features -> a: dense({units})\n"
            f"features -> b: dense({units}) -> {targets}\n[a, {targets}] -> {kind}"
        )

    return net


def measured(layer: str) -> Callable[[Draw], str]:
    return lambda draw: (
        f"features -> dense({draw(1, 20)}) -> scores: dense(3)\n"
        f"{layer}\n[scores, label] -> softmax_loss(topk = {draw(1, 3)})"
    )


# fmt: off
NETS: dict[str, Callable[[Draw], str]] = {
    "dense":          flat("dense(7)"),
    "dropout":        flat("dropout(0.4)"),
    "softmax":        flat("softmax"),
    "layer_norm":     flat("layer_norm(epsilon = 0.1)"),
    "batch_norm":     normed,
    "flatten":        flat("flatten"),
    "embedding":      words("embedding(3, UNITS)"),
    "onehot":         words("onehot(3)"),
    "conv":           conv,
    "max_pool":       windowed("max_pool"),
    "avg_pool":       windowed("avg_pool"),
    "lrn":            lambda draw: image(draw, f"lrn({2 * draw(0, 2) + 1})", channels=5),
    "crop_mirror":    lambda draw: image(draw, f"crop_mirror({draw(1, 3)}x{draw(1, 3)})", least=3),
    "add":            joined("add", alike=True),
    "multiply":       joined("multiply", alike=True),
    "concat":         joined("concat", alike=False),
    "slice":          cut,
    "reshape":        shaped,
    "softmax_loss":   measured(""),
    "euclidean_loss": loss("euclidean_loss", "tanh"),
    "sigmoid_loss":   loss("sigmoid_loss", "sigmoid"),
    "accuracy":       measured("[scores, label] -> accuracy"),
    "top_k":          measured("scores -> top_k(2)"),
}
# Kinds that no loss trains, and those of nets that these here cannot be; the file that shows them.
ELSEWHERE = {
    "rbm_visible": "tests/layers/test_rbm.py",
    "rbm_hidden": "tests/layers/test_rbm.py",
    "rnn": "tests/plan/unrolled.py",
    "gru": "tests/plan/unrolled.py",
    "lstm": "tests/plan/unrolled.py",
}
# fmt: on
POINTWISE, _ = built_in()
POSITIVE = ("log", "sqrt")
KINDS = kinds_of(POINTWISE)
EACH = {**NETS, **{n: flat(n) for n in POINTWISE if n not in POSITIVE}}
EACH |= {name: flat(f"sigmoid -> {name}") for name in POSITIVE}

# A net that fails is small enough to read, and compiling smaller ones takes minutes.
DRAWING = settings(deadline=None, phases=(Phase.reuse, Phase.generate), derandomize=True)


def test_every_kind_is_shown() -> None:
    assert [name for name in KINDS if name not in EACH and name not in ELSEWHERE] == []
    for name, file in ELSEWHERE.items():
        assert name in (ROOT / file).read_text(encoding="utf-8"), f"{file} does not show {name}"


@pytest.mark.parametrize("kind", EACH)
@settings(DRAWING, max_examples=5)
@given(st.data())
def test_gradients_are_the_slope_of_the_loss(kind: str, data: st.DataObject) -> None:
    """All at once, in a direction; random layers draw alike in the same step.

    What a param follows that is measured is no gradient.
    """
    graph = graph_of(kind, data)
    values, random = params(graph), np.random.default_rng(4)
    ways = {n: random.standard_normal(a.shape) for n, a in values.items()}
    tensors = done(training(graph), examples(), values)
    slope = sum(
        float((tensors[gradient_of(n)].reshape(w.shape) * w).sum())
        for n, w in ways.items()
        if not graph.params[n].follows
    )
    step = 1e-6
    high, low = (
        loss_of(graph, {n: a + sign * step * ways[n] for n, a in values.items()})
        for sign in (1, -1)
    )
    assert slope == pytest.approx((high - low) / (2 * step), rel=1e-4, abs=1e-7)


def done(items: Sequence[Item], *given: Buffers) -> Buffers:
    """All tensors after the operations, with the random numbers of native code's step 0."""
    buffers = {n: a.copy() for some in given for n, a in some.items()}
    run(items, buffers, draws)
    return buffers


def draws(stream: int, shape: tuple[int, int]) -> Array:
    elements = np.arange(shape[0] * shape[1], dtype=np.uint64)
    return philox.uniform(0, stream, 0, elements).reshape(shape).astype(float)


def loss_of(graph: NetGraph, values: Buffers) -> float:
    return float(done(training(graph), examples(), values)[metric_buffer("loss")][0]) / BATCH


def graph_of(kind: str, data: st.DataObject) -> NetGraph:
    graph = model(small(net_of(kind, data))).net.graph
    assert kind in [layer.kind.name for layer in graph.layers() if layer.kind]
    return graph


def net_of(kind: str, data: st.DataObject) -> str:
    return EACH[kind](lambda low, high: data.draw(st.integers(low, high)))


@pytest.mark.parametrize("kind", NETS)
@settings(DRAWING, max_examples=1)
@given(st.data())
def test_native_code_finds_them(kind: str, data: st.DataObject) -> None:
    agrees(net_of(kind, data))


@pytest.mark.slow
@pytest.mark.parametrize("kind", EACH)
@settings(DRAWING, max_examples=3)
@given(st.data())
def test_native_code_finds_them_in_many_sizes(kind: str, data: st.DataObject) -> None:
    agrees(net_of(kind, data))


def agrees(net: str) -> None:
    """Metrics of training and testing, and every gradient of native code, in single precision."""
    made = model(small(net, data=POINTS))
    machine, batch = InProcess(project(partition(made), made, "digest", scratch_bytes)), examples()
    start = {p.name: machine.param(p.name) for p in machine.plan.params}
    plain = done(training(made.net.graph), batch, start)
    names = [metric_buffer(name) for name in machine.plan.metrics]
    assert machine.step(batch) == pytest.approx([plain[n][0] for n in names], rel=1e-4)
    for param in machine.plan.params:
        wanted = plain[gradient_of(param.name)].reshape(param.shape)
        difference = np.linalg.norm(machine.gradient(param.name) - wanted)
        assert difference <= 1e-4 * np.linalg.norm(wanted) + 1e-7, param.name
    tested = done(measuring(made.net.graph), batch, start)
    measured = machine.step(batch, phase="test")
    assert measured == pytest.approx([tested[n][0] for n in names], rel=1e-4)
