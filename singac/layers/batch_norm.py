"""`batch_norm`: each channel brought to one scale over the whole batch of a worker group.

    D = x - mean,  inverse = 1 / sqrt(variance + epsilon)       (Ioffe, Szegedy 2015)
    y = D f + shift                 f = scale inverse
    dx = f (dy - A / n - D inverse^2 B / n)        A = sum dy, B = sum dy D
    dscale = inverse B, dshift = A

Sums go over the n values that a channel has in the batch: all pixels of all examples of all
workers. Of values in one axis each is a channel. A worker sums its own rows, and the group sums
what its workers have; so every worker has the same bits.

Testing takes `running_mean` and `running_variance`. They are measured and not learnt: a step pushes
this batch's as if they were gradients, and the server moves the param by the share `momentum`
towards them. The variance that is kept is that of a sample, with n - 1 below.
"""

from __future__ import annotations

from collections.abc import Mapping

from singac.layers.expression import Expression, Variable, add, call, div, mul, number, sub
from singac.layers.kind import (
    Connection,
    LayerKind,
    Misfit,
    Operand,
    ParamSpec,
    Settings,
    Sizes,
    Use,
    Wanted,
    columns,
    same_shape,
)
from singac.layers.operations import (
    Assign,
    ChannelSum,
    ColumnRange,
    ColumnSum,
    Concat,
    GroupSum,
    Operation,
    Pointwise,
    Spread,
)
from singac.settings import POSITIVE, SHARE, Setting

SCALE, SHIFT = "scale", "shift"
RUNNING_MEAN, RUNNING_VARIANCE = "running_mean", "running_variance"

# Of each example: what is summed over the batch.
PRODUCT = "product"
# Of the batch, a number each channel; sums of this worker, then of the group.
SUM, TOTAL, SQUARES, ALL_SQUARES = "sum", "total", "squares", "all_squares"
MEAN, INVERSE, FACTOR = "mean", "inverse", "factor"
SHIFTED, ALONG, PAIR, PAIRS = "shifted", "along", "pair", "pairs"
LEVEL, SLANT = "level", "slant"
# The same, for each pixel of its channel.
WIDE = "wide_"


def _channels(shape: tuple[int, ...]) -> int:
    return shape[0]


def _shape(settings: Settings, sources: tuple[Operand, ...]) -> Sizes:
    if sources[0].steps > 1:
        raise Misfit(
            "`batch_norm` stands in no unroll: what it keeps for testing is not of steps",
            help="`layer_norm` needs nothing but the values of a step",
        )
    return same_shape(settings, sources)


def _params(settings: Settings, sources: tuple[Operand, ...]) -> tuple[ParamSpec, ...]:
    shape, momentum = (_channels(sources[0].shape),), settings["momentum"]
    assert isinstance(momentum, float), "momentum is a number"
    zero, one = ("constant", {"value": 0.0}), ("constant", {"value": 1.0})
    return (
        ParamSpec(SCALE, shape, one, optional=True),
        ParamSpec(SHIFT, shape, zero, optional=True),
        ParamSpec(RUNNING_MEAN, shape, zero, follows=momentum),
        ParamSpec(RUNNING_VARIANCE, shape, one, follows=momentum),
    )


def _inner(_: Settings, sources: tuple[Operand, ...]) -> Mapping[str, int]:
    return {PRODUCT: columns(sources[0].shape)}


def _inner_of_batch(_: Settings, sources: tuple[Operand, ...]) -> Mapping[str, int]:
    size, channels = columns(sources[0].shape), _channels(sources[0].shape)
    narrow = (SUM, TOTAL, SQUARES, ALL_SQUARES, MEAN, INVERSE, FACTOR, SHIFTED, ALONG, LEVEL, SLANT)
    wide = (MEAN, FACTOR, SHIFT, LEVEL, SLANT)
    found = dict.fromkeys(narrow, channels) | {PAIR: 2 * channels, PAIRS: 2 * channels}
    return found | dict.fromkeys((WIDE + role for role in wide), size)


