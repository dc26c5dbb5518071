"""Unrolled nets to order, and their steps done by the reference interpreter.

The data has four features, of which each of four steps takes one, and a label for all steps.
"""

from __future__ import annotations

import numpy as np

from singac.layers.access import flat, writes
from singac.layers.time import base_of, window
from singac.plan.items import operations_of
from singac.plan.order import Order
from tests.plan.orders import BATCH
from tests.reference.steps import Buffers, run

STEPS = 4

# fmt: off
NETS = {
    "rnn": """unroll 4 {
        [features, h[t-1]] -> h: rnn(5) -> o: dense(3)
        [o, label] -> softmax_loss }""",
    "rnn_of_sigmoids": """unroll 4 {
        [features, h[t-1]] -> h: rnn(5, activation = sigmoid, bias = none) -> o: dense(3)
        [o, label] -> softmax_loss }""",
    "gru": """unroll 4 {
        features -> x: dense(6) -> tanh
        [tanh, h[t-1]] -> h: gru(5, weight ~ gaussian(std = 1)) -> o: dense(3)
        [o, label] -> softmax_loss }""",
    "gru_without_bias": """unroll 4 {
        [features, h[t-1]] -> h: gru(17, bias = none) -> o: dense(3)
        [o, label] -> softmax_loss }""",
    "lstm": """unroll 4 {
        features -> x: dense(6) -> tanh
        [tanh, h[t-1]] -> h: lstm(5, weight ~ gaussian(std = 1)) -> o: dense(3)
        [o, label] -> softmax_loss }""",
    "lstm_two_steps_back": """unroll 4 {
        [features, h[t-2]] -> h: lstm(5) -> o: dense(3)
        [o, label] -> softmax_loss }""",
    "stacked": """unroll 4 {
        [features, low[t-1]] -> low: gru(5)
        low -> drop: dropout(0.3)
        [drop, high[t-1]] -> high: lstm(4) -> o: dense(3)
        [o, label] -> softmax_loss }""",
    "down_and_up": """unroll 4 {
        [features, high[t-1]] -> both: concat
        [both, low[t-1]] -> low: gru(5)
        [low, high[t-1]] -> high: rnn(4) -> o: dense(3)
        [o, label] -> softmax_loss }""",
    "by_hand": """unroll 4 {
        [features, h[t-1]] -> both: concat -> sums: dense(5) -> h: tanh
        h -> o: dense(3)
        [o, label] -> softmax_loss }""",
    "running_sum": """unroll 4 {
        features -> x: dense(3)
        [x, total[t-1]] -> total: add
        [total, label] -> softmax_loss }""",
    "two_delays": """unroll 4 {
        features -> x: dense(5)
        [x, h[t-1], h[t-3]] -> sums: add -> h: tanh
        [h, h[t-1]] -> seen: concat -> o: dense(3)
        [o, label] -> softmax_loss }""",
    "longer_than_the_unroll": """unroll 4 {
        features -> x: dense(5)
        [x, h[t-6]] -> sums: add -> h: tanh -> o: dense(3)
        [o, label] -> softmax_loss }""",
    "normed": """unroll 4 {
        features -> x: dense(5)
        h[t-1] -> back: dense(5) -> layer_norm(epsilon = 0.1)
        [x, layer_norm] -> sums: add -> h: tanh -> o: dense(3)
        [o, label] -> softmax_loss }""",
    "last_step": """unroll 4 { [features, h[t-1]] -> h: gru(5) }
        h -> o: dense(3)
        [o, label] -> softmax_loss""",
    "last_step_and_all": """unroll 4 {
        [features, h[t-1]] -> h: gru(5) -> o: dense(3)
        [o, label] -> softmax_loss }
        h -> p: dense(3)
        [p, label] -> softmax_loss""",
    "from_outside": """features -> all: dense(5) -> tanh
        unroll 4 {
        features -> x: dense(5)
        [x, tanh] -> both: concat
        [both, h[t-1]] -> h: gru(5) -> o: dense(3)
        [o, label] -> softmax_loss }""",
    "encoder_and_decoder": """unroll 4 { [features, code[t-1]] -> code: gru(5) }
        unroll 3 { [code, h[t-1]] -> h: rnn(4) -> o: dense(3)
        [o, label] -> softmax_loss }""",
    "no_recurrence": """unroll 4 {
        features -> x: dense(6) -> tanh -> o: dense(3)
        [o, label] -> softmax_loss
        [o, label] -> accuracy }""",
    "delay_alone": """unroll 4 {
        features -> x: dense(6) -> tanh
        tanh[t-1] -> o: dense(3)
        [o, label] -> softmax_loss }""",
    "one_step": """unroll 1 {
        features -> x: dense(6)
        [x, h[t-1]] -> h: lstm(5) -> o: dense(3)
        [o, label] -> softmax_loss }""",
    "tied": """unroll 4 {
        features -> x: dense(5)
        [x, a[t-1]] -> a: gru(5)
        [a, b[t-1]] -> b: gru(5, weight_x = a.weight_x, weight_h = a.weight_x, bias = a.bias)
        b -> o: dense(3)
        [o, label] -> softmax_loss }""",
    "transposed": """param w ~ gaussian(std = 1)
        unroll 4 {
        features -> x: dense(5, weight = w)
        [x, h[t-1]] -> h: rnn(4, weight_x = u', weight_h ~ gaussian(std = 1)) -> o: dense(3)
        h -> back: dense(5, weight = u)
        [back, x] -> euclidean_loss
        [o, label] -> softmax_loss }
        param u ~ gaussian(std = 1)""",
    "real_targets": """unroll 4 {
        [features, h[t-1]] -> h: lstm(5) -> o: dense(1)
        [o, features] -> euclidean_loss }""",
    "yes_or_no": """unroll 4 {
        [features, h[t-1]] -> h: gru(5) -> o: dense(1)
        features -> t: sigmoid
        [o, t] -> sigmoid_loss }""",
    "embedded": """unroll 4 {
        label -> e: embedding(3, 5)
        [e, h[t-1]] -> h: gru(4) -> o: dense(3, bias = none)
        [o, label] -> softmax_loss }""",
}
# fmt: on
LEARNING = [n for n in NETS if n != "stacked"]


def done(order: Order, *given: Buffers, rows: int = BATCH) -> Buffers:
    """All tensors after the operations of a phase."""
    buffers: Buffers = {}
    for some in (blank(order, rows), *given):
        buffers |= {n: a.copy() for n, a in some.items()}
    run(order.items, buffers, drawn, steps=order.steps)
    return buffers


def drawn(stream: int, shape: tuple[int, int]) -> np.ndarray:
    """As in other nets, of as many places as there are examples and steps."""
    return np.random.default_rng(stream).random((BATCH * STEPS, shape[1]))[: shape[0]]


def blank(order: Order, rows: int) -> Buffers:
    """Tensors that are first set to one number: what they hold tells nothing of their shape."""
    names = [n for o in flat(operations_of(order.items)) for n in writes(o)]
    parts = [(n, window(n, order.steps.get(base_of(n), 1))) for n in names]
    return {
        n: np.full((part.steps * rows, order.columns[part.base]), np.nan)
        for n, part in parts
        if part.base in order.columns
    }
