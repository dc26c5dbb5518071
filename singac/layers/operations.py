"""The few operations that layers are written in; planning and code generation know only these.

Operands are names of tensors. A tensor of a layer has one row an example, of an unrolled layer one
an example and step (`layers/time.py`), and its columns row by row; a param has the shape of
`layers/kind.py`. Sizes live in the tensors' tables, not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from singac.layers.exchange import Exchange
from singac.layers.expression import Expression
from singac.layers.windows import Windows


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
    """Adds `share` times -log softmax(scores)[label] of the valid rows to a metric.

    With `gradient`, writes (softmax(scores) - onehot(label)) * scale there.
    """

    metric: str
    scores: str
    labels: str
    gradient: str | None
    scale: float
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Hits:
    """Adds `share` for each valid row whose label is among the `topk` highest scores to a metric.

    Of equal scores the earlier column counts as the higher.
    """

    metric: str
    scores: str
    labels: str
    topk: int
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Best:
    """The columns of the `count` highest values of each row, the highest first.

    Of equal values the earlier column comes first. NaN is no value: where there are not enough
    others, NaN stands for the column.
    """

    out: str
    source: str
    count: int


@dataclass(frozen=True, slots=True)
class ColumnRange:
    """`columns` columns of `source` from `start` on; without a source, as many zeros."""

    source: str | None
    start: int
    columns: int


@dataclass(frozen=True, slots=True)
class Concat:
    """Ranges of columns end to end: a concat, a slice, and the gradients of both."""

    out: str
    ranges: tuple[ColumnRange, ...]


@dataclass(frozen=True, slots=True)
class Softmax:
    """`out = exp(source) / sum exp(source)`, each row by itself."""

    out: str
    source: str


@dataclass(frozen=True, slots=True)
class SoftmaxGradient:
    """`out = y (dy - sum y dy)`, each row by itself, of the `result` y and its gradient dy."""

    out: str
    gradient: str
    result: str


@dataclass(frozen=True, slots=True)
class Normalise:
    """`out = (source - mean) inverse`, each row by its own mean and variance.

    `inverse = 1 / sqrt(variance + epsilon)` is one number a row, kept for the gradient.
    """

    out: str
    inverse: str
    source: str
    epsilon: float


@dataclass(frozen=True, slots=True)
class NormaliseGradient:
    """`out = inverse (dy - mean dy - y mean(y dy))`, of the `result` y and its gradient dy."""

    out: str
    gradient: str
    result: str
    inverse: str


@dataclass(frozen=True, slots=True)
class Lookup:
    """For every index of a row, that row of a matrix param; the rows end to end.

    What is no whole number from 0 to the param's last row gives NaN.
    """

    out: str
    table: str
    indices: str


@dataclass(frozen=True, slots=True)
class LookupGradient:
    """Adds each part of `gradient` to the row of `out` it was looked up in, example by example.

    `out` has `words` rows and starts at zero, or with `accumulate` at what it holds.
    """

    out: str
    gradient: str
    indices: str
    words: int
    accumulate: bool = False


@dataclass(frozen=True, slots=True)
class OneHot:
    """For every index of a row, `words` numbers: 1 at the index and 0 elsewhere, end to end.

    What is no whole number from 0 to words - 1 gives NaN.
    """

    out: str
    indices: str
    words: int


@dataclass(frozen=True, slots=True)
class Convolution:
    """One of the three products of a convolution, summed over examples for the weight.

    forward          y  = W * x + bias     left x,  right W
    input_gradient   dx, from dy and W     left dy, right W
    weight_gradient  dW, from x and dy     left x,  right dy

    W is [filters, channels / groups, kernel]; filters and channels fall into `groups` that do not
    see each other. `bias` is one number a filter, for forward alone.
    """

    role: Role
    out: str
    left: str
    right: str
    windows: Windows
    groups: int = 1
    bias: str | None = None
    accumulate: bool = False


@dataclass(frozen=True, slots=True)
class ChannelSum:
    """`out[c] = sum over rows and the pixels of channel c`: the gradient of a bias of filters."""

    out: str
    source: str
    channels: int
    accumulate: bool = False


class Pooling(StrEnum):
    """What is taken of the values in a window."""

    MAX = "max"
    AVERAGE = "average"


@dataclass(frozen=True, slots=True)
class Pool:
    """The largest value in every window, or their mean over what lies in the padded image.

    Pads count as zeros in a mean and are never the largest.
    """

    pooling: Pooling
    out: str
    source: str
    windows: Windows


@dataclass(frozen=True, slots=True)
class PoolGradient:
    """The gradient of a pool's source, from that of its result.

    Of equal largest values the first in the window has it all; a mean gives equal shares, for which
    the source is not needed.
    """

    pooling: Pooling
    out: str
    gradient: str
    source: str | None
    windows: Windows


@dataclass(frozen=True, slots=True)
class Crop:
    """One of the windows over an example's image, in all channels: with pads, from their zeros.

    With a `stream` the window is drawn for each example, and a coin whether it is `mirror`ed left
    to right: numbers 4 e, 4 e + 1 and 4 e + 2 of the stream for line, column and coin of example e.
    Without one it is the middle window, as it is.
    """

    out: str
    source: str
    windows: Windows
    stream: int | None
    mirror: bool


@dataclass(frozen=True, slots=True)
class CropGradient:
    """The gradient of a drawn `Crop`'s source: that of its result in its place, zero elsewhere."""

    out: str
    gradient: str
    windows: Windows
    stream: int
    mirror: bool