class _Norm:
    """One batch_norm of a net, with names and operations that forward and backward share."""

    def __init__(self, use: Use) -> None:
        self.use, self.x = use, use.sources[0].name
        self.channels = _channels(use.sources[0].shape)
        self.pixels = columns(use.sources[0].shape) // self.channels
        self.count = use.batch * self.pixels
        epsilon = use.settings["epsilon"]
        assert isinstance(epsilon, float), "epsilon is a number"
        self.epsilon = epsilon
        self._spread: list[str] = []

    def inner(self, role: str) -> Expression:
        return Variable(self.use.inner(role))

    def of_channels(self, role: str, value: Expression) -> Pointwise:
        """`role = value`, a number each channel."""
        out = self.use.inner(role)
        return Pointwise(out, (Assign(out, value),))

    def summed(self, out: str, source: str) -> Operation:
        """The sum of this worker's rows, and of the pixels of each channel."""
        if self.pixels == 1:
            return ColumnSum(out, source)
        return ChannelSum(out, source, self.channels)

    def product(self, value: Expression, out: str) -> list[Operation]:
        """The sum of a value that every pixel has."""
        name = self.use.inner(PRODUCT)
        return [Pointwise(self.use.name, (Assign(name, value),)), self.summed(out, name)]

    def wide(self, source: str, role: str) -> tuple[list[Operation], Expression]:
        """A number each channel as an operand for every pixel, and what makes it, once."""
        if self.pixels == 1:
            return [], Variable(source)
        out = self.use.inner(WIDE + role)
        if out in self._spread:
            return [], Variable(out)
        self._spread.append(out)
        return [Spread(out, source, self.pixels)], Variable(out)

    def inverse(self, variance: Expression) -> Expression:
        root = call("sqrt", add(variance, number(self.epsilon)))
        return div(number(1), root)

    def result(self, mean: str) -> list[Operation]:
        """y = (x - mean) f + shift, f by `inverse`."""
        value, params = self.inner(INVERSE), self.use.params
        if SCALE in params:
            value = mul(value, Variable(params[SCALE].name))
        operations: list[Operation] = [self.of_channels(FACTOR, value)]
        spread, centre = self.wide(mean, MEAN)
        more, factor = self.wide(self.use.inner(FACTOR), FACTOR)
        operations += [*spread, *more]
        y = mul(sub(Variable(self.x), centre), factor)
        if SHIFT in params:
            spread, shift = self.wide(params[SHIFT].name, SHIFT)
            operations, y = [*operations, *spread], add(y, shift)
        return [*operations, Pointwise(self.use.name, (Assign(self.use.name, y),))]

    def measured(self) -> list[Operation]:
        """Mean and variance of the batch: sums of values, then of squares about their mean."""
        use, share = self.use, number(1 / self.count)
        mean = use.inner(MEAN)
        operations: list[Operation] = [
            self.summed(use.inner(SUM), self.x),
            GroupSum(use.inner(TOTAL), use.inner(SUM)),
            self.of_channels(MEAN, mul(self.inner(TOTAL), share)),
        ]
        spread, centre = self.wide(mean, MEAN)
        difference = sub(Variable(self.x), centre)
        operations += [*spread, *self.product(mul(difference, difference), use.inner(SQUARES))]
        operations.append(GroupSum(use.inner(ALL_SQUARES), use.inner(SQUARES)))
        variance = mul(self.inner(ALL_SQUARES), share)
        return [*operations, self.of_channels(INVERSE, self.inverse(variance))]


def _forward(use: Use, training: bool) -> tuple[Operation, ...]:
    norm = _Norm(use)
    if training:
        return (*norm.measured(), *norm.result(use.inner(MEAN)))
    variance = Variable(use.params[RUNNING_VARIANCE].name)
    inverse = norm.of_channels(INVERSE, norm.inverse(variance))
    return (inverse, *norm.result(use.params[RUNNING_MEAN].name))


