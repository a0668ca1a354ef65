"""Images to read: encoded files, folders and archives of them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def encoded(shade: int, form: str = "png", size: tuple[int, int] = (4, 4), mode: str = "RGB") -> bytes:
    """An image file of one colour: ``shade``, 0 to 255, in every channel."""
    sink = io.BytesIO()
    pixels = np.full((*size[::-1], len(mode)), shade, np.uint8)
    Image.fromarray(pixels.squeeze()).save(sink, form)
    return sink.getvalue()


def write_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Files by their paths below ``folder``."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def write_archive(path: Path, files: Mapping[str, bytes]) -> Path:
    """A tar archive of files in just this order; compressed if its name says so."""
    with (
        path.open("wb") as sink,
        tarfile.open(fileobj=sink, mode="w:gz" if path.suffix in (".gz", ".tgz") else "w") as archive,
    ):
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path
