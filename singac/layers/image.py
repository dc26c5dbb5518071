"""Layers on images: convolution, pooling, and normalisation across channels.

An image is [channels, height, width], row-major.
"""

from __future__ import annotations

from functools import partial

from singac.layers.cut import channels, first_axis, width
from singac.layers.kind import (
    Cut,
    Feature,
    LayerKind,
    Misfit,
    Operand,
    ParamSpec,
    Range,
    Settings,
    Sizes,
    Use,
    Wanted,
    columns,
    same_shape,
)
from singac.layers.operations import (
    ChannelSum,
    Convolution,
    Lrn,
    LrnGradient,
    Operation,
    Pool,
    PoolGradient,
    Pooling,
    Response,
    Role,
)
from singac.layers.windows import Pair, Windows, places_down, places_up
from singac.settings import (
    AT_LEAST_ONE,
    NOT_NEGATIVE,
    POSITIVE,
    Setting,
    Sort,
    shape_text,
)

UP, DOWN = "up", "down"


def _size(name: str, doc: str) -> Setting:
    """A setting that is a number for each side of a window, or one for both."""
    return Setting(name, doc, (Sort.SHAPE,), positional=True, within=AT_LEAST_ONE)


# fmt: off
KERNEL = _size("kernel", "height and width of a window: 5x5, or 5")
SIZE_TO_KEEP = _size("size", "height and width of the part: 227x227, or 227")
PAD    = Setting("pad", "zeros around the image", (Sort.SHAPE,), default=(0,), within=NOT_NEGATIVE)
# fmt: on


# -- windows over a source -------------------------------------------------------------------------


def _image(kind: str, source: Operand) -> Sizes:
    if len(source.shape) != 3:
        raise Misfit(
            f"`{kind}` needs an image, and `{source.name}` has shape {shape_text(source.shape)}",
            slot=0,
            help="an image is channels x height x width, as in `shape = 3x32x32` of a data block",
        )
    return source.shape


def _pair(settings: Settings, name: str) -> Pair:
    """Height and width of a setting; one size serves for both."""
    sizes = settings[name]
    assert isinstance(sizes, tuple), f"{name} is a shape"
    if len(sizes) > 2:
        raise Misfit(
            f"`{name}` has {len(sizes)} sizes", help=f"height and width: {shape_text(sizes[:2])}"
        )
    return sizes[0], sizes[-1]


def image_windows(
    kind: str, settings: Settings, source: Operand, stride: str, named: str = "kernel"
) -> Windows:
    """The windows a layer moves over its source; the setting `named` has their size."""
    channels, *size = _image(kind, source)
    kernel, pad = _pair(settings, named), _pair(settings, "pad")
    step = _pair(settings, stride)
    room = size[0] + 2 * pad[0], size[1] + 2 * pad[1]
    if kernel[0] > room[0] or kernel[1] > room[1]:
        raise Misfit(
            f"a {named} of {shape_text(kernel)} is larger than the image, {shape_text(room)}"
            + (" with its pad" if any(pad) else ""),
            slot=0,
            help=f"use a {named} of at most {shape_text(room)}, or a larger pad",
        )
    place = places_up if settings.get("round") == UP else places_down
    sides = zip(size, kernel, step, pad, strict=True)
    height, width = (place(*side) for side in sides)
    return Windows(channels, (size[0], size[1]), kernel, step, pad, (height, width))


# -- convolution -----------------------------------------------------------------------------------


def _whole(settings: Settings, name: str) -> int:
    value = settings[name]
    assert isinstance(value, int), f"{name} is a whole number"
    return value


def _conv_windows(settings: Settings, source: Operand) -> Windows:
    return image_windows("conv", settings, source, "stride")


def _conv_shape(settings: Settings, sources: tuple[Operand, ...]) -> Sizes:
    windows = _conv_windows(settings, sources[0])
    filters, groups = _whole(settings, "filters"), _whole(settings, "groups")
    for count, what in ((windows.channels, "channels"), (filters, "filters")):
        if count % groups:
            raise Misfit(
                f"{count} {what} do not fall into {groups} equal groups",
                slot=0,
                help=f"groups divide both {windows.channels} channels and {filters} filters",
            )
    return (filters, *windows.places)


