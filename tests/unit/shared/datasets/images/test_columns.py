"""Encoded images as numbers, and the reasons why some are none."""

from __future__ import annotations

import io
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from PIL import Image

from longshore.shared.datasets.columns.matrix import FeatureMatrix, to_matrix
from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.open import open_source
from longshore.shared.datasets.schemas import check_schema, infer_features
from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.specs.signature import Feature, Signature
from tests.images import encoded, write_folder


def signature(*shape: int) -> Signature:
    channels, height, width = shape
    feature = Feature(name="image", width=channels * height * width, kind="image", shape=(channels, height, width))
    return Signature(features=(feature,), task="regression", target="y")


RGB = signature(3, 4, 4)


def matrix(images: pa.Array, made_for: Signature = RGB) -> FeatureMatrix:
    return to_matrix(pa.record_batch({"image": images}), made_for)


def noise(height: int, width: int, channels: int = 3) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def png(pixels: npt.NDArray[np.generic]) -> bytes:
    sink = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(sink, "png")
    return sink.getvalue()


def test_pixels_are_scaled_to_0_to_1_with_the_channels_first() -> None:
    pixels = noise(4, 4)
    made = matrix(pa.array([png(pixels)]))
    assert made.errors == {}
    assert made.values.dtype == np.float32
    assert np.array_equal(made.values.reshape(3, 4, 4), pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(255))


def test_images_of_another_size_are_scaled_bilinearly() -> None:
    pixels = noise(7, 9)
    made = matrix(pa.array([png(pixels)]), signature(3, 5, 6))
    expected = np.asarray(Image.fromarray(pixels).resize((6, 5), Image.Resampling.BILINEAR))
    assert np.array_equal(made.values.reshape(3, 5, 6) * 255, expected.transpose(2, 0, 1).astype(np.float32))


@pytest.mark.parametrize("form", ["png", "jpeg", "bmp", "gif", "webp"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_format_is_converted(form: str, mode: str, channels: int) -> None:
    made = matrix(pa.array([encoded(200, form, mode=mode)]), signature(channels, 4, 4))
    assert made.errors == {}
    np.testing.assert_allclose(made.values * 255, 200, atol=3)


def test_the_first_picture_of_an_animation_counts() -> None:
    sink = io.BytesIO()
    pictures = [Image.new("L", (4, 4), shade) for shade in (10, 250)]
    pictures[0].save(sink, "gif", save_all=True, append_images=pictures[1:])
    np.testing.assert_allclose(matrix(pa.array([sink.getvalue()])).values * 255, 10, atol=1)


def test_grey_of_16_bits_is_scaled() -> None:
    made = matrix(pa.array([png(np.full((4, 4), 40_000, np.uint16))]))
    np.testing.assert_allclose(made.values * 255, 40_000 >> 8, atol=1e-4)


def test_transparency_and_palettes_make_no_warning() -> None:
    sink = io.BytesIO()
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 90, 90, 90])
    image.save(sink, "png", transparency=b"\x00\x80")
    np.testing.assert_allclose(matrix(pa.array([sink.getvalue()])).values * 255, 90, atol=1e-4)


GOOD = [encoded(shade) for shade in range(60)]


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.binary_view(), pa.dictionary(pa.int32(), pa.binary())], ids=str
)
def test_columns_of_all_kinds(kind: pa.DataType) -> None:
    array = pa.array([*GOOD, None]).cast(kind)
    made = matrix(array.slice(3))
    assert np.array_equal(np.rint(made.values[:57, 0] * 255), np.arange(3, 60))
    assert list(made.errors) == [57]
    check_schema(pa.schema({"image": kind}), RGB)


def test_structs_as_hugging_face_writes_them() -> None:
    array = pa.array([None, *({"bytes": content, "path": "x"} for content in GOOD[:3]), {"bytes": None, "path": "x"}])
    made = matrix(array.slice(0, 5))
    assert list(made.errors) == [0, 4]
    assert made.errors[4] == "column 'image': no image: null, or a file larger than 64 MiB"
    assert np.rint(made.values[1:4, 0] * 255).tolist() == [0, 1, 2]
    assert np.rint(matrix(array.slice(2)).values[:2, 0] * 255).tolist() == [1, 2]
    check_schema(pa.schema({"image": array.type}), RGB)


