"""`crop_mirror(size)`: in training a part of each image drawn at random and mirrored by a coin.

Place and coin are drawn by counter (seed, step, layer, example), so they are the same on any number
of processes and after a resume. Testing takes the middle: of an odd rest, the smaller half is
left out above and to the left.
"""

from __future__ import annotations

from singac.layers.image import PAD, SIZE_TO_KEEP, image_windows
from singac.layers.kind import LayerKind, Operand, Settings, Sizes, Use, Wanted
from singac.layers.operations import Crop, CropGradient, Operation
from singac.layers.windows import Windows
from singac.settings import Setting, Sort


def _windows(settings: Settings, source: Operand) -> Windows:
    """The part as a window, one place for each part there is."""
    return image_windows("crop_mirror", {**settings, "stride": (1,)}, source, "stride", "size")


def _shape(settings: Settings, sources: tuple[Operand, ...]) -> Sizes:
    windows = _windows(settings, sources[0])
    return (windows.channels, *windows.kernel)


def _mirrors(settings: Settings) -> bool:
    return settings["mirror"] is True


def _forward(use: Use, training: bool) -> tuple[Operation, ...]:
    source = use.sources[0]
    windows = _windows(use.settings, source)
    stream = use.stream if training else None
    return (Crop(use.name, source.name, windows, stream, _mirrors(use.settings)),)


def _backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    (dx,) = wanted.sources
    if dx is None or wanted.own is None:
        return ()
    windows = _windows(use.settings, use.sources[0])
    return (CropGradient(dx, wanted.own, windows, use.stream, _mirrors(use.settings)),)


CROP_MIRROR = LayerKind(
    name="crop_mirror",
    summary="a part of each image: in training from a random place and mirrored by a coin, in "
    "testing its middle",
    settings=(
        SIZE_TO_KEEP,
        PAD,
        Setting("mirror", "whether the coin is thrown", sorts=(Sort.BOOLEAN,), default=True),
    ),
    sources=1,
    shape=_shape,
    forward=_forward,
    backward=_backward,
    uncut="all channels of an image are cropped alike",
)
