"""What operations read and write, and what the reference makes of them, worked out by hand."""

from __future__ import annotations

import numpy as np

from singac.layers.access import reads, writes
from singac.layers.expression import Draw, Variable, add, mul, number
from singac.layers.operations import (
    Assign,
    ColumnRange,
    ColumnSum,
    Concat,
    Hits,
    Lookup,
    LookupGradient,
    Measure,
    Normalise,
    NormaliseGradient,
    OneHot,
    Operation,
    Pointwise,
    Product,
    Role,
    Softmax,
    SoftmaxGradient,
    SoftmaxLoss,
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
    (Concat("y", (ColumnRange("x", 0, 2), ColumnRange(None, 0, 1), ColumnRange("x", 2, 1))),
                                                                  ("x",),               ("y",)),
    (Softmax("y", "x"),                                           ("x",),               ("y",)),
    (SoftmaxGradient("dx", "dy", "y"),                            ("dy", "y"),          ("dx",)),
    (Normalise("y", "i", "x", 0.1),                               ("x",),               ("y", "i")),
    (NormaliseGradient("dx", "dy", "y", "i"),                     ("dy", "y", "i"),     ("dx",)),
    (Lookup("y", "w", "t"),                                       ("w", "t"),           ("y",)),
    (LookupGradient("dw", "dy", "t", 3),                          ("dy", "t"),          ("dw",)),
    (LookupGradient("dw", "dy", "t", 3, accumulate=True),         ("dy", "t", "dw"),    ("dw",)),
    (OneHot("y", "t", 3),                                         ("t",),               ("y",)),
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


def test_ranges_of_columns() -> None:
    ranges = (ColumnRange("b", 1, 1), ColumnRange(None, 0, 2), ColumnRange("a", 0, 2))
    made = after([Concat("y", ranges)], a=[[1, 2], [3, 4]], b=[[5, 6], [7, 8]])
    assert made["y"].tolist() == [[6, 0, 0, 1, 2], [8, 0, 0, 3, 4]]


def test_softmax_of_a_row_and_its_gradient() -> None:
    operations = [Softmax("y", "x"), SoftmaxGradient("dx", "dy", "y")]
    made = after(operations, x=[[0.0, np.log(3.0)]], dy=[[4.0, 0.0]])
    np.testing.assert_allclose(made["y"], [[0.25, 0.75]])
    np.testing.assert_allclose(made["dx"], [[0.75, -0.75]])


def test_a_normed_row_and_its_gradient() -> None:
    """Values 1 and 7: mean 4, variance 9. The gradient has no part along 1 nor along y."""
    operations = [Normalise("y", "i", "x", 0.0), NormaliseGradient("dx", "dy", "y", "i")]
    made = after(operations, x=[[1.0, 7.0, 1.0, 7.0]], dy=[[1.0, 0.0, 0.0, 0.0]])
    np.testing.assert_allclose(made["y"], [[-1, 1, -1, 1]])
    np.testing.assert_allclose(made["i"], [[1 / 3]])
    np.testing.assert_allclose(made["dx"], [[1 / 6, 0, -1 / 6, 0]], atol=1e-15)


def test_rows_looked_up() -> None:
    operations = [
        Lookup("y", "w", "t"),
        OneHot("o", "t", 3),
        LookupGradient("dw", "dy", "t", 3),
        LookupGradient("dw", "dy", "t", 3, accumulate=True),
    ]
    made = after(operations, w=[[1, 2], [3, 4], [5, 6]], t=[[2, 0], [2, 2]],
                 dy=[[1, 0, 0, 1], [1, 0, 10, 0]])  # fmt: skip
    assert made["y"].tolist() == [[5, 6, 1, 2], [5, 6, 5, 6]]
    assert made["o"].tolist() == [[0, 0, 1, 1, 0, 0], [0, 0, 1, 0, 0, 1]]
    assert made["dw"].tolist() == [[0, 2], [0, 0], [24, 0]]
