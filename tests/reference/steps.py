"""The operations of a plan in NumPy, in double: what generated kernels are held against.

    buffers = {"x": x, "fc.weight": w, "fc.bias": b, "label": label}
    run(operations, buffers)
    buffers["fc"], buffers["d(fc.weight)"], buffers["metric:loss"]

Arrays are [rows, columns] without pads, params in their canonical shape (a vector [n] or [1, n]).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from singac.layers.operations import (
    Assign,
    Best,
    ChannelSum,
    ColumnSum,
    Concat,
    Convolution,
    Crop,
    CropGradient,
    GroupSum,
    Hits,
    Lookup,
    LookupGradient,
    Loop,
    Lrn,
    LrnGradient,
    Measure,
    Normalise,
    NormaliseGradient,
    OneHot,
    Operation,
    Pointwise,
    Pool,
    PoolGradient,
    Product,
    Role,
    Softmax,
    SoftmaxGradient,
    SoftmaxLoss,
    Spread,
    Steps,
)
from singac.plan.items import PullParam, PushParam
from singac.plan.plan import metric_buffer
from tests.reference import images
from tests.reference.expressions import Array, evaluate
from tests.reference.time import Tensors

Buffers = dict[str, Array]
Draws = Callable[[int, tuple[int, int]], Array]


def run(
    operations: Iterable[Operation | PullParam | PushParam],
    buffers: Buffers,
    draws: Draws | None = None,
    valid: int | None = None,
    steps: Mapping[str, int] | None = None,
) -> None:
    """Does the operations in order; results and gradients are written to `buffers`.

    Metrics add up in `metric:NAME`, an array of one number that starts at 0. `draws(stream, shape)`
    gives the random numbers of a stream for a tensor of that shape. Metrics count the first `valid`
    rows, by default all. A tensor whose shape nothing tells (`y = 1`) must be in `buffers` before.
    Tensors over time have the rows of all their `steps`; see `tests/reference/time.py`.
    """
    interpreter = _Interpreter(Tensors(buffers, steps or {}), draws, valid)
    for operation in operations:
        if not isinstance(operation, PullParam | PushParam):
            interpreter.do(operation)


def product(role: Role, left: Array, right: Array) -> Array:
    """One of the three products of a weight matrix."""
    match role:
        case Role.FORWARD:
            return left @ right
        case Role.INPUT_GRADIENT:
            return left @ right.T
        case Role.WEIGHT_GRADIENT:
            return left.T @ right


def softmax(scores: Array) -> Array:
    shifted: Array = np.exp(scores - scores.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


class _Interpreter:
    def __init__(self, buffers: Tensors, draws: Draws | None, valid: int | None) -> None:
        self.buffers, self.draws, self.valid = buffers, draws, valid

    def do(self, operation: Operation) -> None:
        match operation:
            case Pointwise(like, assigns):
                known = self.buffers.get(like)
                self._assign(assigns, None if known is None else known.shape)
            case Product():
                self._product(operation)
            case ColumnSum(out, source, accumulate):
                total = self.buffers[source].sum(axis=0, keepdims=True)
                self._write(out, total, accumulate)
            case Convolution():
                self._convolution(operation)
            case ChannelSum(out, source, channels, accumulate):
                values = self.buffers[source]
                pixels = values.reshape(len(values), channels, -1)
                self._write(out, pixels.sum(axis=(0, 2)).reshape(1, -1), accumulate)
            case Pool() | PoolGradient():
                self.buffers[operation.out] = self._pooled(operation)
            case Crop() | CropGradient():
                self.buffers[operation.out] = self._cropped(operation)
            case Lrn() | LrnGradient():
                self.buffers[operation.out] = self._normalised(operation)
            case Measure(metric, like, value):
                shape = self.buffers[like].shape
                values = np.broadcast_to(self._evaluate(value, shape), shape)
                self._measure(metric, values[: self.valid].sum())
            case SoftmaxLoss():
                self._softmax_loss(operation)
            case Hits(metric, scores, labels, topk, share):
                self._measure(metric, share * self._hits(scores, labels, topk))
            case Best(out, source, count):
                best = np.argsort(-self.buffers[source], axis=1, kind="stable")[:, :count]
                self.buffers[out] = best.astype(float)
            case Spread(out, source, pixels):
                self.buffers[out] = np.repeat(self.buffers[source].reshape(1, -1), pixels, axis=1)
            case GroupSum(out, source):
                self.buffers[out] = self.buffers[source].copy()
            case Concat():
                self._concat(operation)
            case Softmax(out, source):
                self.buffers[out] = softmax(self.buffers[source])
            case SoftmaxGradient(out, gradient, result):
                y, dy = self.buffers[result], self.buffers[gradient]
                self.buffers[out] = y * (dy - (y * dy).sum(axis=1, keepdims=True))
            case Normalise():
                self._normalise(operation)
            case NormaliseGradient(out, gradient, result, inverse):
                y, dy = self.buffers[result], self.buffers[gradient]
                slope = dy - _mean(dy) - y * _mean(y * dy)
                self.buffers[out] = slope * self.buffers[inverse]
            case Lookup(out, table, indices):
                self.buffers[out] = self._onehot(indices, len(self.buffers[table]), table)
            case LookupGradient():
                self._lookup_gradient(operation)
            case OneHot(out, indices, words):
                self.buffers[out] = self._onehot(indices, words, None)
            case Steps(out, source):
                examples, count = self.buffers[source], self.buffers.steps[out]
                by_step = examples.reshape(len(examples), count, -1).transpose(1, 0, 2)
                self.buffers[out] = by_step.reshape(count * len(examples), -1)
            case Loop(count, back, operations):
                for t in reversed(range(count)) if back else range(count):
                    self.buffers.t = t
                    for inner in operations:
                        self.do(inner)
                self.buffers.t = None

    def _evaluate(self, value: object, shape: tuple[int, ...] | None) -> Array:
        def draw(stream: int, steps: int) -> Array:
            """Places go example by example, rows step by step."""
            assert self.draws is not None, "an operation draws, and no draws are given"
            assert shape is not None, "a draw needs the shape of a tensor"
            rows, columns = shape
            t = self.buffers.t
            examples = rows if t is not None else rows // steps
            drawn = self.draws(stream, (examples * steps, columns))
            by_step = drawn.reshape(examples, steps, columns).transpose(1, 0, 2)
            return by_step[t] if t is not None else by_step.reshape(rows, columns)

        return evaluate(value, self.buffers, draws=draw)  # type: ignore[arg-type]

    def _assign(self, assigns: Sequence[Assign], shape: tuple[int, ...] | None) -> None:
        for assign in assigns:
            if shape is None:
                shape = _shape_of(assign, self.buffers)
            value = self._evaluate(assign.value, shape)
            self.buffers[assign.out] = np.array(np.broadcast_to(value, shape))

    def _product(self, operation: Product) -> None:
        left, right = self.buffers[operation.left], self.buffers[operation.right]
        result = product(operation.role, left, right)
        if operation.then is None:
            self._write(operation.out, result, operation.accumulate)
            return
        assert not operation.accumulate, "what accumulates is not finished after the product"
        before = self.buffers.get(operation.out)
        self.buffers[operation.out] = result
        self._assign(operation.then.assigns, result.shape)
        if operation.out not in [a.out for a in operation.then.assigns]:
            del self.buffers[operation.out]
            if before is not None:
                self.buffers[operation.out] = before

    def _convolution(self, operation: Convolution) -> None:
        role, windows = operation.role, operation.windows
        left, right = self.buffers[operation.left], self.buffers[operation.right]
        if role is Role.INPUT_GRADIENT:
            left = images.images(left, len(right), windows.places)
        else:
            left = images.images(left, windows.channels, windows.size)
        if role is Role.WEIGHT_GRADIENT:
            right = images.images(right, right.shape[1] // windows.pixels, windows.places)
        result = images.convolution(role, left, right, windows, operation.groups)
        if operation.bias is not None:
            result = result + self.buffers[operation.bias].reshape(-1, 1, 1)
        if role is not Role.WEIGHT_GRADIENT:
            result = images.rows(result)
        self._write(operation.out, result, operation.accumulate)

    def _pooled(self, operation: Pool | PoolGradient) -> Array:
        windows, pooling = operation.windows, operation.pooling
        x = None
        if operation.source is not None:
            x = images.images(self.buffers[operation.source], windows.channels, windows.size)
        if isinstance(operation, Pool):
            assert x is not None, "a pool has a source"
            return images.rows(images.pool(pooling, x, windows))
        dy = images.images(self.buffers[operation.gradient], windows.channels, windows.places)
        return images.rows(images.pool_gradient(pooling, dy, x, windows))

    def _cropped(self, operation: Crop | CropGradient) -> Array:
        windows, forward = operation.windows, isinstance(operation, Crop)
        values = self.buffers[operation.source if forward else operation.gradient]
        x = images.images(values, windows.channels, windows.size if forward else windows.kernel)
        numbers = None
        if operation.stream is not None:
            assert self.draws is not None, "an operation draws, and no draws are given"
            numbers = self.draws(operation.stream, (len(x), 4))
        places = images.crop_places(windows, numbers, len(x), operation.mirror)
        crop = images.crop if forward else images.crop_gradient
        return images.rows(crop(x, windows, places))

    def _normalised(self, operation: Lrn | LrnGradient) -> Array:
        response, x = operation.response, self.buffers[operation.source]
        shape = len(x), response.channels, -1
        if isinstance(operation, Lrn):
            return images.rows(images.lrn(x.reshape(shape), response))
        dy = self.buffers[operation.gradient].reshape(shape)
        return images.rows(images.lrn_gradient(dy, x.reshape(shape), response))

    def _write(self, out: str, value: Array, accumulate: bool) -> None:
        self.buffers[out] = self.buffers[out] + value if accumulate else value

    def _measure(self, metric: str, amount: float) -> None:
        name = metric_buffer(metric)
        self.buffers[name] = self.buffers.get(name, np.zeros(1)) + amount

    def _softmax_loss(self, operation: SoftmaxLoss) -> None:
        shares = softmax(self.buffers[operation.scores])
        rows = np.arange(len(shares))
        labels = self.buffers[operation.labels].reshape(-1).astype(int)
        losses = -np.log(shares[rows, labels])
        self._measure(operation.metric, operation.share * losses[: self.valid].sum())
        if operation.gradient is not None:
            shares[rows, labels] -= 1.0
            self.buffers[operation.gradient] = shares * operation.scale

    def _hits(self, scores: str, labels: str, topk: int) -> float:
        """A label's place is the number of columns before it in order of score."""
        values = self.buffers[scores]
        label = self.buffers[labels].reshape(-1, 1).astype(int)
        own = np.take_along_axis(values, label, axis=1)
        earlier = np.arange(values.shape[1]) < label
        place = ((values > own) | ((values == own) & earlier)).sum(axis=1)
        return float((place < topk)[: self.valid].sum())

    def _concat(self, operation: Concat) -> None:
        sources = [self.buffers[r.source] for r in operation.ranges if r.source is not None]
        parts = []
        for part in operation.ranges:
            if part.source is None:
                parts.append(np.zeros((len(sources[0]), part.columns)))
            else:
                source = self.buffers[part.source]
                parts.append(source[:, part.start : part.start + part.columns])
        self.buffers[operation.out] = np.concatenate(parts, axis=1)

    def _normalise(self, operation: Normalise) -> None:
        x = self.buffers[operation.source]
        inverse = 1 / np.sqrt(x.var(axis=1, keepdims=True) + operation.epsilon)
        self.buffers[operation.inverse] = inverse
        self.buffers[operation.out] = (x - _mean(x)) * inverse

    def _onehot(self, indices: str, words: int, table: str | None) -> Array:
        """The vectors of all indices of a row end to end; with a table, its rows instead."""
        own = np.eye(words) if table is None else self.buffers[table]
        index = self.buffers[indices]
        found = own[index.astype(int)]
        return np.asarray(found.reshape(len(index), -1))

    def _lookup_gradient(self, operation: LookupGradient) -> None:
        index = self.buffers[operation.indices].astype(int).reshape(-1)
        dy = self.buffers[operation.gradient].reshape(len(index), -1)
        total = np.zeros((operation.words, dy.shape[1]))
        np.add.at(total, index, dy)
        self._write(operation.out, total, operation.accumulate)


def _mean(values: Array) -> Array:
    return np.asarray(values.mean(axis=1, keepdims=True))


def _shape_of(assign: Assign, buffers: Tensors) -> tuple[int, ...]:
    """The shape of a tensor that is not there yet, from those it is computed of."""
    shape = np.shape(evaluate(assign.value, buffers, draws=lambda *_: np.zeros((1, 1))))
    assert shape, f"nothing tells the shape of {assign.out}"
    return shape
