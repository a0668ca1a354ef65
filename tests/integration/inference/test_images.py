"""Images from a folder to the table of results: the model sees each once, and a bad one fails alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.producers import Client
from longshore.shared.errors import InvalidInput
from tests.images import encoded, write_archive, write_folder
from tests.waiting import TIMEOUT_S

SHAPE = [3, 8, 8]
CONFIG = {"input_shape": SHAPE, "channels": [4], "kernel_size": 3, "hidden": [16]}


def shades() -> dict[str, bytes]:
    """Dark and bright images of several sizes and formats, in folders of these names."""
    files: dict[str, bytes] = {}
    for number in range(40):
        name, shade = ("bright", 160 + 2 * number) if number % 2 else ("dark", 2 * number)
        form = ("png", "jpeg", "bmp", "webp")[number // 2 % 4]
        files[f"{name}/{number:02}.{form}"] = encoded(shade, form, (8 + number % 3, 8))
    return files


@pytest.fixture(scope="module")
def labels() -> list[str]:
    return [name.partition("/")[0] for name in sorted(shades())]


@pytest.fixture(scope="module")
def folder(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that shades:1 was trained on."""
    path = write_folder(tmp_path_factory.mktemp("images"), shades())
    job = client.train("shades", "cnn", path, target="label", config=CONFIG, epochs=30, batch_size=10)  # type: ignore[arg-type]
    job.wait(TIMEOUT_S)
    assert job.metrics()[-1].value >= 0
    return path


def as_parquet(folder: Path, base: Path) -> Path:
    content = [(folder / name).read_bytes() for name in sorted(shades())]
    pq.write_table(pa.table({"image": content}), base / "x.parquet")
    return base / "x.parquet"


def as_structs(folder: Path, base: Path) -> Path:
    content = [{"bytes": (folder / name).read_bytes(), "path": name} for name in sorted(shades())]
    pq.write_table(pa.table({"image": content}), base / "x.parquet")
    return base / "x.parquet"


def as_tar(folder: Path, base: Path) -> Path:
    return write_archive(base / "x.tar", dict(reversed(shades().items())))


def as_tgz(folder: Path, base: Path) -> Path:
    return write_archive(base / "x.tar.gz", shades())


def as_folder(folder: Path, base: Path) -> Path:
    return folder


def as_glob(folder: Path, base: Path) -> Path:
    return folder / "*" / "*.*"


@pytest.mark.parametrize("write", [as_folder, as_glob, as_tar, as_tgz, as_parquet, as_structs])
def test_the_same_images_give_the_same_results(
    client: Client, folder: Path, labels: list[str], tmp_path: Path, write: Callable[[Path, Path], Path]
) -> None:
    results = client.infer("shades:1", write(folder, tmp_path), rows_per_shard=15).wait(TIMEOUT_S).results()
    assert results.column("row").to_pylist() == list(range(40))
    assert results.column("label").to_pylist() == labels


def test_rows_in_memory(client: Client, folder: Path) -> None:
    rows = [{"image": (folder / name).read_bytes()} for name in ("dark/00.png", "bright/39.webp")]
    results = client.infer("shades:1", rows).wait(TIMEOUT_S).results()
    assert results.column("label").to_pylist() == ["dark", "bright"]


@pytest.mark.parametrize("write", [write_folder, write_archive])
def test_a_corrupt_image_fails_alone(
    client: Client, folder: Path, labels: list[str], tmp_path: Path, write: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    files = shades()
    names = sorted(files)
    files[names[17]] = files[names[17]][:30]
    files[names[31]] = b""
    data = write(tmp_path / "x.tar", files)
    job = client.infer("shades:1", data, rows_per_shard=10, max_row_errors=2, keep=["path"])
    results = job.wait(TIMEOUT_S).results()
    assert results["path"].to_pylist() == [name for row, name in enumerate(names) if row not in (17, 31)]
    assert [error.key for error in job.errors()] == [{"path": names[17]}, {"path": names[31]}]
    errors = {error.row: error.message for error in job.errors() if error.row is not None}
    assert sorted(errors) == [17, 31]
    assert errors[31] == "column 'image': cannot be decoded: the file is empty"
    rows = [row for row in range(40) if row not in errors]
    assert results.column("row").to_pylist() == rows
    assert results.column("label").to_pylist() == [labels[row] for row in rows]


def test_what_images_cannot_be_used_for(client: Client, folder: Path, tmp_path: Path) -> None:
    for family, config, field, said in [
        ("mlp", {}, "features", "has image files"),
        ("cnn", {}, "features", "input_shape"),
        ("cnn", CONFIG | {"input_shape": [2, 8, 8]}, "config.input_shape", "2 channels"),
        ("cnn", CONFIG | {"input_shape": [3, 2, 2]}, "config.kernel_size", "larger than the image"),
    ]:
        with pytest.raises(InvalidInput, match=said) as refused:
            client.train("shades", family, folder, target="label", config=config)  # type: ignore[arg-type]
        assert refused.value.field == field
    client.train("numbers", "linear", {"pixels": [[0.0, 1.0]] * 20, "y": [0, 1] * 10}, "y", epochs=1).wait(TIMEOUT_S)
    with pytest.raises(InvalidInput, match=r"data: no column 'pixels'; the data has 'path', 'label', 'image'"):
        client.infer("numbers", folder)
    pq.write_table(pa.table({"image": [[0.0] * 192]}), tmp_path / "x.parquet")
    with pytest.raises(InvalidInput, match="data: column 'image' has lists of numbers, not image files"):
        client.infer("shades", tmp_path / "x.parquet")
