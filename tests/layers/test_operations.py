"""What operations read and write, and what the reference makes of them, worked out by hand."""

from __future__ import annotations

import numpy as np

from singac.layers.expression import Draw, Variable, add, mul, number
from singac.layers.operations import (
    Assign,
    ColumnSum,
    Hits,
    Measure,
    Operation,
    Pointwise,
    Product,
    Role,
    SoftmaxLoss,
    reads,
    writes,
)
from tests.reference.steps import Buffers, run

Y = Variable("y")
BIASED = Pointwise("y", (Assign("z", add(Y, Variable("b"))), Assign("q", mul(Variable("z"), Y))))

# fmt: off
NAMES: tuple[tuple[Operation, tuple[str, ...], tuple[str, ...]], ...] = (
    (Pointwise("y", (Assign("y", add(Y, Y)),)),                   ("y",),               ("y",)),
    (BIASED,                                                      ("y", "b"),           ("z", "q")),
    (Product(Role.FORWARD, "y", "x", "w"),                        ("x", "w"),           ("y",)),
    (Product(Role.FORWARD, "y", "x", "w", accumulate=True),       ("x", "w", "y"),      ("y",)),
    (Product(Role.FORWARD, "y", "x", "w", then=BIASED),           ("x", "w", "b"),      ("z", "q")),
    (ColumnSum("s", "x"),                                         ("x",),               ("s",)),
    (ColumnSum("s", "x", accumulate=True),                        ("x", "s"),           ("s",)),
    (Measure("loss", "x", mul(Variable("x"), Variable("t"))),     ("x", "t"),           ()),
    (SoftmaxLoss("loss", "x", "label", None, 1.0),                ("x", "label"),       ()),
    (SoftmaxLoss("loss", "x", "label", "d", 1.0),                 ("x", "label"),       ("d",)),
    (Hits("accuracy", "x", "label", 1),                           ("x", "label"),       ()),
)
# fmt: on


def test_reads_and_writes() -> None:
    for operation, read, written in NAMES:
        assert reads(operation) == read
        assert writes(operation) == written


def after(operations: list[Operation], **given: object) -> Buffers:
    buffers = {name: np.array(value, float) for name, value in given.items()}
    run(operations, buffers)
    return buffers


def test_products() -> None:
    x, w, dy = [[1, 2]], [[1, 0, 2], [0, 1, 3]], [[1, 1, 1]]
    made = after(
        [
            Product(Role.FORWARD, "y", "x", "w"),
            Product(Role.INPUT_GRADIENT, "dx", "dy", "w"),
            Product(Role.WEIGHT_GRADIENT, "dw", "x", "dy"),
            Product(Role.WEIGHT_GRADIENT, "dw", "x", "dy", accumulate=True),
        ],
        x=x, w=w, dy=dy,
    )  # fmt: skip
    assert made["y"].tolist() == [[1, 2, 8]]
    assert made["dx"].tolist() == [[3, 4]]
    assert made["dw"].tolist() == [[2, 2, 2], [4, 4, 4]]


def test_only_the_assigns_of_a_product_are_stored() -> None:
    product = Product(Role.FORWARD, "y", "x", "w", then=BIASED)
    made = after([product], x=[[1.0]], w=[[2.0]], b=[3.0])
    assert "y" not in made
    assert (made["z"].item(), made["q"].item()) == (5.0, 10.0)


def test_softmax_loss_and_its_gradient() -> None:
    scores, label = [[0.0, np.log(3.0)], [0.0, 0.0]], [[1], [0]]
    made = after([SoftmaxLoss("loss", "s", "label", "d", 0.5)], s=scores, label=label)
    np.testing.assert_allclose(made["metric:loss"], -np.log(0.75) - np.log(0.5))
    np.testing.assert_allclose(made["d"], [[0.125, -0.125], [-0.25, 0.25]])


def test_hits_count_an_earlier_equal_score_as_higher() -> None:
    scores = [[1, 1, 1], [1, 1, 1], [0, 2, 1]]
    for topk, hits in ((1, 1), (2, 3), (3, 3)):
        made = after([Hits("accuracy", "s", "label", topk)], s=scores, label=[[0], [1], [2]])
        assert made["metric:accuracy"].item() == hits


def test_metrics_add_up_over_valid_rows() -> None:
    buffers = {"x": np.array([[1.0, 2.0], [3.0, 4.0]])}
    for valid in (1, 2):
        run([Measure("loss", "x", mul(number(2), Variable("x")))], buffers, valid=valid)
    assert buffers["metric:loss"].item() == 2 * (3 + 10)


def test_column_sums_and_draws() -> None:
    buffers = {"x": np.array([[1.0, 2.0], [3.0, 4.0]])}
    operations = [ColumnSum("s", "x"), ColumnSum("s", "x", accumulate=True)]
    run(operations, buffers)
    assert buffers["s"].tolist() == [[8, 12]]
    masked = Pointwise("m", (Assign("m", mul(Variable("x"), Draw(7))),))
    run([masked], buffers, draws=lambda stream, shape: np.full(shape, stream / 14))
    assert buffers["m"].tolist() == [[0.5, 1], [1.5, 2]]
