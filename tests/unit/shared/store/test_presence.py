"""A store that is away is no store with missing blobs, and is not begun anew on the disk below its mount point."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from longshore.shared.errors import MissingBlob, ServiceUnavailable
from longshore.shared.store.store import Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "mount" / "store"


def away(folder: Path, *, empty: bool) -> Path:
    """Take a store away, as an unmounted file server does; ``empty`` leaves the mount point."""
    elsewhere = folder.with_name("elsewhere")
    folder.rename(elsewhere)
    if empty:
        folder.mkdir()
    return elsewhere


@pytest.mark.parametrize("empty", [True, False])
def test_a_cold_reader_waits_for_the_store(folder: Path, empty: bool) -> None:
    blob = Store(str(folder)).put_blob(b"x")
    elsewhere = away(folder, empty=empty)
    cold = Store(str(folder))
    for read in (lambda: cold.read_blob(blob.digest), lambda: cold.fetch_blob(blob)):
        with pytest.raises(ServiceUnavailable, match="mount or restore it"):
            read()
    if empty:
        folder.rmdir()
    elsewhere.rename(folder)
    assert cold.read_blob(blob.digest) == b"x"


@pytest.mark.parametrize("empty", [True, False])
def test_nothing_is_written_below_the_mount_point(folder: Path, empty: bool) -> None:
    used = Store(str(folder))
    used.put_blob(b"x")
    away(folder, empty=empty)
    expected = Store(str(folder), expected=lambda: True)
    for store in (used, expected):
        for write in (
            lambda store=store: store.put_blob(b"y"),
            lambda store=store: store.write_version_pointer("m", 1, "sha256:" + "0" * 64),
            lambda store=store: store.write_alias_pointer("m", "a", 1),
            lambda store=store: list(store.list_versions()),
        ):
            with pytest.raises(ServiceUnavailable, match="mount or restore it"):
                write()
    assert not folder.exists() or not list(folder.iterdir())


def test_a_blob_that_alone_is_missing_is_missing(folder: Path) -> None:
    store = Store(str(folder))
    blob = store.put_blob(b"x")
    store.put_blob(b"y")
    next(path for path in folder.rglob("*") if path.name == blob.digest.removeprefix("sha256:")).unlink()
    with pytest.raises(MissingBlob, match="missing"):
        Store(str(folder)).read_blob(blob.digest)


def test_a_store_of_an_earlier_release_is_marked(folder: Path) -> None:
    blob = Store(str(folder)).put_blob(b"x")
    (folder / "store.json").unlink()
    later = Store(str(folder), expected=lambda: True)
    assert later.read_blob(blob.digest) == b"x"
    later.put_blob(b"y")
    assert (folder / "store.json").is_file()
    shutil.rmtree(folder / "blobs")
    with pytest.raises(MissingBlob):  # the mark is there, so the store is too
        Store(str(folder)).read_blob(blob.digest)
