"""Restricted Boltzmann machines: `rbm_visible(units)` joined by `<->` to `rbm_hidden(units)`.

Two layers without connections inside a layer, of energy

    E(v, h) = -b v - c h - v W h          units of v and h 0 or 1: P(1) = sigmoid
              + (v^2 / 2, h^2 / 2         for a layer of `kind = gaussian`: mean linear, variance 1)

Contrastive divergence (Hinton, Neural Computation 14, 2002) follows the difference of v h between
what the data gives and what k Gibbs steps from it give, a mean over the batch:

    data  ->  h0   ->  sample  ->  v1  ->  h1  ->  sample  ->  v2  ...  vk  ->  hk
    gradient of W = (vk hk - data h0) / batch, of b = (vk - data) / batch, of c = (hk - h0) / batch

Hidden units are sampled, visible ones are their means, as in Hinton's and the original's.
Persistent contrastive divergence (Tieleman, ICML 2008) takes its steps not from the data but from
where those of the batch before ended, a chain for each row of the batch; these follow the model
alone, so that visible units are sampled as well:

    chain  ->  v1  ->  sample  ->  h1  ->  ...  ->  hk  ->  sample  =  chain of the next batch

The loss that is told is the squared distance of the data and what a sample of h0 makes of it,
summed over values, mean over the batch: contrastive divergence has no loss of its own. Testing
takes h0 itself for the sample, so that a test depends on no chance.
"""

from __future__ import annotations

from singac.layers.dense import backward_role, forward_role, weight_sides
from singac.layers.draws import bernoulli, normal
from singac.layers.expression import Expression, Variable, add, call, mul, number, sub
from singac.layers.kind import (
    Connection,
    End,
    Energy,
    Gibbs,
    LayerKind,
    Misfit,
    Operand,
    Pair,
    ParamSpec,
    Settings,
    Sizes,
    Use,
    Wanted,
    columns,
)
from singac.layers.loss import LOSS
from singac.layers.operations import Assign, ColumnSum, Measure, Operation, Pointwise, Product, Role
from singac.settings import AT_LEAST_ONE, Setting, Sort

BINARY, GAUSSIAN = "binary", "gaussian"
UNITS = Setting("units", "number of units", (Sort.INTEGER,), positional=True, within=AT_LEAST_ONE)
KIND = Setting(
    "kind", "units that are 0 or 1, or real", (Sort.WORD,), default=BINARY,
    choices=(BINARY, GAUSSIAN),
)  # fmt: skip
RECONSTRUCTION, DIFFERENCE = "reconstruction", "difference"
SAMPLE, POSITIVE, NEGATIVE, SLOPE = "sample", "positive", "negative", "slope"
FANTASY, CHAIN = "fantasy", "chain"
WEIGHT, BIAS = "weight", "bias"


def _units(settings: Settings) -> int:
    units = settings["units"]
    assert isinstance(units, int), "a size is a whole number"
    return units


def _mean(use: Use, total: str) -> Expression:
    """The mean of units whose weighted sums are in `total`, their bias not yet added."""
    biased: Expression = Variable(total)
    if BIAS in use.params:
        biased = add(biased, Variable(use.params[BIAS].name))
    return biased if use.settings["kind"] == GAUSSIAN else call("sigmoid", biased)


def _sampled(use: Use, mean: str, what: str, step: int = 0) -> Expression:
    stream = use.stream_of(f"{what}{step}")
    if use.settings["kind"] == GAUSSIAN:
        return add(Variable(mean), normal(stream))
    return bernoulli(Variable(mean), stream)


# -- the visible layer -----------------------------------------------------------------------------


def _visible_shape(settings: Settings, sources: tuple[Operand, ...]) -> Sizes:
    values, units = columns(sources[0].shape), _units(settings)
    if values != units:
        message = f"`{sources[0].name}` has {values} values an example, not {units}"
        raise Misfit(message, slot=0, help=f"rbm_visible({values})")
    return (units,)


def _visible_params(settings: Settings, _: tuple[Operand, ...]) -> tuple[ParamSpec, ...]:
    return (ParamSpec(BIAS, (_units(settings),), ("constant", {"value": 0.0}), optional=True),)


def _visible_inner(settings: Settings, _: tuple[Operand, ...]) -> dict[str, int]:
    return dict.fromkeys((RECONSTRUCTION, DIFFERENCE, FANTASY), _units(settings))


def _copy(use: Use, training: bool) -> tuple[Operation, ...]:
    return (Pointwise(use.name, (Assign(use.name, Variable(use.sources[0].name)),)),)


