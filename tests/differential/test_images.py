"""Images of every mode and format against the pixels that they were made of, and against torchvision's loader."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from PIL import Image

from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.file_listing import ADDED_IMAGES, IMAGES, listing_digest
from longshore.shared.datasets.images.columns import to_pixels
from longshore.shared.datasets.images.pixels import FORMATS
from longshore.shared.datasets.open import notes_of, open_source
from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.specs.signature import Feature
from tests.differential.cases import COMPARED, seeds
from tests.images import encoded, write_archive, write_folder

#: Modes that each lossless format can hold.
MODES: Mapping[str, tuple[str, ...]] = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"),
    "BMP": ("1", "L", "P", "RGB"),
    "GIF": ("L", "P"),
    "WEBP": ("RGB", "RGBA"),
}
COMPRESSIONS = [{"compression": name} for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits")]
#: With which a format keeps every colour; also those of transparent pixels.
OPTIONS: dict[str, dict[str, object]] = {"WEBP": {"lossless": True, "exact": True}}
SIZE = 6


def _image(mode: str, random: np.random.Generator) -> tuple[Image.Image, npt.NDArray[np.float64]]:
    """An image of noise, and its red, green and blue from 0 to 255, worked out by hand."""
    bytes_ = random.integers(0, 256, (SIZE, SIZE, 4), np.uint8)
    grey = bytes_[:, :, 0].astype(np.float64)
    if mode == "1":
        bits = bytes_[:, :, 0] > 127
        return Image.fromarray(bits), np.repeat(bits[:, :, None] * 255.0, 3, 2)
    if mode == "L":
        return Image.fromarray(bytes_[:, :, 0]), np.repeat(grey[:, :, None], 3, 2)
    if mode == "LA":
        return Image.fromarray(bytes_[:, :, :2].copy(), "LA"), np.repeat(grey[:, :, None], 3, 2)
    if mode == "P":
        palette = random.integers(0, 256, (256, 3), np.uint8)
        image = Image.fromarray(bytes_[:, :, 0], "P")
        image.putpalette(palette.tobytes())
        return image, palette[bytes_[:, :, 0]].astype(np.float64)
    if mode == "I;16":
        values = random.integers(0, 2**16, (SIZE, SIZE), np.uint16)
        return Image.fromarray(values), np.repeat((values // 256).astype(np.float64)[:, :, None], 3, 2)
    if mode == "CMYK":
        ink = bytes_.astype(np.float64)
        rgb = (255 - ink[:, :, :3]) * (255 - ink[:, :, 3:]) / 255
        return Image.fromarray(bytes_, "CMYK"), rgb
    channels = bytes_[:, :, : len(mode)].copy()
    return Image.fromarray(channels), channels[:, :, :3].astype(np.float64)


def _encoded(image: Image.Image, form: str, **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, form, **options)
    return sink.getvalue()


def _decode(content: bytes, channels: int = 3, size: int = SIZE) -> tuple[npt.NDArray[np.float64], dict[int, str]]:
    shape = (channels, size, size)
    feature = Feature(name="image", width=channels * size * size, kind="image", shape=shape)
    made = to_pixels(pa.array([content]), feature)
    return made.values.reshape(shape).astype(np.float64), made.errors


@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")
@pytest.mark.parametrize("seed", seeds(3))
@pytest.mark.parametrize("form", MODES)
def test_pixels_are_those_that_were_saved(form: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    for mode in MODES[form]:
        image, rgb = _image(mode, random)
        for compression in COMPRESSIONS if form == "TIFF" else ({},):
            values, errors = _decode(_encoded(image, form, **(OPTIONS.get(form, {}) | compression)))
            assert errors == {}, mode
            # Pillow rounds the product of two inks.
            tolerance = 1.01 if mode == "CMYK" else 1e-4
            assert np.abs(values * 255 - rgb.transpose(2, 0, 1)).max() < tolerance, (mode, compression)
            COMPARED.add()


@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")
@pytest.mark.parametrize("seed", seeds(3))
def test_grey_is_the_luma_of_the_colours(seed: int) -> None:
    random = np.random.default_rng(seed)
    for mode in ("L", "P", "RGB", "RGBA", "I;16"):
        image, rgb = _image(mode, random)
        values, errors = _decode(_encoded(image, "TIFF"), channels=1)
        luma = rgb @ np.array([0.299, 0.587, 0.114])  # ITU-R 601
        assert errors == {}
        assert np.abs(values[0] * 255 - luma).max() < 1.01, mode
        COMPARED.add()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_the_orientation_of_cameras_is_that_of_torchvision(orientation: int, form: str) -> None:
    """torchvision's ``pil_loader`` is ``Image.open(file).convert("RGB")``, without the orientation."""
    pixels = np.random.default_rng(orientation).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = _encoded(Image.fromarray(pixels), form, exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        expected = np.asarray(image.convert("RGB"), np.float64)
    values, errors = _decode(content)
    assert errors == {}
    assert np.abs(values * 255 - expected.transpose(2, 0, 1)).max() < 1e-3


def test_the_first_frame_and_page_is_read() -> None:
    shades = [Image.new("RGB", (SIZE, SIZE), (shade, 0, 0)) for shade in (10, 200)]
    for form in ("GIF", "TIFF", "PNG", "WEBP"):
        values, errors = _decode(_encoded(shades[0], form, save_all=True, append_images=shades[1:]))
        assert errors == {}
        assert np.abs(values[0] * 255 - 10).max() < 4


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.linspace(0, 1, SIZE * SIZE, dtype=np.float32), "its pixels are floats, which have no fixed range"),
        (np.arange(SIZE * SIZE, dtype=np.int32) * 70_000, "its pixels are integers of 32 bits"),
        (-np.arange(SIZE * SIZE, dtype=np.int32), "or negative"),
    ],
)
def test_pixels_without_a_range_are_refused(values: npt.NDArray[np.generic], reason: str) -> None:
    _, errors = _decode(_encoded(Image.fromarray(values.reshape(SIZE, SIZE)), "TIFF"))
    assert reason in errors[0]
    assert "save it with 8 or 16 bits" in errors[0]