def bomb(width: int, height: int) -> bytes:
    """A PNG file that claims to be so large."""
    content = struct.pack(">4sIIBBBBB", b"IHDR", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + content + struct.pack(">I", zlib.crc32(content))
    return b"\x89PNG\r\n\x1a\n" + chunk + encoded(0)[33:]


BAD = [
    (b"", "the file is empty"),
    (b"hello", "not a JPEG, PNG, BMP, WebP, GIF or TIFF file"),
    (encoded(1)[:50], "truncated|damaged"),
    (png(noise(64, 64))[:5000], "truncated"),
    (encoded(1, "jpeg", (64, 64))[:200], "[Tt]runcated"),
    (b"%PDF-1.4", "not a JPEG"),
    (b"\x00\x00\x01\x00" + bytes(40), "not a JPEG"),
    (bomb(9000, 9000), "claims 9000 x 9000 pixels"),
    (bomb(10_000, 10_000), "claims 10000 x 10000 pixels"),
    (bomb(60_000, 60_000), "claims more than 67108864 pixels"),
]


@pytest.mark.parametrize(("content", "said"), BAD)
def test_a_bad_image_among_good_ones_is_an_error_of_its_row(content: bytes, said: str) -> None:
    made = matrix(pa.array([*GOOD[:20], content, *GOOD[20:]]))
    assert list(made.errors) == [20]
    assert made.errors[20].startswith("column 'image': cannot be decoded: ")
    assert re.search(said, made.errors[20])
    assert not made.values[20].any()
    assert np.array_equal(np.rint(made.values[[*range(20), *range(21, 61)], 0] * 255), np.arange(60))


def test_any_single_bad_byte_is_survived() -> None:
    whole = encoded(77, "jpeg", (16, 16))
    changed = [whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :] for place in range(len(whole))]
    made = matrix(pa.array([*changed, GOOD[9]]))
    assert made.values.shape == (len(whole) + 1, 48)
    assert np.isfinite(made.values).all()
    assert len(whole) not in made.errors
    assert 0 in made.errors


def test_images_and_numbers_do_not_go_together() -> None:
    numbers = Signature(features=(Feature(name="image", width=48),), task="regression", target="y")
    lists = pa.array([[0.5] * 48])
    for array, made_for, said in [
        (pa.array(GOOD), numbers, r"has bytes, such as image files \(binary\), not lists of 48 numbers"),
        (lists, RGB, "has lists of numbers, not image files"),
        (pa.array(["a"]), RGB, r"has text \(string\), not image files"),
    ]:
        with pytest.raises(DataError, match=said):
            matrix(array, made_for)
        with pytest.raises(InvalidInput, match=said):
            check_schema(pa.schema({"image": array.type}), made_for)


def test_a_version_of_numbers_refuses_a_folder_of_images(tmp_path: Path) -> None:
    source = open_source(detect(write_folder(tmp_path, {"a/x.png": GOOD[0]})), "data")
    numbers = Signature(features=(Feature(name="pixels", width=48),), task="regression", target="y")
    with pytest.raises(InvalidInput, match="no column 'pixels'; the data has 'path', 'label', 'image'"):
        check_schema(source.schema, numbers)


def test_what_is_learned_from_a_folder_of_images(tmp_path: Path) -> None:
    source = open_source(detect(write_folder(tmp_path, {"a/x.png": GOOD[0]})), "data")
    first = source.head()
    expected = Feature(name="image", width=48, kind="image", shape=(3, 4, 4))
    assert infer_features(source.schema, first, "label", None, (3, 4, 4)) == (expected,)
    assert infer_features(source.schema, first, "label", ["image"], (3, 4, 4)) == (expected,)
    with pytest.raises(InvalidInput, match=r"features: column 'image' has image files; .*input_shape"):
        infer_features(source.schema, first, "label")
    with pytest.raises(InvalidInput, match=r"config\.input_shape: 4 channels"):
        infer_features(source.schema, first, "label", None, (4, 4, 4))
    with pytest.raises(InvalidInput, match="features: column 'path' has text"):
        infer_features(source.schema, first, "label", ["path"], (3, 4, 4))


def test_texts_beside_lists_called_image_are_categories() -> None:
    rows = pa.record_batch({"image": [[1.0]], "name": ["a"], "y": [1]})
    features = infer_features(rows.schema, rows, "y")
    assert features == (Feature(name="image", width=1), Feature(name="name", kind="category"))
