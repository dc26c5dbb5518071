"""Losses and metrics, and `top_k`: layers that end a net.

A loss adds to the metric `loss`; the printed mean over the batch is the function whose exact
gradient is applied.
"""

from __future__ import annotations

from singac.layers.cut import ALONG_SOURCES
from singac.layers.expression import Expression, Variable, add, call, mul, neg, number, sub
from singac.layers.kind import (
    Answer,
    Connection,
    LayerKind,
    Misfit,
    Operand,
    Settings,
    Sizes,
    Use,
    Wanted,
    columns,
)
from singac.layers.operations import Assign, Best, Hits, Measure, Operation, Pointwise, SoftmaxLoss
from singac.settings import AT_LEAST_ONE, Setting, Sort

LOSS = "loss"
ACCURACY = "accuracy"
TOPK = Setting(
    "topk",
    "a hit is a label among the k highest scores, of equal scores the earlier classes",
    (Sort.INTEGER,),
    default=1,
    within=AT_LEAST_ONE,
)


def _shape_of_scores(settings: Settings, sources: tuple[Operand, ...]) -> Sizes:
    scores, labels = sources
    if columns(labels.shape) != 1:
        raise Misfit(
            f"the second source must be a class number an example, `{labels.name}` has shape "
            f"{'x'.join(map(str, labels.shape))}",
            slot=1,
            help=f"write [{scores.name}, label]; of a text, unroll the layers: a step has one",
        )
    if _topk(settings) > columns(scores.shape):
        raise Misfit(f"topk = {_topk(settings)} of only {columns(scores.shape)} classes", slot=0)
    return ()


def _topk(settings: Settings) -> int:
    topk = settings["topk"]
    assert isinstance(topk, int), "topk is a whole number"
    return topk


def _hits(use: Use, _: bool) -> tuple[Operation, ...]:
    scores, labels = (s.name for s in use.sources)
    return (Hits(use.metrics[ACCURACY], scores, labels, _topk(use.settings), 1 / use.steps),)


def _softmax_forward(use: Use, training: bool) -> tuple[Operation, ...]:
    """Testing measures the loss here; training measures it where its gradient is made."""
    loss = () if training else (_softmax_loss(use, None),)
    return (*loss, *_hits(use, training))


def _softmax_backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    return (_softmax_loss(use, wanted.sources[0]),)


def _softmax_loss(use: Use, gradient: str | None) -> SoftmaxLoss:
    scores, labels = (s.name for s in use.sources)
    name, scale, share = use.metrics[LOSS], 1 / use.batch, 1 / use.steps
    return SoftmaxLoss(name, scores, labels, gradient, scale, share)


def _same_columns(_: Settings, sources: tuple[Operand, ...]) -> Sizes:
    a, b = sources
    if columns(a.shape) != columns(b.shape):
        raise Misfit(
            f"`{a.name}` has {columns(a.shape)} values an example and `{b.name}` has "
            f"{columns(b.shape)}",
            slot=1,
            help="both sources need the same number of values",
        )
    return ()


def _euclidean_forward(use: Use, _: bool) -> tuple[Operation, ...]:
    """Half the squared distance, so that its gradient is the difference."""
    difference = sub(Variable(use.sources[0].name), Variable(use.sources[1].name))
    half_square = mul(number(0.5), mul(difference, difference))
    return (_measured(use, half_square),)


def _euclidean_backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    a, b = (Variable(s.name) for s in use.sources)
    return _scaled_slopes(use, wanted, (sub(a, b), sub(b, a)))


def _sigmoid_forward(use: Use, _: bool) -> tuple[Operation, ...]:
    """-t log p - (1 - t) log(1 - p) with p = sigmoid(x), written so that nothing overflows.

    It is max(x, 0) - x t + log(1 + exp(-|x|)).
    """
    x, t = (Variable(s.name) for s in use.sources)
    tail = call("log", add(number(1), call("exp", neg(call("abs", x)))))
    entropy = add(sub(call("max", x, number(0)), mul(x, t)), tail)
    return (_measured(use, entropy),)


