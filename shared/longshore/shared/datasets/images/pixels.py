"""Decodes one image file to pixels of a given shape, with Pillow."""

from __future__ import annotations

import io
import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

#: The formats that are decoded. Only the first frame of an animation, or the first page of a TIFF file, is used.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF", "TIFF")
#: The largest value of a channel of 16 bits.
_MAX_16_BITS = 2**16 - 1
#: The largest image that is decoded: 8192 x 8192. A few hundred bytes can claim billions of pixels.
MAX_PIXELS = 2**26


def ignore_warnings() -> None:
    """Silence Pillow's warnings: they concern metadata, palettes and sizes (checked here), not the pixels.

    Affects the whole process, because warning filters are not safe to change per thread.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")


def decode(content: bytes, shape: tuple[int, int, int]) -> npt.NDArray[np.float32]:
    """Decode an image to values from 0 to 1 of shape (channels, height, width): 3 channels for RGB, 1 for grey.

    An image of a different size is scaled with bilinear filtering. As in torchvision, the orientation in the metadata
    of cameras is not applied and transparency is dropped.

    :raises ValueError: it is not an image, or it is too large. Pillow raises many other types for damaged files.
    """
    channels, height, width = shape
    if not content:
        raise ValueError("the file is empty")
    try:
        opened = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError("not a JPEG, PNG, BMP, WebP, GIF or TIFF file, or its beginning is damaged") from None
    except Image.DecompressionBombError:
        raise ValueError(f"it claims more than {MAX_PIXELS} pixels") from None
    with opened as image:
        if image.width * image.height > MAX_PIXELS:
            raise ValueError(f"it claims {image.width} x {image.height} pixels; at most {MAX_PIXELS} are allowed")
        pixels = _eight_bits(image).convert("RGB" if channels == 3 else "L")
        if pixels.size != (width, height):
            pixels = pixels.resize((width, height), Image.Resampling.BILINEAR)
        values = np.asarray(pixels, np.float32).reshape(height, width, channels)
    return np.ascontiguousarray(values.transpose(2, 0, 1) / np.float32(255))


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits; Pillow itself would clip it at 255.

    :raises ValueError: its values have no range of 8 or 16 bits.
    """
    if image.mode == "F":
        raise ValueError("its pixels are floats, which have no fixed range; save it with 8 or 16 bits per channel")
    if not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.int64)
    if values.size and not (values.min() >= 0 and values.max() <= _MAX_16_BITS):
        raise ValueError("its pixels are integers of 32 bits, or negative; save it with 8 or 16 bits per channel")
    return Image.fromarray((values >> 8).astype(np.uint8))
