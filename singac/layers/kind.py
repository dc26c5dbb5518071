"""What every layer kind must say: settings, params, shape, operations, and how it can be cut.

Later stages know only these answers, never a layer's name.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from singac.layers.operations import Operation
from singac.settings import Setting, SettingValue

Sizes = tuple[int, ...]
Settings = Mapping[str, SettingValue]


class Dimension(StrEnum):
    """What a layer can be cut on."""

    BATCH = "batch"
    FEATURE = "feature"
    INPUT = "input"


class Connection(StrEnum):
    """What a piece of a layer needs of its source: the same piece, or all of it."""

    ONE_TO_ONE = "one to one"
    ONE_TO_ALL = "one to all"


Range = tuple[int, int]  # columns from the first to before the second


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor an operation may name: its name, and its shape an example or as a param.

    A tensor of an unrolled layer has that shape for each of its `steps`.
    """

    name: str
    shape: Sizes
    transposed: bool = False
    steps: int = 1


@dataclass(frozen=True, slots=True)
class Use:
    """One layer of a net as its kind sees it.

    `sources` in the order of the arrow's brackets, `params` by role. `stream` seeds what the layer
    draws; losses are means over `batch` rows, the examples of a whole group's step times the
    `steps` of an unrolled layer. `metrics` has the net's name for each metric of the kind.
    """

    name: str
    shape: Sizes
    settings: Settings
    sources: tuple[Operand, ...]
    params: Mapping[str, Operand]
    stream: int
    batch: int
    metrics: Mapping[str, str]
    steps: int = 1

    def inner(self, role: str) -> str:
        """Name of an inner tensor of the layer; no layer can be called so."""
        return inner_name(self.name, role)

    def stream_of(self, role: str) -> int:
        """What seeds the random numbers of a tensor that is drawn beside the layer's own."""
        return stream_of(self.inner(role))


def stream_of(name: str) -> int:
    """What seeds the random numbers of a tensor: it depends on its name alone."""
    return zlib.crc32(name.encode()) >> 1


def inner_name(layer: str, role: str) -> str:
    return f"{layer}/{role}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Names of the gradients backward reads and writes.

    `own` is the gradient of the layer's result (None: nothing asks for it, as for a loss). A source
    or param that needs no gradient is None or missing; params already begun are added to.
    """

    own: str | None
    sources: tuple[str | None, ...]
    params: Mapping[str, str]
    begun: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ParamSpec:
    """A param a layer has: its role, canonical shape, and initialiser where none is written.

    A layer can do without one that is `optional`: `bias = none`. A matrix that dense products read
    lies `in_panels` of 16 columns; others row by row, a row for each index of the first dimension.
    One that `follows` is not learnt: its layer gives what it measures of a batch for a gradient,
    and the param moves towards that by this share each step.
    Where the layer is cut on feature, so is the axis `along` of the param (None: each has it all).
    Where it is cut on input, so is `along_input` (None: it is added to the sum once).
    """

    role: str
    shape: Sizes
    initialiser: tuple[str, Mapping[str, float]]
    optional: bool = False
    in_panels: bool = True
    follows: float = 0.0
    along: int | None = None
    along_input: int | None = None


class Answer(StrEnum):
    """What stands for the result of a loss or metric, which has none: a function of source 0."""

    SOFTMAX = "the probability of each class"
    SIGMOID = "the probability of each value"
    HIGHEST = "the class with the highest score"


class End(StrEnum):
    """Which end of an undirected connection a layer is: `visible <-> hidden`."""

    VISIBLE = "visible"
    HIDDEN = "hidden"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two layers joined by `<->`."""

    visible: Use
    hidden: Use


@dataclass(frozen=True, slots=True)
class Gibbs:
    """How a pair is trained: by contrast with what `steps` Gibbs steps give.

    They start at the data, or where those of the batch before ended: that is `persistent`.
    `gradients` has the name of the gradient of each of the pair's params; those already `begun` are
    added to.
    """

    steps: int
    gradients: Mapping[str, str] = field(default_factory=dict)
    begun: tuple[str, ...] = ()
    persistent: bool = False