def _conv_params(settings: Settings, sources: tuple[Operand, ...]) -> tuple[ParamSpec, ...]:
    windows, filters = _conv_windows(settings, sources[0]), _whole(settings, "filters")
    weight = (filters, windows.channels // _whole(settings, "groups"), *windows.kernel)
    return (
        ParamSpec("weight", weight, ("glorot", {}), in_panels=False, along=0),
        ParamSpec("bias", (filters,), ("constant", {"value": 0.0}), optional=True, along=0),
    )


def _conv_forward(use: Use, training: bool) -> tuple[Operation, ...]:
    x, bias = use.sources[0], use.params.get("bias")
    windows, groups = _conv_windows(use.settings, x), _whole(use.settings, "groups")
    weight = use.params["weight"].name
    named = bias.name if bias is not None else None
    return (Convolution(Role.FORWARD, use.name, x.name, weight, windows, groups, named),)


def _conv_backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    """dx first, then dW and db, so that W may change once its push is done."""
    x, dy, weight = use.sources[0], wanted.own, use.params["weight"].name
    assert dy is not None, "a convolution that nothing reads has no backward"
    windows, groups = _conv_windows(use.settings, x), _whole(use.settings, "groups")
    operations: list[Operation] = []
    if (dx := wanted.sources[0]) is not None:
        operations.append(Convolution(Role.INPUT_GRADIENT, dx, dy, weight, windows, groups))
    if (dw := wanted.params.get("weight")) is not None:
        role, begun = Role.WEIGHT_GRADIENT, dw in wanted.begun
        operations.append(Convolution(role, dw, x.name, dy, windows, groups, accumulate=begun))
    if (db := wanted.params.get("bias")) is not None:
        operations.append(ChannelSum(db, dy, use.shape[0], accumulate=db in wanted.begun))
    return tuple(operations)


def _conv_grain(settings: Settings, _: tuple[Operand, ...], shape: Sizes) -> int:
    """Single filters, or whole groups."""
    groups = _whole(settings, "groups")
    return columns(shape[1:]) * (shape[0] // groups if groups > 1 else 1)


def _conv_cut(settings: Settings, sources: tuple[Operand, ...], shape: Sizes, own: Range) -> Cut:
    """Some filters, of all channels; of some groups their own channels."""
    each, groups = columns(shape[1:]), _whole(settings, "groups")
    filters, source = (own[1] - own[0]) // each, sources[0].shape
    if groups == 1:
        return Cut({**settings, "filters": filters}, ((0, columns(source)),), own)
    size, size_in = shape[0] // groups * each, columns(source) // groups
    first, last = own[0] // size, own[1] // size
    taken = {**settings, "filters": filters, "groups": last - first}
    return Cut(taken, ((first * size_in, last * size_in),), own)


CONV = LayerKind(
    name="conv",
    summary="every filter's weighted sum of each window, with weight [filters, channels / groups, "
    "height, width] and bias [filters]; `bias = none` leaves it out",
    settings=(
        Setting(
            "filters",
            "channels of the result",
            (Sort.INTEGER,),
            positional=True,
            within=AT_LEAST_ONE,
        ),
        KERNEL,
        Setting(
            "stride", "steps between windows", (Sort.SHAPE,), default=(1,), within=AT_LEAST_ONE
        ),
        PAD,
        Setting(
            "groups",
            "parts of channels and filters that do not see each other",
            (Sort.INTEGER,),
            default=1,
            within=AT_LEAST_ONE,
        ),
    ),
    sources=1,
    shape=_conv_shape,
    params=_conv_params,
    roles=("weight", "bias"),
    forward=_conv_forward,
    backward=_conv_backward,
    feature=Feature(width, _conv_grain, _conv_cut),
)


# -- pooling ---------------------------------------------------------------------------------------


def _pool_windows(kind: str, settings: Settings, source: Operand) -> Windows:
    """Windows lie side by side unless a stride is given."""
    stride = "stride" if "stride" in settings else "kernel"
    windows = image_windows(kind, settings, source, stride)
    if any(p >= k for p, k in zip(windows.pad, windows.kernel, strict=True)):
        raise Misfit(
            f"a pad of {shape_text(windows.pad)} leaves a window of {shape_text(windows.kernel)} "
            "without a value of the image",
            slot=0,
            help="the pad of a pooling is smaller than its kernel",
        )
    return windows


def _pool_shape(kind: str, settings: Settings, sources: tuple[Operand, ...]) -> Sizes:
    windows = _pool_windows(kind, settings, sources[0])
    return (windows.channels, *windows.places)


def _pool_forward(kind: str, pooling: Pooling, use: Use, training: bool) -> tuple[Operation, ...]:
    x = use.sources[0]
    return (Pool(pooling, use.name, x.name, _pool_windows(kind, use.settings, x)),)


def _pool_backward(kind: str, pooling: Pooling, use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    x, (dx,) = use.sources[0], wanted.sources
    if dx is None or wanted.own is None:
        return ()
    windows = _pool_windows(kind, use.settings, x)
    source = x.name if pooling is Pooling.MAX else None
    return (PoolGradient(pooling, dx, wanted.own, source, windows),)


def _pool_cut(settings: Settings, sources: tuple[Operand, ...], shape: Sizes, own: Range) -> Cut:
    """The same channels of the source."""
    return Cut(settings, (channels(own, shape, sources[0].shape),), own)


def _pool(name: str, pooling: Pooling, summary: str) -> LayerKind:
    return LayerKind(
        name=name,
        summary=f"{summary}; windows lie side by side unless a stride is given",
        settings=(
            KERNEL,
            Setting(
                "stride",
                "steps between windows; without it, the kernel",
                (Sort.SHAPE,),
                optional=True,
                within=AT_LEAST_ONE,
            ),
            PAD,
            Setting(
                "round",
                "`up` covers the whole image, `down` leaves out a window that does not fit",
                (Sort.WORD,),
                default=DOWN,
                choices=(DOWN, UP),
            ),
        ),
        sources=1,
        shape=partial(_pool_shape, name),
        forward=partial(_pool_forward, name, pooling),
        backward=partial(_pool_backward, name, pooling),
        feature=Feature(width, first_axis, _pool_cut),
    )


MAX_POOL = _pool("max_pool", Pooling.MAX, "the largest value of each window")
AVG_POOL = _pool(
    "avg_pool", Pooling.AVERAGE, "the mean of each window over what lies in the padded image"
)


# -- local response normalisation ------------------------------------------------------------------


def _lrn_shape(settings: Settings, sources: tuple[Operand, ...]) -> Sizes:
    channels, size = _image("lrn", sources[0])[0], _whole(settings, "size")
    if size % 2 == 0:
        raise Misfit(
            f"a size of {size} has no channel in its middle",
            help=f"an odd size: lrn({size + 1})",
        )
    if size > channels:
        raise Misfit(
            f"a size of {size} is more than the {channels} channels",
            slot=0,
            help=f"at most lrn({channels - 1 + channels % 2})",
        )
    return same_shape(settings, sources)


def _response(use: Use) -> Response:
    """alpha is divided by the size, after Krizhevsky's own code and the original system's."""
    settings, size = use.settings, _whole(use.settings, "size")
    alpha, beta, knorm = (settings[n] for n in ("alpha", "beta", "knorm"))
    assert isinstance(alpha, float), "alpha is a number"
    assert isinstance(beta, float), "beta is a number"
    assert isinstance(knorm, float), "knorm is a number"
    return Response(use.shape[0], size, alpha / size, beta, knorm)


def _lrn_forward(use: Use, training: bool) -> tuple[Operation, ...]:
    return (Lrn(use.name, use.sources[0].name, _response(use)),)


def _lrn_backward(use: Use, wanted: Wanted) -> tuple[Operation, ...]:
    (dx,) = wanted.sources
    if dx is None or wanted.own is None:
        return ()
    return (LrnGradient(dx, wanted.own, use.sources[0].name, _response(use)),)


def _lrn_cut(settings: Settings, sources: tuple[Operand, ...], shape: Sizes, own: Range) -> Cut:
    """The channels around come along; what becomes of those is sliced off."""
    margin = _whole(settings, "size") // 2 * columns(shape[1:])
    wide = max(own[0] - margin, 0), min(own[1] + margin, columns(shape))
    return Cut(settings, (wide,), wide)


LRN = LayerKind(
    name="lrn",
    summary="y = x / (knorm + alpha / size * sum of x^2 over `size` channels around)^beta",
    settings=(
        Setting(
            "size",
            "channels summed, an odd number",
            (Sort.INTEGER,),
            default=5,
            positional=True,
            within=AT_LEAST_ONE,
        ),
        Setting("alpha", "weight of the mean square", default=1.0, within=NOT_NEGATIVE),
        Setting("beta", "the power", default=0.75),
        Setting("knorm", "what is added to the mean square", default=1.0, within=POSITIVE),
    ),
    sources=1,
    shape=_lrn_shape,
    forward=_lrn_forward,
    backward=_lrn_backward,
    feature=Feature(width, first_axis, _lrn_cut),
)
