"""One encoded image file as pixels of a given shape, with Pillow."""

from __future__ import annotations

import io
import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

#: What is taken for an image. Of an animation, the first picture counts.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF")
#: The largest image that is decoded: 8192 x 8192. A few hundred bytes can claim billions of pixels.
MAX_PIXELS = 2**26


def ignore_warnings() -> None:
    """What Pillow warns of (odd metadata, odd palettes, sizes that are checked here) says nothing about the pixels.

    For the whole process: nothing narrower is safe beside other threads.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")


def decode(content: bytes, shape: tuple[int, int, int]) -> npt.NDArray[np.float32]:
    """Values 0 to 1 of ``shape``: (channels, height, width), with 3 channels for RGB and 1 for grey.

    An image of another size is scaled with bilinear filtering.

    :raises ValueError: it is no image, or too large a one. Damaged files make Pillow raise nearly anything.
    """
    channels, height, width = shape
    if not content:
        raise ValueError("the file is empty")
    try:
        opened = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError("not a JPEG, PNG, BMP, WebP or GIF file, or its beginning is damaged") from None
    except Image.DecompressionBombError:
        raise ValueError(f"it claims more than {MAX_PIXELS} pixels") from None
    with opened as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"it claims {image.width} x {image.height} pixels; the most are {MAX_PIXELS}")
        pixels = _eight_bits(image).convert("RGB" if channels == 3 else "L")
        if pixels.size != (width, height):
            pixels = pixels.resize((width, height), Image.Resampling.BILINEAR)
        values = np.asarray(pixels, np.float32).reshape(height, width, channels)
    return np.ascontiguousarray(values.transpose(2, 0, 1) / np.float32(255))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey of 16 bits is scaled; Pillow would cut it off at 255."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
