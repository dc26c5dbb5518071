"""Layers of a field of whole numbers: `embedding(words, units)`, `onehot(words)`.

A field of several numbers gives the results of all, end to end: 7 numbers of 3 units are 7x3.
"""

from __future__ import annotations

from singac.layers.cut import LANES, whole, width
from singac.layers.kind import (
    Cut,
    Feature,
    LayerKind,
    Operand,
    ParamSpec,
    Range,
    Settings,
    Sizes,
    Use,
    Wanted,
    columns,
)
from singac.layers.operations import Lookup, LookupGradient, OneHot, Operation
from singac.settings import AT_LEAST_ONE, Setting, Sort

WORDS = Setting(
    "words",
    "how many there are; the source's numbers go from 0 to one below it",
    (Sort.INTEGER,),
    positional=True,
    within=AT_LEAST_ONE,
)
UNITS = Setting("units", "numbers a word", (Sort.INTEGER,), positional=True, within=AT_LEAST_ONE)


def _whole(settings: Settings, name: str) -> int:
    value = settings[name]
    assert isinstance(value, int), f"{name} is a whole number"
    return value


def _words(settings: Settings) -> int:
    return _whole(settings, "words")


def _each(size: int, source: Operand) -> Sizes:
    """The shape of `size` numbers for each number of the source."""
    numbers = columns(source.shape)
    return (size,) if numbers == 1 else (numbers, size)


def _embedding_shape(settings: Settings, sources: tuple[Operand, ...]) -> Sizes:
    return _each(_whole(settings, "units"), sources[0])


def _onehot_shape(settings: Settings, sources: tuple[Operand, ...]) -> Sizes:
    return _each(_words(settings), sources[0])


def _params(settings: Settings, sources: tuple[Operand, ...]) -> tuple[ParamSpec, ...]:
    shape = (_words(settings), _whole(settings, "units"))
    along = 1 if columns(sources[0].shape) == 1 else None
    return (ParamSpec("weight", shape, ("gaussian", {"mean": 0.0, "std": 1.0}), along=along),)


def _grain(settings: Settings, sources: tuple[Operand, ...], shape: Sizes) -> int:
    """Vectors of the units of one number, or else whole numbers."""
    return LANES if columns(sources[0].shape) == 1 else columns(shape[1:])


def _cut_embedding(
    settings: Settings, sources: tuple[Operand, ...], shape: Sizes, own: Range
) -> Cut:
    """Some units of one number, or all units of some numbers, which need the whole weight."""
    if columns(sources[0].shape) == 1:
        return Cut({**settings, "units": own[1] - own[0]}, whole(sources), own)
    return _cut_numbers(settings, shape, own)


def _cut_onehot(settings: Settings, sources: tuple[Operand, ...], shape: Sizes, own: Range) -> Cut:
    """Of one number, all of which a part is sliced."""
    if columns(sources[0].shape) == 1:
        return Cut(settings, whole(sources), (0, columns(shape)))
    return _cut_numbers(settings, shape, own)


def _cut_numbers(settings: Settings, shape: Sizes, own: Range) -> Cut:
    each = columns(shape[1:])
    return Cut(settings, ((own[0] // each, own[1] // each),), own)


def _embedding(use: Use, training: bool) -> tuple[Operation, ...]:
    return (Lookup(use.name, use.params["weight"].name, use.sources[0].name),)


def _embedding_backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    weight = wanted.params.get("weight")
    if weight is None or wanted.own is None:
        return ()
    words, begun = _words(use.settings), weight in wanted.begun
    return (LookupGradient(weight, wanted.own, use.sources[0].name, words, begun),)


def _onehot(use: Use, training: bool) -> tuple[Operation, ...]:
    return (OneHot(use.name, use.sources[0].name, _words(use.settings)),)


def _nothing(_: Use, __: Wanted) -> tuple[Operation, ...]:
    return ()


EMBEDDING = LayerKind(
    name="embedding",
    summary="for each whole number of a field, that row of the weight [words, units]",
    settings=(WORDS, UNITS),
    sources=1,
    shape=_embedding_shape,
    params=_params,
    roles=("weight",),
    forward=_embedding,
    backward=_embedding_backward,
    words=_words,
    feature=Feature(width, _grain, _cut_embedding),
)

ONEHOT = LayerKind(
    name="onehot",
    summary="for each whole number of a field, `words` numbers: 1 at its place, 0 elsewhere",
    settings=(WORDS,),
    sources=1,
    shape=_onehot_shape,
    forward=_onehot,
    backward=_nothing,
    words=_words,
    feature=Feature(width, _grain, _cut_onehot),
)
