from __future__ import annotations

import hashlib
import os
from pathlib import Path

import fsspec
import pytest

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.store.manifest import Blob, Manifest
from longshore.shared.store.store import Store


def overwrite(url: str, digest: str, content: bytes) -> None:
    """Damage a blob behind the store's back."""
    hexadecimal = digest.removeprefix("sha256:")
    with fsspec.open(f"{url}/blobs/sha256/{hexadecimal[:2]}/{hexadecimal}", "wb") as file:
        file.write(content)


def all_files(url: str) -> list[str]:
    files, root = fsspec.core.url_to_fs(url)
    return sorted(path.removeprefix(root) for path in files.find(root))


def test_bytes_come_back(store: Store, url: str) -> None:
    blob = store.put_blob(b"weights")
    assert blob == Blob(digest="sha256:" + hashlib.sha256(b"weights").hexdigest(), size=7)
    assert store.read_blob(blob.digest) == b"weights"
    assert store.fetch_blob(blob).read_bytes() == b"weights"
    hexadecimal = blob.digest.removeprefix("sha256:")
    assert all_files(url) == [f"/blobs/sha256/{hexadecimal[:2]}/{hexadecimal}", "/store.json"]


def test_a_file_of_several_blocks_comes_back(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "weights"
    source.write_bytes(os.urandom(3_000_000))
    blob = store.put_blob(source)
    assert blob.size == 3_000_000
    assert store.fetch_blob(blob).read_bytes() == source.read_bytes()


def test_no_bytes_are_a_blob_too(store: Store) -> None:
    assert store.read_blob(store.put_blob(b"").digest) == b""


def test_the_same_bytes_are_written_once(store: Store, url: str) -> None:
    path = store.fetch_blob(store.put_blob(b"same"))
    before = path.stat().st_ino
    assert store.fetch_blob(store.put_blob(b"same")) == path
    assert path.stat().st_ino == before
    assert len(all_files(url)) == 2  # with the mark of the store


@pytest.mark.parametrize("damage", [b"", b"weight", b"weights and more"])
def test_damage_is_found_and_mended_by_another_put(store: Store, url: str, damage: bytes) -> None:
    blob = store.put_blob(b"weights")
    overwrite(url, blob.digest, damage)
    with pytest.raises(CorruptBlob, match=blob.digest):
        store.read_blob(blob.digest)
    with pytest.raises(CorruptBlob, match="damaged"):
        store.fetch_blob(blob)
    store.put_blob(b"weights")
    assert store.fetch_blob(blob).read_bytes() == b"weights"


def test_a_flipped_bit_is_found(store: Store, url: str) -> None:
    blob = store.put_blob(b"weights")
    overwrite(url, blob.digest, b"weighty")
    with pytest.raises(CorruptBlob):
        store.read_blob(blob.digest)
    with pytest.raises(CorruptBlob):
        store.fetch_blob(blob)


def test_a_local_blob_with_a_flipped_bit_is_mended(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    blob = store.put_blob(b"weights")
    overwrite(str(tmp_path), blob.digest, b"weighty")
    store.put_blob(b"weights")
    assert store.read_blob(blob.digest) == b"weights"


def test_a_damaged_copy_in_the_cache_is_fetched_anew(url: str, tmp_path: Path) -> None:
    store = Store(url, cache=tmp_path / "cache")
    blob = store.put_blob(b"weights")
    for copy in (tmp_path / "cache").rglob("*"):
        if copy.is_file():
            copy.write_bytes(b"weighty")
    assert store.fetch_blob(blob).read_bytes() == b"weights"


def test_a_missing_blob_is_named_with_its_place(store: Store) -> None:
    store.put_blob(b"another")
    blob = Blob(digest="sha256:" + "0" * 64, size=1)
    for call in (lambda: store.read_blob(blob.digest), lambda: store.fetch_blob(blob)):
        with pytest.raises(CorruptBlob, match="missing") as error:
            call()
        assert blob.digest in str(error.value)
        assert store.name in str(error.value)


@pytest.mark.parametrize("digest", ["../../../etc/passwd", "sha256:../../x", "sha256:" + "g" * 64, ""])
def test_what_is_no_digest_never_becomes_a_path(store: Store, digest: str) -> None:
    with pytest.raises(InvalidInput, match="digest"):
        store.read_blob(digest)


def test_a_missing_source_is_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="nothing-here"):
        store.put_blob(tmp_path / "nothing-here")


def test_no_temporary_files_stay(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    blob = store.put_blob(b"x")
    assert sorted(path.name for path in (tmp_path / "store").rglob("*") if path.is_file()) == sorted(
        ["store.json", blob.digest.removeprefix("sha256:")]
    )


def test_a_manifest_comes_back(store: Store, manifest: Manifest) -> None:
    digest = store.put_manifest(manifest)
    assert digest == manifest.digest
    assert store.get_manifest(digest) == manifest


def test_a_changed_manifest_is_refused(store: Store, url: str, manifest: Manifest) -> None:
    digest = store.put_manifest(manifest)
    overwrite(url, digest, manifest.canonical().replace(b"256", b"257"))
    with pytest.raises(CorruptBlob, match=digest):
        store.get_manifest(digest)