@dataclass(frozen=True, slots=True)
class Response:
    """`n = knorm + slope * the sum of x^2 over `size` channels around`, and its power -beta."""

    channels: int
    size: int
    slope: float
    beta: float
    knorm: float


@dataclass(frozen=True, slots=True)
class Lrn:
    """`out = x n^-beta`: each pixel of `source` by its response across channels."""

    out: str
    source: str
    response: Response


@dataclass(frozen=True, slots=True)
class LrnGradient:
    """`out = g n^-beta - 2 beta slope x * the sum of g x n^(-beta - 1) over channels around`."""

    out: str
    gradient: str
    source: str
    response: Response


@dataclass(frozen=True, slots=True)
class Spread:
    """Each number of `source` in `pixels` columns of `out`, end to end; both have one row."""

    out: str
    source: str
    pixels: int


@dataclass(frozen=True, slots=True)
class GroupSum:
    """`out` = the sum of `source` over the workers of a group, in worker order, at each of them."""

    out: str
    source: str


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of each example, one after another: row t of an example's matrix goes to step t.

    source  | b0: s0 s1 s2 | b1: s0 s1 s2 |      out  | s0: b0 b1 | s1: b0 b1 | s2: b0 b1 |
    """

    out: str
    source: str


@dataclass(frozen=True, slots=True)
class Redistribute:
    """An exchange among the workers of a group; this one may have nothing to give, or get nothing.

    It stands between the operations that are compiled: a step of its own in the plan.
    """

    exchange: Exchange
    out: str | None
    source: str | None


@dataclass(frozen=True, slots=True)
class Loop:
    """The operations done for one step after the other, each on the rows of that step alone.

    From the first step to the last, or back. What has no steps is the same for all.
    """

    steps: int
    back: bool
    operations: tuple[Operation, ...]


Operation = (
    Pointwise
    | Product
    | ColumnSum
    | Measure
    | SoftmaxLoss
    | Hits
    | Best
    | Concat
    | Softmax
    | SoftmaxGradient
    | Normalise
    | NormaliseGradient
    | Lookup
    | LookupGradient
    | OneHot
    | Convolution
    | ChannelSum
    | Pool
    | PoolGradient
    | Crop
    | CropGradient
    | Lrn
    | LrnGradient
    | Spread
    | GroupSum
    | Redistribute
    | Steps
    | Loop
)
