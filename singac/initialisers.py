"""Initial values of params: the distributions a writer can draw from, and the drawing."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from singac.diagnostics import Report, Span
from singac.settings import NOT_NEGATIVE, Setting, shape_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.random import Generator
    from numpy.typing import NDArray

Settings = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Fan:
    """How many values a unit of the param reads, and how many units read one of its inputs."""

    inputs: int
    outputs: int


@dataclass(frozen=True, slots=True)
class InitialiserKind:
    """A distribution: its settings, its formula as it is documented, and its drawing.

    `draw` fills an array of float64 with values. `fan` tells whether it needs a matrix's fan.
    """

    name: str
    settings: tuple[Setting, ...]
    formula: str
    draw: Callable[[Settings, Fan, Generator, NDArray[np.float64]], None]
    fan: bool = False


def initial(
    kind: str, settings: Settings, name: str, shape: tuple[int, ...], seed: int
) -> NDArray[np.float32]:
    """Initial values of the param `name` in its canonical shape."""
    (values,) = drawn(kind, settings, name, shape, seed, math.prod(shape))
    return values.reshape(shape)


def drawn(
    kind: str, settings: Settings, name: str, shape: tuple[int, ...], seed: int, together: int
) -> Iterator[NDArray[np.float32]]:
    """Initial values of the param `name`, one after the other, so many `together`.

    They depend on nothing but the seed, the name, the shape and the distribution: every process
    draws the same, whichever part of the param it holds. `seed` is 0 to 2^64 - 1.
    """
    import numpy as np

    stream = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    key = np.array([seed, stream], dtype=np.uint64)
    generator = np.random.Generator(np.random.Philox(key=key))
    total = math.prod(shape)
    for start in range(0, total, together):
        values = np.empty(min(together, total - start), dtype=np.float64)
        INITIALISERS[kind].draw(settings, fan_of(shape), generator, values)
        yield values.astype(np.float32)


def check_initialiser(
    kind: str, settings: Settings, shape: tuple[int, ...], span: Span, report: Report
) -> bool:
    """Whether the distribution suits a param of this shape (SG0204, SG0205)."""
    if INITIALISERS[kind].fan and len(shape) < 2:
        report.error(
            "SG0204",
            f"{kind} needs the fan of a matrix",
            span,
            f"a param of shape {shape_text(shape)} has none",
            help="draw it from constant, gaussian or uniform",
        )
        return False
    if kind == "uniform" and settings["low"] > settings["high"]:
        low, high = settings["low"], settings["high"]
        report.error(
            "SG0205",
            "the ends of uniform are the wrong way round",
            span,
            f"low is {low:g}, high is {high:g}",
            help=f"write uniform({high:g}, {low:g})",
        )
        return False
    return True


def fan_of(shape: tuple[int, ...]) -> Fan:
    """Fan of a canonical shape.

    [inputs, outputs]                  dense, embedding, recurrent: as it says
    [filters, channels, height, width] conv: each times the size of the kernel
    [units]                            no fan: 1 and 1
    """
    if len(shape) < 2:
        return Fan(1, 1)
    if len(shape) == 2:
        return Fan(shape[0], shape[1])
    kernel = math.prod(shape[2:])
    return Fan(shape[1] * kernel, shape[0] * kernel)


def _constant(s: Settings, fan: Fan, g: Generator, out: NDArray[np.float64]) -> None:
    out[...] = s["value"]


def _gaussian(s: Settings, fan: Fan, g: Generator, out: NDArray[np.float64]) -> None:
    g.standard_normal(out=out)
    out *= s["std"]
    out += s["mean"]


def _uniform(s: Settings, fan: Fan, g: Generator, out: NDArray[np.float64]) -> None:
    _fill_uniform(s["low"], s["high"], g, out)


def _gaussian_sqrt_fan_in(s: Settings, fan: Fan, g: Generator, out: NDArray[np.float64]) -> None:
    g.standard_normal(out=out)
    out *= s["std"] / math.sqrt(fan.inputs)


def _uniform_sqrt_fan_in(s: Settings, fan: Fan, g: Generator, out: NDArray[np.float64]) -> None:
    limit = s["scale"] * math.sqrt(3.0 / fan.inputs)
    _fill_uniform(-limit, limit, g, out)


def _glorot(s: Settings, fan: Fan, g: Generator, out: NDArray[np.float64]) -> None:
    limit = s["scale"] * math.sqrt(6.0 / (fan.inputs + fan.outputs))
    _fill_uniform(-limit, limit, g, out)


def _he(s: Settings, fan: Fan, g: Generator, out: NDArray[np.float64]) -> None:
    g.standard_normal(out=out)
    out *= math.sqrt(2.0 / fan.inputs)


def _fill_uniform(low: float, high: float, g: Generator, out: NDArray[np.float64]) -> None:
    g.random(out=out)
    out *= high - low
    out += low


_VALUE = Setting("value", "the value of every element", positional=True)
_MEAN = Setting("mean", "the mean", default=0.0)
_STD = Setting("std", "the standard deviation", default=1.0, within=NOT_NEGATIVE)
_FAN_STD = Setting(
    "std", "the deviation before the fan divides it", default=1.0, within=NOT_NEGATIVE
)
_LOW = Setting("low", "the lower end", default=-1.0, positional=True)
_HIGH = Setting("high", "the upper end", default=1.0, positional=True)
_SCALE = Setting("scale", "a factor on both ends", default=1.0, within=NOT_NEGATIVE)

# Fan-scaled distributions: `uniform_sqrt_fan_in` and `gaussian_sqrt_fan_in` after LeCun et al.,
# Efficient BackProp, 1998; `glorot` after Glorot and Bengio, 2010, with the sqrt(6) that the
# original system's kUniformSqrtFanInOut left out; `he` after He et al., 2015.
# fmt: off
_KINDS = (
    InitialiserKind("constant", (_VALUE,),
                    "value in every place", _constant),
    InitialiserKind("gaussian", (_MEAN, _STD),
                    "N(mean, std^2)", _gaussian),
    InitialiserKind("uniform", (_LOW, _HIGH),
                    "U(low, high)", _uniform),
    InitialiserKind("gaussian_sqrt_fan_in", (_FAN_STD,),
                    "N(0, std^2 / inputs)", _gaussian_sqrt_fan_in, fan=True),
    InitialiserKind("uniform_sqrt_fan_in", (_SCALE,),
                    "scale sqrt(3 / inputs) U(-1, 1)", _uniform_sqrt_fan_in, fan=True),
    InitialiserKind("glorot", (_SCALE,),
                    "scale sqrt(6 / (inputs + outputs)) U(-1, 1)", _glorot, fan=True),
    InitialiserKind("he", (),
                    "N(0, 2 / inputs)", _he, fan=True),
)
# fmt: on
INITIALISERS: dict[str, InitialiserKind] = {kind.name: kind for kind in _KINDS}
