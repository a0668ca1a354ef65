"""Blobs have an age, which a second put takes back to nothing."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec
import pytest

from longshore.shared.store.blobs import blob_path
from longshore.shared.store.open import open_folder
from longshore.shared.store.store import Store

HOUR = timedelta(hours=1)


def age(url: str, digest: str, by: timedelta) -> None:
    """Let a blob have been put so long ago."""
    moment = datetime.now(UTC) - by
    if url.startswith("memory:"):
        files = fsspec.filesystem("memory")
        files.store[files._strip_protocol(f"{url}/{blob_path(digest)}")].modified = moment
    else:
        os.utime(Path(url) / blob_path(digest), (moment.timestamp(), moment.timestamp()))


def old(store: Store, by: timedelta) -> set[str]:
    return {blob.digest for blob in store.old_blobs(datetime.now(UTC) - by)}


def test_only_blobs_that_are_old_are_listed_and_deleted(store: Store, url: str) -> None:
    one, two = store.put_blob(b"one"), store.put_blob(b"three")
    age(url, one.digest, 5 * HOUR)
    assert list(store.old_blobs(datetime.now(UTC) - 4 * HOUR)) == [one]
    assert old(store, 6 * HOUR) == set()

    before = datetime.now(UTC) - 4 * HOUR
    assert not store.delete_old_blob(two.digest, before)
    assert store.delete_old_blob(one.digest, before)
    assert not store.delete_old_blob(one.digest, before)
    assert store.read_blob(two.digest) == b"three"
    assert old(store, -HOUR) == {two.digest}
    assert open_folder(url).names("tmp") == []


def test_what_is_put_again_is_new_again(store: Store, url: str) -> None:
    blob = store.put_blob(b"same")
    age(url, blob.digest, 5 * HOUR)
    before = datetime.now(UTC) - 4 * HOUR
    assert store.put_blob(b"same") == blob
    assert not store.delete_old_blob(blob.digest, before)
    assert store.read_blob(blob.digest) == b"same"
    assert [name.rpartition(".")[2] for name in open_folder(url).names(str(Path(blob_path(blob.digest)).parent))] == [
        blob.digest.removeprefix("sha256:")
    ]


def test_only_files_of_the_store_count_as_abandoned(tmp_path: Path) -> None:
    """A store can be in a folder with other files: those of an application, or of other people."""
    digits, digest = "0" * 32, "ab" * 32
    own = {
        *(f"tmp/{digits}", f"blobs/sha256/ab/{digest}.{digits}.tmp", f"store.json.{digits}.tmp"),
        *(f"models/digits/versions/1.json.{digits}.tmp", f"models/digits/aliases/best.json.{digits}.tmp"),
    }
    others = {"tmp/report.csv", f"tmp/dump/{digits}", f"exports/rows.parquet.{digits}.tmp", f"backup/tmp/{digits}"}
    for path in own | others:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"half")
    found = {file.path for file in Store(str(tmp_path)).old_temporary_files(datetime.now(UTC) + HOUR)}
    assert found == own


def test_a_blob_that_was_deleted_can_be_put_again(store: Store, url: str) -> None:
    blob = store.put_blob(b"same")
    age(url, blob.digest, 5 * HOUR)
    assert store.delete_old_blob(blob.digest, datetime.now(UTC))
    assert store.put_blob(b"same") == blob
    assert store.read_blob(blob.digest) == b"same"


def test_what_is_refreshed_while_it_is_set_aside_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    blob = store.put_blob(b"same")
    age(str(tmp_path), blob.digest, 5 * HOUR)
    rename = Path.rename

    def put_in_between(self: Path, target: Path) -> Path:
        # The last moment at which it is there to be found.
        assert store.put_blob(b"same") == blob
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", put_in_between)
    assert not store.delete_old_blob(blob.digest, datetime.now(UTC) - 4 * HOUR)
    assert store.read_blob(blob.digest) == b"same"


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    blob = store.put_blob(b"x")
    folder = (tmp_path / blob_path(blob.digest)).parent
    (folder / "notes.txt").write_text("mine")
    (folder / ("0" * 63)).write_text("mine")
    (tmp_path / "blobs/sha256/README").write_text("mine")
    assert old(store, -HOUR) == {blob.digest}
