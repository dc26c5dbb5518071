"""One picture in a file, through Pillow; whatever its bytes make go wrong is told."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from singac.diagnostics import Diagnostic, Exit, Failed
from singac.sources.damage import damaged, size_of, unreadable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    Bytes = NDArray[np.uint8]

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_MOST_PIXELS = 1 << 26  # more in one picture is taken for damage
_GREY = ("1", "L", "LA")
_COLOURED = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
_MODES = {1: "L", 3: "RGB"}


@contextmanager
def picture(path: str) -> Iterator[Image]:
    """A picture whose header has been read; raises `Failed`, also for damage met inside."""
    module = _pillow()
    if size_of(path) == 0:
        raise damaged("SG0224", "the file is empty", path)
    bombs = (module.DecompressionBombError, module.DecompressionBombWarning)
    broken = (SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError)
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", module.DecompressionBombWarning)
            with module.open(file, formats=_FORMATS) as image:
                _check(image, path)
                yield image
    except PermissionError as error:
        raise unreadable(path, error) from None
    except bombs:
        raise _too_large(path) from None
    except module.UnidentifiedImageError:
        help = f"pictures are {', '.join(_FORMATS)}"
        raise damaged("SG0243", "this is no picture", path, help) from None
    except (OSError, *broken, struct.error, zlib.error) as error:
        fact = str(error).replace(path, "it").split("\n")[0]
        message = f"the picture cannot be decoded: {type(error).__name__}: {fact}"
        raise damaged("SG0243", message, path) from None


def is_grey(image: Image) -> bool:
    """Whether a picture has one channel."""
    return image.mode in _GREY


def decoded(path: str, shape: tuple[int, ...]) -> Bytes:
    """A picture brought to [channels][height][width]; raises `Failed`."""
    import numpy as np

    channels, height, width = shape
    with picture(path) as image:
        converted = image.convert(_MODES[channels])
        if converted.size != (width, height):
            converted = converted.resize((width, height))
        pixels = np.asarray(converted, np.uint8).reshape(height, width, channels)
    return pixels.transpose(2, 0, 1)


def _check(image: Image, path: str) -> None:
    """Before anything is decoded."""
    width, height = image.size
    if width * height > _MOST_PIXELS:
        raise _too_large(path)
    if image.mode not in _GREY + _COLOURED:
        message = f"the picture has more than 8 bits a channel (mode {image.mode})"
        raise damaged("SG0243", message, path, "convert it to 8 bits first")


def _too_large(path: str) -> Failed:
    message = f"the picture is said to have more than {_MOST_PIXELS} pixels"
    return damaged("SG0243", message, path)


def _pillow() -> ModuleType:
    try:
        from PIL import Image
    except ImportError:
        message = "pictures are read by Pillow, which is not installed"
        help = "pip install 'singac[images]'"
        raise Failed([Diagnostic("SG0242", message, help=help, exit=Exit.ENVIRONMENT)]) from None
    return Image