@dataclass(frozen=True, slots=True)
class Energy:
    """What an undirected connection means; its hidden end says.

    contrast(pair, gibbs)        operations from the data to the gradients of the pair's params
    reconstruct(pair)            operations from the hidden layer's result to the data again
    reconstruction               the inner tensor of the visible layer that they write
    chain                        that of the hidden layer in which persistent steps go on
    """

    contrast: Callable[[Pair, Gibbs], tuple[Operation, ...]]
    reconstruct: Callable[[Pair], tuple[Operation, ...]]
    reconstruction: str
    chain: str


class Misfit(Exception):
    """Sources a layer cannot take: `source` is the slot at fault (None: their number), and why."""

    def __init__(self, message: str, slot: int | None = None, help: str | None = None) -> None:
        super().__init__(message)
        self.message, self.slot, self.help = message, slot, help


@dataclass(frozen=True, slots=True)
class Cut:
    """How a worker computes some columns of a layer.

    Its operations, with `settings`, on columns `sources` of each source (None: it is not read) give
    the columns `computed`; what these are more than was asked for is sliced off.
    """

    settings: Settings
    sources: tuple[Range | None, ...]
    computed: Range


@dataclass(frozen=True, slots=True)
class Feature:
    """How a kind is cut on feature.

    width(settings, sources, shape)      columns that are cut
    grain(settings, sources, shape)      a cut is at a multiple of so many columns
    cut(settings, sources, shape, own)   what the columns `own` take
    follows                              it is cut where its first source is
    """

    width: Callable[[Settings, tuple[Operand, ...], Sizes], int]
    grain: Callable[[Settings, tuple[Operand, ...], Sizes], int]
    cut: Callable[[Settings, tuple[Operand, ...], Sizes, Range], Cut]
    follows: bool = False


@dataclass(frozen=True, slots=True)
class LayerKind:
    """A row of the table of layers.

    shape(settings, sources)     shape of the result an example; raises Misfit
    sources                      how many it joins; with `or_more`, the least
    params(settings, sources)    the params the layer has
    inner(settings, sources)     columns of the tensors it keeps beside its result, by role
    inner_of_batch(settings, sources)   likewise of those with one row for the whole batch
    forward(use, training)       operations from sources to result
    backward(use, wanted)        operations from the result's gradient to those of sources, params
    metrics                      names of the metrics its operations add to
    answer                       what a loss or metric predicts by its source 0
    label_slot                   the source that holds class numbers below the columns of source 0
    words(settings)              source 0 is a field of whole numbers below this
    feature                      how it is cut on feature, if it can be
    uncut                        why it cannot be
    sums_input                   its result is a sum over the columns of its only source: it can be
                                 cut on input
    end, energy                  which end of `<->` it is; what that means (hidden ends)
    own_shape(settings)          the shape, where settings alone tell it: a delay needs it
    own_state                    the source meant to be an earlier result of the layer itself;
                                 `needs_own_state` says that it must
    aliases                      words that stand for several roles of params at once
    hands_on                     the values are those of source 0, only elsewhere
    equations                    the text that defines it, where a program can
    """

    name: str
    summary: str
    settings: tuple[Setting, ...]
    sources: int
    shape: Callable[[Settings, tuple[Operand, ...]], Sizes]
    forward: Callable[[Use, bool], tuple[Operation, ...]]
    backward: Callable[[Use, Wanted], tuple[Operation, ...]]
    params: Callable[[Settings, tuple[Operand, ...]], tuple[ParamSpec, ...]] = lambda *_: ()
    roles: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    connection: Connection = Connection.ONE_TO_ONE
    is_loss: bool = False
    label_slot: int | None = None
    answer: Answer | None = None
    or_more: bool = False
    inner: Callable[[Settings, tuple[Operand, ...]], Mapping[str, int]] = lambda *_: {}
    inner_of_batch: Callable[[Settings, tuple[Operand, ...]], Mapping[str, int]] = lambda *_: {}
    words: Callable[[Settings], int] | None = None
    feature: Feature | None = None
    uncut: str = "it needs all values of an example"
    sums_input: bool = False
    end: End | None = None
    energy: Energy | None = None
    own_shape: Callable[[Settings], Sizes] | None = None
    own_state: int | None = None
    needs_own_state: bool = False
    aliases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hands_on: bool = False
    equations: str = ""


def columns(shape: Sizes) -> int:
    """Elements of one example: the columns of its row."""
    return math.prod(shape)


def same_shape(_: Settings, sources: tuple[Operand, ...]) -> Sizes:
    """The shape of the only source."""
    return sources[0].shape
