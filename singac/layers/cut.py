"""How kinds of layers are cut on feature: what a worker's columns need of the sources.

Columns are those of an example's row: of an image the pixels of one channel after the other, so
that channels are ranges of columns too.
"""

from __future__ import annotations

from singac.layers.kind import Cut, Feature, Operand, Range, Settings, Sizes, columns

LANES = 16  # a piece of whole vectors keeps the panels of a param whole


def width(_: Settings, __: tuple[Operand, ...], shape: Sizes) -> int:
    """All columns of the result."""
    return columns(shape)


def first_axis(_: Settings, __: tuple[Operand, ...], shape: Sizes) -> int:
    """Whole channels of an image, whole vectors of anything else."""
    return columns(shape[1:]) if len(shape) > 1 else LANES


def _same(settings: Settings, sources: tuple[Operand, ...], shape: Sizes, own: Range) -> Cut:
    return Cut(settings, tuple(own for _ in sources), own)


def _width_of_source(_: Settings, sources: tuple[Operand, ...], shape: Sizes) -> int:
    return columns(sources[0].shape)


def _grain_of_source(_: Settings, sources: tuple[Operand, ...], shape: Sizes) -> int:
    return first_axis({}, (), sources[0].shape)


ONE_TO_ONE = Feature(width, first_axis, _same, follows=True)
# A loss has no columns of its own: those of its sources are cut.
ALONG_SOURCES = Feature(_width_of_source, _grain_of_source, _same, follows=True)


def whole(sources: tuple[Operand, ...]) -> tuple[Range, ...]:
    """All columns of every source."""
    return tuple((0, columns(s.shape)) for s in sources)


def channels(own: Range, shape: Sizes, source: Sizes) -> Range:
    """The columns in a source of the channels that `own` has of a result of as many channels."""
    pixels, pixels_in = columns(shape[1:]), columns(source[1:])
    return own[0] // pixels * pixels_in, own[1] // pixels * pixels_in