def _copy_back(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    (gradient,) = wanted.sources
    if gradient is None or wanted.own is None:
        return ()
    return (Pointwise(use.name, (Assign(gradient, Variable(wanted.own)),)),)


# -- the hidden layer ------------------------------------------------------------------------------


def _hidden_shape(settings: Settings, _: tuple[Operand, ...]) -> Sizes:
    return (_units(settings),)


def _hidden_params(settings: Settings, sources: tuple[Operand, ...]) -> tuple[ParamSpec, ...]:
    units = _units(settings)
    drawn = ("gaussian", {"mean": 0.0, "std": 0.01})  # Hinton, A practical guide, 2010
    return (
        ParamSpec(WEIGHT, (columns(sources[0].shape), units), drawn),
        ParamSpec(BIAS, (units,), ("constant", {"value": 0.0}), optional=True),
    )


def _hidden_inner(settings: Settings, _: tuple[Operand, ...]) -> dict[str, int]:
    return dict.fromkeys((SAMPLE, POSITIVE, NEGATIVE, SLOPE, CHAIN), _units(settings))


def _forward(use: Use, training: bool) -> tuple[Operation, ...]:
    """The mean of each unit, given the visible layer."""
    weight = use.params[WEIGHT]
    product = Product(forward_role(weight), use.name, use.sources[0].name, weight.name)
    return (product, Pointwise(use.name, (Assign(use.name, _mean(use, use.name)),)))


def _backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    """As of a dense layer with a sigmoid: for a net that back-propagation trains further."""
    assert wanted.own is not None, "a layer that nothing reads has no backward"
    x, weight, slope = use.sources[0].name, use.params[WEIGHT], wanted.own
    operations: list[Operation] = []
    if use.settings["kind"] == BINARY:
        y, slope = Variable(use.name), use.inner(SLOPE)
        derived = mul(Variable(wanted.own), mul(y, sub(number(1), y)))
        operations.append(Pointwise(use.name, (Assign(slope, derived),)))
    if (dx := wanted.sources[0]) is not None:
        operations.append(Product(backward_role(weight), dx, slope, weight.name))
    if (dw := wanted.params.get(WEIGHT)) is not None:
        operations.append(_outer(dw, weight, x, slope, dw in wanted.begun))
    if (dc := wanted.params.get(BIAS)) is not None:
        operations.append(ColumnSum(dc, slope, accumulate=dc in wanted.begun))
    return tuple(operations)


def _outer(out: str, weight: Operand, visible: str, hidden: str, adds: bool) -> Operation:
    left, right = weight_sides(weight, visible, hidden)
    return Product(Role.WEIGHT_GRADIENT, out, left, right, accumulate=adds)


# -- the pair --------------------------------------------------------------------------------------


def _up(pair: Pair, visible: str, out: str, *then: Assign) -> tuple[Operation, ...]:
    """Means of the hidden units, and what is made of them."""
    weight, mean = pair.hidden.params[WEIGHT], Assign(out, _mean(pair.hidden, out))
    product = Product(forward_role(weight), out, visible, weight.name)
    return (product, Pointwise(out, (mean, *then)))


def _down(pair: Pair, hidden: str, out: str, *then: Assign) -> tuple[Operation, ...]:
    """Means of the visible units, and what is made of them."""
    weight, mean = pair.hidden.params[WEIGHT], Assign(out, _mean(pair.visible, out))
    product = Product(backward_role(weight), out, hidden, weight.name)
    return (product, Pointwise(out, (mean, *then)))


def _distance(pair: Pair, reconstruction: str) -> Operation:
    difference = sub(Variable(pair.visible.sources[0].name), Variable(reconstruction))
    return Measure(pair.hidden.metrics[LOSS], reconstruction, mul(difference, difference))


def _contrast(pair: Pair, gibbs: Gibbs) -> tuple[Operation, ...]:
    """What the data gives, then what Gibbs steps give, then their difference."""
    visible, hidden = pair.visible, pair.hidden
    mean, again = hidden.name, visible.inner(RECONSTRUCTION)
    data, sample = visible.sources[0].name, hidden.inner(SAMPLE)
    draw = Assign(sample, _sampled(hidden, mean, SAMPLE))
    taken = Assign(hidden.inner(POSITIVE), mul(Variable(mean), number(-1 / hidden.batch)))
    start = _up(pair, data, mean, draw, taken)
    if gibbs.persistent:
        seen = (*_down(pair, sample, again), _distance(pair, again))
        return (*start, *seen, *_fantasies(pair, gibbs.steps), *_statistics(pair, gibbs, FANTASY))
    return (*start, *_from_data(pair, gibbs.steps), *_statistics(pair, gibbs, RECONSTRUCTION))


def _from_data(pair: Pair, steps: int) -> list[Operation]:
    """Gibbs steps from the sample of the data's hidden units; the first gives the loss."""
    hidden, again = pair.hidden, pair.visible.inner(RECONSTRUCTION)
    mean, sample = hidden.name, hidden.inner(SAMPLE)
    operations: list[Operation] = []
    for step in range(1, steps + 1):
        is_last = step == steps
        operations += _down(pair, sample, again, *([_grown(pair, again)] * is_last))
        if step == 1:
            operations.append(_distance(pair, again))
        draw = Assign(sample, _sampled(hidden, mean, SAMPLE, step))
        operations += _up(pair, again, mean, _given(pair) if is_last else draw)
    return operations


def _fantasies(pair: Pair, steps: int) -> list[Operation]:
    """Gibbs steps from where those of the batch before ended."""
    visible, hidden = pair.visible, pair.hidden
    fantasy, chain, mean = visible.inner(FANTASY), hidden.inner(CHAIN), hidden.name
    operations: list[Operation] = []
    for step in range(1, steps + 1):
        is_last = step == steps
        seen = Assign(fantasy, _sampled(visible, fantasy, FANTASY, step))
        operations += _down(pair, chain, fantasy, seen, *([_grown(pair, fantasy)] * is_last))
        on = Assign(chain, _sampled(hidden, mean, CHAIN, step))
        operations += _up(pair, fantasy, mean, on, *([_given(pair)] * is_last))
    return operations


def _given(pair: Pair) -> Assign:
    """What the end of the steps gives for the hidden units."""
    share = number(1 / pair.hidden.batch)
    return Assign(pair.hidden.inner(NEGATIVE), mul(Variable(pair.hidden.name), share))


def _grown(pair: Pair, end: str) -> Assign:
    """What the end of the steps gives for the visible units, less what the data gives."""
    grown = sub(Variable(end), Variable(pair.visible.sources[0].name))
    share = number(1 / pair.hidden.batch)
    return Assign(pair.visible.inner(DIFFERENCE), mul(grown, share))


def _statistics(pair: Pair, gibbs: Gibbs, end: str) -> tuple[Operation, ...]:
    """The gradients: those of the data count negative, for training goes against a gradient."""
    visible, hidden = pair.visible, pair.hidden
    positive, negative = hidden.inner(POSITIVE), hidden.inner(NEGATIVE)
    weight = hidden.params[WEIGHT]
    dw = gibbs.gradients[weight.name]
    operations = [
        _outer(dw, weight, visible.sources[0].name, positive, dw in gibbs.begun),
        _outer(dw, weight, visible.inner(end), negative, True),
    ]
    if BIAS in hidden.params:
        dc = gibbs.gradients[hidden.params[BIAS].name]
        operations += [ColumnSum(dc, positive, dc in gibbs.begun), ColumnSum(dc, negative, True)]
    if BIAS in visible.params:
        db = gibbs.gradients[visible.params[BIAS].name]
        operations.append(ColumnSum(db, visible.inner(DIFFERENCE), db in gibbs.begun))
    return tuple(operations)


def _reconstruct(pair: Pair) -> tuple[Operation, ...]:
    again = pair.visible.inner(RECONSTRUCTION)
    return (*_down(pair, pair.hidden.name, again), _distance(pair, again))


RBM_VISIBLE = LayerKind(
    name="rbm_visible",
    summary="its source as the visible units of an RBM: `<->` leads to the hidden ones",
    settings=(UNITS, KIND),
    sources=1,
    shape=_visible_shape,
    params=_visible_params,
    roles=(WEIGHT, BIAS),
    forward=_copy,
    backward=_copy_back,
    uncut="the units of an RBM are sampled together",
    inner=_visible_inner,
    end=End.VISIBLE,
)

RBM_HIDDEN = LayerKind(
    name="rbm_hidden",
    summary="the means of an RBM's hidden units, weight [in, units]; its loss is the squared "
    "distance of data and reconstruction",
    settings=(UNITS, KIND),
    sources=1,
    shape=_hidden_shape,
    params=_hidden_params,
    roles=(WEIGHT, BIAS),
    forward=_forward,
    backward=_backward,
    inner=_hidden_inner,
    metrics=(LOSS,),
    connection=Connection.ONE_TO_ALL,
    uncut="the units of an RBM are sampled together",
    end=End.HIDDEN,
    energy=Energy(_contrast, _reconstruct, RECONSTRUCTION, CHAIN),
)