def _measured(use: Use, loss: Expression) -> Measure:
    """What each value adds to the loss, which is a mean over steps too."""
    return Measure(use.metrics[LOSS], use.sources[0].name, mul(loss, number(1 / use.steps)))


def _sigmoid_backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    """sigmoid(x) - t for the scores, -x for targets that are learnt too."""
    x, t = (Variable(s.name) for s in use.sources)
    slopes = (sub(call("sigmoid", x), t), neg(x))
    return _scaled_slopes(use, wanted, slopes)


def _scaled_slopes(
    use: Use, wanted: Wanted, slopes: tuple[Expression, Expression]
) -> tuple[Operation, ...]:
    """The gradients of both sources, by which the loss is a mean over the batch."""
    share = number(1 / use.batch)
    named = zip(wanted.sources, slopes, strict=True)
    assigns = tuple(Assign(name, mul(slope, share)) for name, slope in named if name is not None)
    return (Pointwise(use.sources[0].name, assigns),) if assigns else ()


def _best_shape(settings: Settings, sources: tuple[Operand, ...]) -> Sizes:
    count, values = _count(settings), columns(sources[0].shape)
    if count > values:
        raise Misfit(f"top_k({count}) of only {values} values", slot=0)
    return (count,)


def _count(settings: Settings) -> int:
    count = settings["k"]
    assert isinstance(count, int), "k is a whole number"
    return count


def _best(use: Use, _: bool) -> tuple[Operation, ...]:
    return (Best(use.name, use.sources[0].name, _count(use.settings)),)


def _nothing(_: Use, __: Wanted) -> tuple[Operation, ...]:
    return ()


SOFTMAX_LOSS = LayerKind(
    name="softmax_loss",
    summary="-log softmax(scores)[label], mean over the batch; also the metric `accuracy`",
    settings=(TOPK,),
    sources=2,
    shape=_shape_of_scores,
    forward=_softmax_forward,
    backward=_softmax_backward,
    metrics=(LOSS, ACCURACY),
    is_loss=True,
    label_slot=1,
    answer=Answer.SOFTMAX,
    uncut="it compares all scores of an example",
)

EUCLIDEAN_LOSS = LayerKind(
    name="euclidean_loss",
    summary="half the squared distance of two sources, summed over values, mean over the batch",
    settings=(),
    sources=2,
    shape=_same_columns,
    forward=_euclidean_forward,
    backward=_euclidean_backward,
    metrics=(LOSS,),
    is_loss=True,
    feature=ALONG_SOURCES,
)

SIGMOID_LOSS = LayerKind(
    name="sigmoid_loss",
    summary="binary cross-entropy of sigmoid(scores) and targets from 0 to 1, summed over values, "
    "mean over the batch",
    settings=(),
    sources=2,
    shape=_same_columns,
    forward=_sigmoid_forward,
    backward=_sigmoid_backward,
    metrics=(LOSS,),
    is_loss=True,
    answer=Answer.SIGMOID,
    feature=ALONG_SOURCES,
)

TOP_K = LayerKind(
    name="top_k",
    summary="the numbers of the k highest values, the highest first; of equals the earlier first",
    settings=(Setting("k", "how many", (Sort.INTEGER,), positional=True, within=AT_LEAST_ONE),),
    sources=1,
    shape=_best_shape,
    forward=_best,
    backward=_nothing,
    connection=Connection.ONE_TO_ALL,
    uncut="it compares all values of an example",
)

ACCURACY_METRIC = LayerKind(
    name="accuracy",
    summary="the share of examples whose label is among the `topk` highest scores",
    settings=(TOPK,),
    sources=2,
    shape=_shape_of_scores,
    forward=_hits,
    backward=_nothing,
    metrics=(ACCURACY,),
    label_slot=1,
    answer=Answer.HIGHEST,
    uncut="it compares all scores of an example",
)