@pytest.mark.parametrize("form", [*MODES, "JPEG"])
def test_a_truncated_image_is_an_error_of_its_row(form: str) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    content = _encoded(image, form)
    for part in (0.3, 0.6, 0.9):
        _, errors = _decode(content[: int(len(content) * part)], size=64)
        assert list(errors) == [0], part


def test_every_suffix_has_a_format_that_is_decoded() -> None:
    assert {Image.registered_extensions()[suffix] for suffix in IMAGES} == set(FORMATS)


FILES = {
    "cat/1.png": encoded(1),
    "cat/readme.txt": b"cats",
    "dog/1.tif": encoded(2, "tiff"),
    "dog/2.TIFF": encoded(3, "tiff"),
    "bird/1.heic": b"no image that is read",
    ".hidden/1.txt": b"",
}


@pytest.mark.parametrize("form", ["folder", "tar", "tar.gz"])
def test_skipped_files_are_counted_and_named(tmp_path: Path, form: str) -> None:
    path = write_folder(tmp_path / "x", FILES) if form == "folder" else write_archive(tmp_path / f"x.{form}", FILES)
    source = open_source(detect(path))
    rows = source.head()
    assert rows["path"].to_pylist() == ["cat/1.png", "dog/1.tif", "dog/2.TIFF"]
    [note] = notes_of(source)
    assert note.startswith("skipped 2 files of other types: ")
    assert "1 .heic" in note
    assert "1 .txt" in note
    assert note.endswith("such as 'bird/1.heic'")
    assert [_decode(each)[0][0, 0, 0] * 255 for each in rows["image"].to_pylist()] == pytest.approx([1, 2, 3])


def test_only_files_that_are_not_read(tmp_path: Path) -> None:
    files = {"bird/1.heic": b"x", "bird/2.heic": b"x"}
    with pytest.raises(
        InvalidInput, match=r"no Parquet files, no images and no text files; it has 2 files of other types: 2 \.heic"
    ):
        detect(write_folder(tmp_path / "x", files))
    with pytest.raises(DataError, match=r"no images; it has 2 files of other types: 2 \.heic"):
        open_source(detect(write_archive(tmp_path / "x.tar", files)))


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_jobs_of_earlier_releases_read_the_files_of_their_listing(tmp_path: Path, form: str) -> None:
    path = write_folder(tmp_path / "x", FILES) if form == "folder" else write_archive(tmp_path / f"x.{form}", FILES)
    data = detect(path)
    visible = [_Entry(name, len(content)) for name, content in sorted(FILES.items()) if name.lower().endswith(IMAGES)]
    earlier = [entry for entry in visible if not entry.name.lower().endswith(ADDED_IMAGES)]
    source = open_source(data.model_copy(update={"listing": listing_digest(earlier)}))
    assert source.head()["path"].to_pylist() == ["cat/1.png"]


class _Entry:
    def __init__(self, name: str, size: int) -> None:
        self.name, self.size = name, size