def _backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    norm = _Norm(use)
    assert wanted.own is not None, "a norm that nothing reads has no backward"
    return (
        *_sums(norm, wanted.own),
        *_source_gradient(norm, wanted),
        *_params_pushed(norm, wanted),
    )


def _sums(norm: _Norm, dy: str) -> list[Operation]:
    """This worker's sums of dy and of dy D."""
    spread, centre = norm.wide(norm.use.inner(MEAN), MEAN)
    along = mul(Variable(dy), sub(Variable(norm.x), centre))
    return [
        norm.summed(norm.use.inner(SHIFTED), dy),
        *spread,
        *norm.product(along, norm.use.inner(ALONG)),
    ]


def _source_gradient(norm: _Norm, wanted: Wanted) -> list[Operation]:
    """dx = f (dy - level - D slant), by the group's sums, which change hands together."""
    (dx,), use, channels = wanted.sources, norm.use, norm.channels
    if dx is None or wanted.own is None:
        return []
    both = tuple(ColumnRange(use.inner(role), 0, channels) for role in (SHIFTED, ALONG))
    pairs, share = use.inner(PAIRS), number(1 / norm.count)
    squared = mul(norm.inner(INVERSE), norm.inner(INVERSE))
    operations: list[Operation] = [
        Concat(use.inner(PAIR), both),
        GroupSum(pairs, use.inner(PAIR)),
        Concat(use.inner(LEVEL), (ColumnRange(pairs, 0, channels),)),
        Concat(use.inner(SLANT), (ColumnRange(pairs, channels, channels),)),
        norm.of_channels(LEVEL, mul(norm.inner(LEVEL), share)),
        norm.of_channels(SLANT, mul(mul(norm.inner(SLANT), squared), share)),
    ]
    operands = []
    for role in (MEAN, FACTOR, LEVEL, SLANT):
        spread, operand = norm.wide(use.inner(role), role)
        operations += spread
        operands.append(operand)
    centre, factor, level, slant = operands
    slope = sub(Variable(wanted.own), level)
    slope = sub(slope, mul(sub(Variable(norm.x), centre), slant))
    return [*operations, Pointwise(use.name, (Assign(dx, mul(slope, factor)),))]


def _params_pushed(norm: _Norm, wanted: Wanted) -> list[Operation]:
    """Gradients of scale and shift, and this worker's part of what the running ones follow."""
    share, sample = number(1 / norm.count), number(1 / max(norm.count - 1, 1))
    # fmt: off
    values = {
        SCALE:            mul(norm.inner(ALONG), norm.inner(INVERSE)),
        SHIFT:            norm.inner(SHIFTED),
        RUNNING_MEAN:     mul(norm.inner(SUM), share),
        RUNNING_VARIANCE: mul(norm.inner(SQUARES), sample),
    }
    # fmt: on
    operations: list[Operation] = []
    begun = list(wanted.begun)
    for role, value in values.items():
        out = wanted.params.get(role)
        if out is not None:
            total = add(Variable(out), value) if out in begun else value
            operations.append(Pointwise(norm.use.inner(SUM), (Assign(out, total),)))
            begun.append(out)
    return operations


BATCH_NORM = LayerKind(
    name="batch_norm",
    summary="y = scale (x - mean) / sqrt(variance + epsilon) + shift, each channel over the whole "
    "batch of a worker group; testing takes running_mean and running_variance",
    settings=(
        Setting("epsilon", "added to the variance", default=1e-5, within=POSITIVE),
        Setting(
            "momentum",
            "the share of the newest batch in what is kept for testing",
            default=0.1,
            within=SHARE,
        ),
    ),
    sources=1,
    shape=_shape,
    params=_params,
    roles=(SCALE, SHIFT, RUNNING_MEAN, RUNNING_VARIANCE),
    inner=_inner,
    inner_of_batch=_inner_of_batch,
    forward=_forward,
    backward=_backward,
    connection=Connection.ONE_TO_ALL,
)
