"""Layers of a field of whole numbers: `embedding(words, units)`, `onehot(words)`.

A field of several numbers gives the results of all, end to end: 7 numbers of 3 units are 7x3.
"""

from __future__ import annotations

from singac.layers.kind import LayerKind, Operand, ParamSpec, Settings, Sizes, Use, Wanted, columns
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


def _params(settings: Settings, _: tuple[Operand, ...]) -> tuple[ParamSpec, ...]:
    shape = (_words(settings), _whole(settings, "units"))
    return (ParamSpec("weight", shape, ("gaussian", {"mean": 0.0, "std": 1.0})),)


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
)
