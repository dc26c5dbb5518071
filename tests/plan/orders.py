"""Nets to order, and their steps done by the reference interpreter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from singac.model.graph import NetGraph
from singac.plan.items import Item, gradient_of
from singac.plan.order import test_order, train_order
from tests.programs import TARGETS, model, small
from tests.reference.expressions import Array
from tests.reference.steps import Buffers, run

BATCH = 6
CLASSES = 3

# What a backward pass can get wrong: branches, ties, transposes, several losses, layers on the way
# that learn nothing, losses of losses' branches, a source fed twice, metrics beside losses.
# fmt: off
NETS = {
    "perceptron": """
        features -> a: dense(5) -> tanh -> b: dense(3)
        [b, label] -> softmax_loss""",
    "no_params_before": """
        features -> tanh -> square -> b: dense(3)
        [b, label] -> softmax_loss""",
    "branches": """
        features -> a: dense(5) -> h: sigmoid
        h -> b: dense(3)
        h -> c: dense(4) -> d: stanh
        [b, label] -> softmax_loss
        [d, features] -> euclidean_loss
        [b, label] -> accuracy(topk = 2)""",
    "three_ways": """
        features -> h: dense(4)
        h -> a: tanh -> p: dense(4)
        h -> b: sigmoid -> q: dense(4)
        [p, q] -> first: euclidean_loss
        [h, q] -> second: euclidean_loss
        [p, h] -> third: euclidean_loss""",
    "tied_transposed": """
        param w ~ gaussian(std = 0.5)
        features -> code: dense(2, weight = w) -> tanh -> back: dense(4, weight = w')
        [back, features] -> euclidean_loss""",
    "tied_to_a_layer": """
        features -> a: dense(4, weight ~ gaussian(std = 0.5), bias ~ gaussian(std = 0.5)) -> tanh
                 -> b: dense(4, weight = a.weight, bias = a.bias) -> gelu
                 -> c: dense(4, weight = a.weight', bias = none)
        [c, features] -> euclidean_loss""",
    "same_source_twice": """
        features -> a: dense(4) -> h: swish
        [h, h] -> nothing: euclidean_loss
        [h, features] -> euclidean_loss""",
    "repeated": """
        features -> repeat 3 { dense(4) -> elu -> softplus } -> b: dense(3)
        [b, label] -> softmax_loss""",
    "a_loss_without_params": """
        features -> a: dense(3)
        [a, label] -> softmax_loss
        [features, features] -> euclidean_loss""",
    "unused_layers": """
        features -> a: dense(3) -> aside: dense(7) -> tanh
        [a, label] -> softmax_loss""",
    "residual": """
        features -> a: dense(4) -> input: tanh -> dense(4) -> relu -> out: dense(4)
        [input, out] -> add -> relu -> b: dense(3)
        [b, label] -> softmax_loss""",
    "three_added": """
        features -> a: dense(4) -> h: sigmoid
        [h, features, h] -> add -> b: dense(3)
        [b, label] -> softmax_loss""",
    "gated": """
        features -> a: dense(4) -> g: sigmoid
        features -> c: dense(4)
        [g, c, features, g] -> multiply -> b: dense(3)
        [b, label] -> softmax_loss""",
    "concat_and_slice": """
        features -> a: dense(5) -> h: tanh
        [h, features, h] -> all: concat
        all -> slice(3, 11) -> b: dense(3)
        all -> slice(0, 4) -> other: slice(1, 4)
        [b, label] -> softmax_loss
        [other, b] -> euclidean_loss""",
    "shapes": """
        features -> a: dense(12) -> h: reshape(3x4) -> low: slice(0, 2)
        h -> high: slice(1, 3) -> tanh
        [low, tanh] -> concat -> flatten -> b: dense(3)
        [b, label] -> softmax_loss""",
    "attention": """
        features -> a: dense(5) -> p: softmax
        features -> v: dense(5)
        [p, v] -> multiply -> b: dense(3)
        [b, label] -> softmax_loss
        [p, v] -> euclidean_loss""",
    "normed": """
        features -> a: dense(5) -> layer_norm -> relu -> layer_norm(epsilon = 0.1, scale = none)
                 -> c: dense(3) -> d: layer_norm(shift = none)
        [d, label] -> softmax_loss""",
    "norms_that_share": """
        param s ~ gaussian(std = 1)
        features -> a: dense(4) -> n: layer_norm(scale = s, shift = s) -> tanh
                 -> m: layer_norm(scale = s, shift = none)
        [m, features] -> euclidean_loss""",
    "yes_or_no": """
        features -> a: dense(4) -> tanh -> b: dense(4)
        features -> t: dense(4) -> p: sigmoid
        [b, p] -> sigmoid_loss""",
    "embedded": """
        label -> e: embedding(3, 5) -> tanh -> b: dense(3)
        features -> c: dense(3)
        [b, c] -> add -> d: dense(3)
        [d, label] -> softmax_loss""",
    "embedded_twice": """
        label -> e: embedding(4, 3)
        label -> f: embedding(4, 3, weight = e.weight) -> b: dense(3, weight ~ gaussian(std = 1))
        [e, b] -> euclidean_loss
        [e, label] -> softmax_loss""",
    "tied_scores": """
        label -> e: embedding(3, 5) -> tanh -> b: dense(3, weight = e.weight')
        [b, label] -> softmax_loss""",
    "onehot": """
        label -> o: onehot(4) -> a: dense(5) -> tanh -> b: dense(3)
        [b, label] -> softmax_loss""",
    "dropped": """
        features -> a: dense(5) -> drop: dropout(0.4) -> tanh -> b: dense(3)
        [b, label] -> softmax_loss""",
}
# fmt: on


def graph_of(name: str) -> NetGraph:
    return model(small(NETS[name])).net.graph


def targets_graph() -> NetGraph:
    net = "features -> a: dense(5) -> tanh -> b: dense(1)\n[b, label] -> euclidean_loss"
    return model(small(net, data=TARGETS)).net.graph


def examples(rows: int = BATCH) -> Buffers:
    """Fields of a batch."""
    random = np.random.default_rng(1)
    labels = random.integers(0, CLASSES, (rows, 1)).astype(float)
    return {"features": random.normal(size=(rows, 4)), "label": labels}


def params(graph: NetGraph) -> Buffers:
    """Params with random values, in their canonical shape."""
    random = np.random.default_rng(2)
    return {n: 0.5 * random.normal(size=p.shape) for n, p in graph.params.items()}


def draws(stream: int, shape: tuple[int, int]) -> Array:
    """The same numbers each time a stream is drawn, whatever rows come after."""
    whole = np.random.default_rng(stream).random((BATCH, shape[1]))
    return whole[: shape[0]]


def done(items: Sequence[Item], *given: Buffers) -> Buffers:
    """All tensors after the operations."""
    buffers: Buffers = {}
    for some in given:
        buffers |= {n: a.copy() for n, a in some.items()}
    run(items, buffers, draws)
    return buffers


def training(graph: NetGraph) -> Sequence[Item]:
    return train_order(graph, BATCH).items


def measuring(graph: NetGraph) -> Sequence[Item]:
    return test_order(graph, BATCH, ()).items


def gradients(graph: NetGraph, tensors: Buffers) -> Buffers:
    """The gradients of all params that have one."""
    names = [gradient_of(n) for n in graph.params]
    return {n: tensors[n] for n in names if n in tensors}
