"""Folders and archives of images: the same rows whatever they lie in, and no others."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.images import rows as image_rows
from longshore.shared.datasets.open import open_source, with_listing
from longshore.shared.datasets.segments import Segment
from longshore.shared.datasets.source import Source
from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.specs.jobs import FileInput
from tests.images import encoded, write_archive, write_folder

COLUMNS = ["path", "label", "image"]
FILES = {
    "b/2.jpg": b"two",
    "b/10.JPEG": b"ten",
    "top.png": b"top",
    "a/deep/x.webp": b"deep",
    "a-b/x.gif": b"dash",
    "b/_DSC1.bmp": b"",
}
ROWS: list[dict[str, object]] = [
    {"path": "a/deep/x.webp", "label": "deep", "image": b"deep"},
    {"path": "a-b/x.gif", "label": "a-b", "image": b"dash"},
    {"path": "b/10.JPEG", "label": "b", "image": b"ten"},
    {"path": "b/2.jpg", "label": "b", "image": b"two"},
    {"path": "b/_DSC1.bmp", "label": "b", "image": b""},
    {"path": "top.png", "label": None, "image": b"top"},
]
OTHERS = {"readme.txt": b"x", ".hidden/y.jpg": b"x", "b/._2.jpg": b"x"}


def as_folder(base: Path, files: dict[str, bytes]) -> Path:
    return write_folder(base / "images", files)


def as_glob(base: Path, files: dict[str, bytes]) -> Path:
    return write_folder(base / "images", files) / "**" / "*.*"


def as_archive(base: Path, files: dict[str, bytes]) -> Path:
    return write_archive(base / "images.tar", {f"./{name}": content for name, content in files.items()})


def as_compressed(base: Path, files: dict[str, bytes]) -> Path:
    return write_archive(base / "images.tar.gz", files)


WRITERS = [as_folder, as_glob, as_archive, as_compressed]
Writer = Callable[[Path, dict[str, bytes]], Path]


def opened(path: Path | str) -> tuple[FileInput, Source]:
    data = detect(path)
    source = open_source(data, "data")
    return with_listing(data, source), source


def read(source: Source, step: int | None = None, batch_rows: int = 4) -> list[dict[str, object]]:
    batches = [batch for cut in source.segments(step) for batch in source.batches(cut, COLUMNS, batch_rows)]
    assert all(1 <= batch.num_rows <= batch_rows for batch in batches)
    return [row for batch in batches for row in batch.to_pylist()]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("group", [1, 6, 1 << 20])
@pytest.mark.parametrize("step", [None, 1, 4])
def test_rows_are_in_the_order_of_their_paths(
    tmp_path: Path, write: Writer, group: int, step: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_rows, "GROUP_BYTES", group)
    data, source = opened(write(tmp_path, FILES | OTHERS))
    assert data.format == "images"
    assert source.rows == len(ROWS)
    assert read(source, step) == ROWS
    assert read(open_source(data), step) == ROWS
    head = source.head(2).to_pylist()
    assert 0 < len(head) <= 2
    assert head == ROWS[: len(head)]
    (batch,) = source.batches(Segment(1, 3), ["label"], 9)
    assert batch.to_pylist() == [{"label": "a-b"}, {"label": "b"}]


@given(st.permutations([f"{number}.png" for number in range(12)]), st.integers(1, 12), st.integers(1, 500))
@settings(deadline=None, max_examples=25)
def test_an_archive_in_any_order(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], step: int, group: int
) -> None:
    files = {name: name.encode() * 50 for name in names}
    path = write_archive(tmp_path_factory.mktemp("any") / "x.tgz", files)
    source = open_source(detect(path))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_rows, "GROUP_BYTES", group)
        assert [(row["path"], row["image"]) for row in read(source, step)] == sorted(files.items())


def test_a_group_is_bounded_by_bytes() -> None:
    sizes = [1, 40 << 20, 1, 100 << 20, 31 << 20, 1, 1 << 20]
    members = [image_rows.ImageFile(str(place), place, size) for place, size in enumerate(sizes)]
    groups = [*image_rows.grouped(members)]
    assert [[member.location for member in group] for group in groups] == [[0, 1], [2, 3, 4, 5, 6]]


@pytest.mark.parametrize("write", WRITERS)
def test_a_file_that_is_too_large_is_null(tmp_path: Path, write: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_rows, "MAX_FILE_BYTES", 3)
    _, source = opened(write(tmp_path, {"a.png": b"123", "b.png": b"1234", "c.png": b"12"}))
    assert [row["image"] for row in read(source)] == [b"123", None, b"12"]


@pytest.mark.parametrize("write", WRITERS)
def test_files_that_come_go_or_change_after_submission(tmp_path: Path, write: Writer) -> None:
    files = {f"{number}.png": encoded(number) for number in range(4)}
    data, _ = opened(write(tmp_path, files))
    for changed in (files | {"4.png": b"4"}, files | {"3.png": files["3.png"] + b"x"}):
        write(tmp_path, changed)
        with pytest.raises(DataError, match=r"submit the job again|added, removed or rewritten"):
            open_source(data)
    # An archive is padded: one file less may leave it as long as it was.
    if "tar" in str(tmp_path / data.uri):
        write(tmp_path, dict(list(files.items())[:3]))
        with pytest.raises(DataError, match=r"submit the job again|added, removed or rewritten"):
            open_source(data)


def test_a_file_that_changes_after_the_folder_was_listed(tmp_path: Path) -> None:
    for content in (b"", b"longer than before"):
        _, source = opened(as_folder(tmp_path, FILES))
        (tmp_path / "images/b/2.jpg").write_bytes(content)
        with pytest.raises(DataError, match=r"b/2\.jpg has a different size than when"):
            read(source)
    (tmp_path / "images/b/2.jpg").unlink()
    with pytest.raises(DataError, match=r"b/2\.jpg: No such file"):
        read(source)


@pytest.mark.parametrize("write", [as_archive, as_compressed])
def test_an_archive_that_is_shortened_after_it_was_opened(tmp_path: Path, write: Writer) -> None:
    path = write(tmp_path, {f"{number}.png": random.Random(number).randbytes(4000) for number in range(9)})
    _, source = opened(path)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(DataError, match=str(path)):
        read(source)
    with pytest.raises(InvalidInput, match=str(path)):
        opened(path)


def test_an_archive_that_is_damaged_or_cut_off_between_two_members(tmp_path: Path) -> None:
    path = as_archive(tmp_path, {"a.png": b"a", "b.png": b"b"})
    whole = bytearray(path.read_bytes())
    path.write_bytes(whole[:1024])
    with pytest.raises(InvalidInput, match="cut off or damaged at byte 1024"):
        opened(path)
    whole[1030] ^= 1
    path.write_bytes(whole)
    with pytest.raises(InvalidInput, match="cut off or damaged at byte 1024"):
        opened(path)


def test_a_compressed_archive_whose_checksum_is_wrong(tmp_path: Path) -> None:
    path = as_compressed(tmp_path, FILES)
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match="CRC"):
        opened(path)


def test_only_plain_members_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        for kind, name in [(tarfile.SYMTYPE, "a.png"), (tarfile.LNKTYPE, "b.png"), (tarfile.FIFOTYPE, "c.png")]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/hostname"
            archive.addfile(info)
        for content in (b"old", b"new"):
            info = tarfile.TarInfo("/abs/d.png")
            info.size = 3
            archive.addfile(info, io.BytesIO(content))
    _, source = opened(path)
    assert read(source) == [{"path": "abs/d.png", "label": "abs", "image": b"new"}]


def test_a_header_that_claims_too_much(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 2**32
    (tmp_path / "x.tgz").write_bytes(gzip.compress(info.tobuf() + bytes(10240)))
    with pytest.raises(InvalidInput, match=r"a header of .* bytes"):
        opened(tmp_path / "x.tgz")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.tar", b"hello", "truncated header"),
        ("x.tar.gz", b"hello", "truncated header"),
        ("x.tgz", gzip.compress(b"hello" * 200, mtime=0), "invalid header"),
        ("x.tgz", gzip.compress(random.Random(0).randbytes(2000), mtime=0)[:200], "ended before"),
        ("x.tar", bytes(10240), "has no images"),
    ],
)
def test_what_is_no_archive_of_images(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=said) as refused:
        opened(tmp_path / name)
    assert name in refused.value.reason


def test_a_folder_with_parquet_files_is_taken_for_those_unless_told(tmp_path: Path) -> None:
    write_folder(tmp_path, FILES | {"x.parquet": b"x"})
    assert detect(tmp_path).format == "parquet"
    assert detect(tmp_path, "images").format == "images"
    assert detect(tmp_path / "**" / "*.jpg").format == "images"
    with pytest.raises(InvalidInput, match="with no images"):
        detect(tmp_path / "*.parquet", "images")
    with pytest.raises(InvalidInput, match="with no Parquet files"):
        detect(tmp_path / "*.png", "parquet")


@pytest.mark.parametrize("name", ["", "/*/*.jpg", ".tar.gz"])
def test_remote_files(tmp_path: Path, name: str) -> None:
    files = fsspec.filesystem("memory")
    for path, content in FILES.items():
        files.pipe(f"/image-test/{path}", content)
    files.pipe("/image-test.tar.gz", as_compressed(tmp_path, FILES).read_bytes())
    try:
        data, source = opened(f"memory://image-test{name}")
        expected = [row for row in ROWS if row["path"] == "b/2.jpg"] if "*" in name else ROWS
        assert read(open_source(data)) == expected
        if not name:
            files.pipe("/image-test/b/2.jpg", b"longer")
            with pytest.raises(DataError, match=r"b/2\.jpg has a different size than when"):
                read(source)
    finally:
        files.rm("/image-test", recursive=True)
        files.rm("/image-test.tar.gz")
