"""The few operations that layers are written in; planning and code generation know only these.

Operands are names of tensors. A tensor of a layer has one row an example and its columns row by
row; a param has the shape of `layers/kind.py`. Sizes live in the tensors' tables, not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from singac.layers.expression import Expression, variables


class Role(StrEnum):
    """Which of the three products of a weight matrix W [inputs, outputs] is meant.

    forward          Y  = X  W      left X,  right W
    input_gradient   dX = dY W'     left dY, right W
    weight_gradient  dW = X' dY     left X,  right dY
    """

    FORWARD = "forward"
    INPUT_GRADIENT = "input_gradient"
    WEIGHT_GRADIENT = "weight_gradient"


@dataclass(frozen=True, slots=True)
class Assign:
    """`out = value` for every element."""

    out: str
    value: Expression


@dataclass(frozen=True, slots=True)
class Pointwise:
    """Assignments done in order, element by element, over the shape of tensor `like`."""

    like: str
    assigns: tuple[Assign, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product; with `accumulate` it adds to `out`.

    `then` is done on each finished vector of the result while it is in registers; in its
    expressions the variable `out` is that result, and nothing but its assigns is stored.
    """

    role: Role
    out: str
    left: str
    right: str
    accumulate: bool = False
    then: Pointwise | None = None


@dataclass(frozen=True, slots=True)
class ColumnSum:
    """`out[c] = sum over rows of source[r, c]`: the gradient of a bias."""

    out: str
    source: str
    accumulate: bool = False


@dataclass(frozen=True, slots=True)
class Measure:
    """Adds the sum of `value` over the elements of the valid rows of `like` to a metric."""

    metric: str
    like: str
    value: Expression


@dataclass(frozen=True, slots=True)
class SoftmaxLoss:
    """Adds -log softmax(scores)[label] of the valid rows to a metric.

    With `gradient`, writes (softmax(scores) - onehot(label)) * scale there.
    """

    metric: str
    scores: str
    labels: str
    gradient: str | None
    scale: float


@dataclass(frozen=True, slots=True)
class Hits:
    """Adds the number of valid rows whose label is among the `topk` highest scores to a metric.

    Of equal scores the earlier column counts as the higher.
    """

    metric: str
    scores: str
    labels: str
    topk: int


Operation = Pointwise | Product | ColumnSum | Measure | SoftmaxLoss | Hits


def reads(operation: Operation) -> tuple[str, ...]:
    """Names of the tensors an operation reads, each once, in order."""
    match operation:
        case Pointwise(_, assigns):
            return _read_by(assigns, ())
        case Product(_, out, left, right, accumulate, then):
            after = _read_by(then.assigns, (out,)) if then else ()
            own = (left, right, out) if accumulate else (left, right)
            return tuple(dict.fromkeys((*own, *after)))
        case ColumnSum(out, source, accumulate):
            return (source, out) if accumulate else (source,)
        case Measure(_, _, value):
            return variables(value)
        case SoftmaxLoss(_, scores, labels) | Hits(_, scores, labels):
            return (scores, labels)


def writes(operation: Operation) -> tuple[str, ...]:
    """Names of the tensors an operation writes, each once, in order."""
    match operation:
        case Pointwise(_, assigns):
            return tuple(dict.fromkeys(a.out for a in assigns))
        case Product(out=out, then=then):
            return writes(then) if then else (out,)
        case ColumnSum(out):
            return (out,)
        case SoftmaxLoss(gradient=gradient):
            return (gradient,) if gradient else ()
        case Measure() | Hits():
            return ()


def _read_by(assigns: tuple[Assign, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """Names read before any of the assigns wrote them."""
    written, found = list(known), []
    for assign in assigns:
        found += [n for n in variables(assign.value) if n not in written]
        written.append(assign.out)
    return tuple(dict.fromkeys(found))
