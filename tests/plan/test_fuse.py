"""Fusing changes no result, and leaves nothing that could have been fused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from singac.layers.access import reads, writes
from singac.layers.expression import Variable, add, mul, number
from singac.layers.operations import Assign, Operation, Pointwise, Product, Role
from singac.plan.fuse import fuse, stored
from singac.plan.items import Item, PullParam, PushParam
from singac.plan.order import Order
from singac.plan.order import test_order as order_of_testing
from singac.plan.order import train_order as order_of_training
from tests.plan.orders import BATCH, NETS, done, draws, examples, graph_of, params
from tests.programs import model, small
from tests.reference.steps import Buffers, run


def orders(name: str) -> tuple[Order, Order]:
    graph = graph_of(name)
    return order_of_training(graph, BATCH), order_of_testing(graph, BATCH, ())


@pytest.mark.parametrize("name", NETS)
def test_fused_operations_give_the_same(name: str) -> None:
    given_ = (examples(), params(graph_of(name)))
    for order in orders(name):
        fused = fuse(order.items, order.columns)
        plain, after = done(order.items, *given_), done(fused, *given_)
        assert len(fused) < len(order.items)
        for tensor in after:
            np.testing.assert_array_equal(after[tensor], plain[tensor])
        assert [i for i in fused if isinstance(i, PullParam | PushParam)] == [
            i for i in order.items if isinstance(i, PullParam | PushParam)
        ]


@pytest.mark.parametrize("name", NETS)
def test_what_is_read_is_stored(name: str) -> None:
    """Without the tensors that stay in registers every operation still finds what it reads."""
    for order in orders(name):
        fused = fuse(order.items, order.columns)
        kept = stored(fused)
        buffers: Buffers = {**examples(), **params(graph_of(name))}
        for item in fused:
            run([item], buffers, draws)
            for tensor in () if isinstance(item, PullParam | PushParam) else writes(item):
                if tensor in order.columns and tensor not in kept:
                    del buffers[tensor]
        whole = done(order.items, examples(), params(graph_of(name)))
        for tensor, values in buffers.items():
            np.testing.assert_array_equal(values, whole[tensor])


def test_a_perceptron_is_products_and_a_loss() -> None:
    """Bias, activation and its derivative cost no operation of their own."""
    train, test = orders("perceptron")
    kinds = [type(i).__name__ for i in fuse(train.items, train.columns)
             if not isinstance(i, PullParam | PushParam)]  # fmt: skip
    assert kinds == ["Product", "Product", "Hits", "SoftmaxLoss", "Product", "Product",
                     "ColumnSum", "Product", "ColumnSum"]  # fmt: skip
    kinds = [type(i).__name__ for i in fuse(test.items, test.columns)
             if not isinstance(i, PullParam | PushParam)]  # fmt: skip
    assert kinds == ["Product", "Product", "SoftmaxLoss", "Hits"]


def kinds_of(net: str) -> list[str]:
    """Of a training step, fused."""
    order = order_of_training(model(small(net)).net.graph, BATCH)
    items = fuse(order.items, order.columns)
    return [type(i).__name__ for i in items if not isinstance(i, PullParam | PushParam)]


LOSS = " -> b: dense(3)\n[b, label] -> softmax_loss"


def test_another_shape_costs_nothing() -> None:
    plain = "features -> a: dense(12) -> relu"
    shaped = "features -> a: dense(12) -> reshape(3x4) -> relu -> flatten"
    assert kinds_of(shaped + LOSS) == kinds_of(plain + LOSS)


def test_a_sum_is_done_by_the_product_before_it() -> None:
    """So are, backward, the slope of its source and the sum of the gradients it takes apart."""
    straight = "features -> a: dense(4) -> h: tanh -> c: dense(4) -> out: relu"
    added = straight + "\n[h, out] -> add"
    assert kinds_of(added + LOSS) == kinds_of(straight + LOSS)


# -- operations in any order -----------------------------------------------------------------------

TENSORS = ("a", "b", "c", "d", "e")
COLUMNS = dict.fromkeys(TENSORS, 4)


def _pointwise(out: str, first: str, second: str) -> Operation:
    value = add(mul(number(0.5), Variable(first)), Variable(second))
    return Pointwise(out, (Assign(out, value),))


def _product(out: str, left: str, forward: bool) -> Operation:
    role = Role.FORWARD if forward else Role.INPUT_GRADIENT
    return Product(role, out, left, "w")


_names = st.sampled_from(TENSORS)
_operations = st.one_of(
    st.builds(_pointwise, _names, _names, _names),
    st.builds(_product, _names, _names, st.booleans()),
    st.just(PullParam("v")),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_operations, min_size=2, max_size=8))
def test_any_operations_fuse_safely(items: list[Item]) -> None:
    """Also such as no layer makes: operands overwritten, results written twice."""
    items = [i for i in items if not isinstance(i, Product) or i.out != i.left]
    random = np.random.default_rng(3)
    start = {n: random.normal(size=(3, 4)) for n in TENSORS} | {"w": random.normal(size=(4, 4))}
    plain, fused = dict(start), dict(start)
    run(items, plain)
    _run_row_by_row(fuse(items, COLUMNS), fused)
    for name in TENSORS:
        np.testing.assert_allclose(fused[name], plain[name], rtol=1e-9)


def _run_row_by_row(items: tuple[Item, ...], buffers: Buffers) -> None:
    """As kernels do it: what follows a product is done while other rows are still to come."""
    for item in items:
        if isinstance(item, PullParam | PushParam):
            continue
        for row in range(3):
            part = {n: a if n == "w" else a[row : row + 1] for n, a in buffers.items()}
            run([item], part)
            for name in writes(item):
                buffers[name] = np.vstack(
                    [buffers[name][:row], part[name], buffers[name][row + 1 :]]
                )


def test_a_product_keeps_its_operands() -> None:
    """`x = relu(y)` after `y = x W` waits until all of y is there."""
    product = Product(Role.FORWARD, "b", "a", "w")
    item = _pointwise("a", "b", "b")
    assert fuse([product, item], COLUMNS) == (product, item)


def test_a_push_is_no_obstacle_and_a_pull_is_one() -> None:
    product = Product(Role.FORWARD, "a", "b", "w")
    item = _pointwise("c", "a", "a")
    assert len(fuse([product, PushParam("v"), item], COLUMNS)) == 2
    biased = Pointwise("a", (Assign("a", add(Variable("a"), Variable("v"))),))
    assert len(fuse([product, PullParam("v"), biased], COLUMNS)) == 3
    assert len(fuse([product, PullParam("w"), biased], COLUMNS)) == 2


def test_reads_of_a_fused_product() -> None:
    then = Pointwise("y", (Assign("z", add(Variable("y"), Variable("b"))),))
    product = Product(Role.FORWARD, "y", "x", "w", then=then)
    assert reads(product) == ("x", "w", "b")
    assert writes(product) == ("z",)
