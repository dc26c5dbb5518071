"""Gradients of a training step against finite differences of the loss that testing measures."""

from __future__ import annotations

import numpy as np
import pytest

from singac.layers.access import reads, writes
from singac.model.graph import NetGraph
from singac.partition.split import split
from singac.plan.items import PullParam, PushParam, gradient_of
from singac.plan.metrics import metrics_of
from singac.plan.order import test_order as order_of_testing
from tests.plan.orders import (
    BATCH,
    NETS,
    done,
    examples,
    gradients,
    graph_of,
    measuring,
    params,
    targets_graph,
    training,
)
from tests.programs import model, small
from tests.reference.steps import Buffers

STEP = 1e-6
LEARNING = [n for n in NETS if n != "dropped"]


def loss(graph: NetGraph, values: Buffers) -> float:
    """The mean loss of the batch, as a test prints it."""
    return float(done(measuring(graph), examples(), values)["metric:loss"][0]) / BATCH


def slopes(graph: NetGraph, values: Buffers, name: str) -> np.ndarray:
    found = np.zeros_like(values[name])
    for place in np.ndindex(found.shape):
        ends = []
        for move in (STEP, -STEP):
            moved = {n: a.copy() for n, a in values.items()}
            moved[name][place] += move
            ends.append(loss(graph, moved))
        found[place] = (ends[0] - ends[1]) / (2 * STEP)
    return found


def check_gradients(graph: NetGraph) -> None:
    values = params(graph)
    tensors = done(training(graph), examples(), values)
    pushed = [i.param for i in training(graph) if isinstance(i, PushParam)]
    for name in graph.params:
        expected = slopes(graph, values, name)
        if name in pushed:
            own = tensors[gradient_of(name)].reshape(expected.shape)
            np.testing.assert_allclose(own, expected, rtol=1e-5, atol=1e-8)
        else:
            np.testing.assert_array_equal(expected, 0.0)
    assert pushed, "nothing is learnt"


@pytest.mark.parametrize("name", LEARNING)
def test_gradients_are_those_of_the_printed_loss(name: str) -> None:
    check_gradients(graph_of(name))


def test_gradients_with_real_targets() -> None:
    check_gradients(targets_graph())


@pytest.mark.parametrize("name", LEARNING)
def test_training_measures_what_testing_measures(name: str) -> None:
    graph = graph_of(name)
    values = params(graph)
    trained = done(training(graph), examples(), values)
    tested = done(measuring(graph), examples(), values)
    for metric in metrics_of(graph):
        np.testing.assert_allclose(trained[f"metric:{metric}"], tested[f"metric:{metric}"])


def test_dropout_is_absent_in_testing_and_its_mask_the_same_in_backward() -> None:
    graph = graph_of("dropped")
    tensors = done(training(graph), examples(), params(graph))
    tested = done(measuring(graph), examples(), params(graph))
    np.testing.assert_array_equal(tested["drop"], tested["a"])
    kept = tensors["drop"] != 0
    assert 0 < kept.sum() < kept.size
    np.testing.assert_allclose(tensors["drop"][kept], tensors["a"][kept] / 0.6)
    np.testing.assert_allclose(tensors["d(a)"], tensors["d(drop)"] * kept / 0.6)


@pytest.mark.parametrize("workers", [2, 3, 4, 6])
@pytest.mark.parametrize("name", LEARNING)
def test_gradients_of_workers_add_up_to_those_of_one(name: str, workers: int) -> None:
    graph = graph_of(name)
    values, whole = params(graph), examples()
    one = done(training(graph), whole, values)
    total: Buffers = {}
    measured: Buffers = {}
    for piece in split(BATCH, workers):
        rows = {n: a[piece.start : piece.stop] for n, a in whole.items()}
        part = done(training(graph), rows, values)
        for n, a in gradients(graph, part).items():
            total[n] = total.get(n, 0.0) + a
        for metric in metrics_of(graph):
            key = f"metric:{metric}"
            measured[key] = measured.get(key, 0.0) + part[key]
    assert list(total) == list(gradients(graph, one))
    for n, a in {**total, **measured}.items():
        np.testing.assert_allclose(a, one[n], rtol=1e-12, atol=1e-14)


# -- exchanges -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETS)
def test_params_are_pulled_before_and_pushed_after_they_are_used(name: str) -> None:
    graph = graph_of(name)
    items = training(graph)
    pulled: list[str] = []
    pushed: list[str] = []
    for item in items:
        if isinstance(item, PullParam):
            pulled.append(item.param)
        elif isinstance(item, PushParam):
            pushed.append(item.param)
        else:
            used = [n for n in (*reads(item), *writes(item)) if n in graph.params]
            assert all(n in pulled and n not in pushed for n in used)
            assert not any(gradient_of(n) in writes(item) for n in pushed)
    assert len(pulled) == len(set(pulled))
    assert len(pushed) == len(set(pushed))


def test_a_tied_param_is_pushed_once_after_its_last_gradient() -> None:
    items = training(graph_of("tied_to_a_layer"))
    exchanges = [(type(i).__name__, i.param) for i in items if isinstance(i, PullParam | PushParam)]
    assert exchanges == [
        ("PullParam", "a.weight"),
        ("PullParam", "a.bias"),
        ("PushParam", "a.weight"),
        ("PushParam", "a.bias"),
    ]


def test_layers_that_nothing_measures_are_left_out() -> None:
    graph = graph_of("unused_layers")
    named = [n for i in training(graph) if not isinstance(i, PullParam | PushParam)
             for n in (*reads(i), *writes(i))]  # fmt: skip
    assert "aside" not in named
    assert "aside.weight" in graph.params


def test_names_of_metrics() -> None:
    net = """
        features -> a: dense(3)
        [a, label] -> softmax_loss
        [a, label] -> top: accuracy(topk = 2)
        [a, label] -> again: accuracy
        [a, a] -> loss: euclidean_loss"""
    graph = model(small(net)).net.graph
    assert metrics_of(graph) == ("loss", "accuracy", "softmax_loss.accuracy", "again.accuracy")
    assert len(order_of_testing(graph, BATCH, ()).columns) == len(graph.layers())


def test_the_same_net_has_the_same_order() -> None:
    for name in NETS:
        first, second = training(graph_of(name)), training(graph_of(name))
        assert tuple(first) == tuple(second)
