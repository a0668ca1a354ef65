from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from longshore.shared.errors import DataError, InvalidInput, ServiceUnavailable
from longshore.shared.store.address import is_remote, public, without_secrets
from longshore.shared.store.open import open_folder
from longshore.shared.store.store import Store


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("/models", "/models"),
        ("/odd?name@x", "/odd?name@x"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("sftp://ann:s3cret@host/models", "sftp://host/models"),
        ("simplecache::sftp://ann:p@ss@host/x", "simplecache::sftp://host/x"),
        ("https://host/x.csv?X-Signature=abcdef", "https://host/x.csv"),
    ],
)
def test_an_address_is_shown_without_secrets(address: str, shown: str) -> None:
    assert public(address) == shown


def test_a_drivers_words_lose_the_secrets() -> None:
    said = without_secrets("login ann with s3cret-word failed at host", "sftp://ann:s3cret-word@host/models")
    assert "s3cret-word" not in said
    assert "failed at host" in said


def test_what_is_remote() -> None:
    assert [is_remote(a) for a in ("/a", "a", "file:///a", "s3://a", "simplecache::file:///a")] == [
        False,
        False,
        False,
        True,
        True,
    ]


@pytest.mark.parametrize("url", ["", "nosuch://ann:s3cret@host/x", "memory::nosuch://ann:s3cret@x"])
def test_an_address_nobody_can_open_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="store") as error:
        Store(url)
    assert "s3cret" not in str(error.value)


def test_a_file_url_is_a_local_folder(tmp_path: Path) -> None:
    assert Store(f"file://{tmp_path}").name == str(tmp_path)
    assert open_folder("models").path == Path.cwd() / "models"


def test_a_store_in_the_place_of_a_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(str(tmp_path / "file"))
    with pytest.raises(ServiceUnavailable, match="cannot access") as error:
        store.put_blob(b"x")
    assert str(tmp_path / "file") in str(error.value)


def test_whatever_a_driver_raises_is_unavailable() -> None:
    store = Store("data://text/plain,abc")
    with pytest.raises(ServiceUnavailable, match="cannot access"):
        store.put_blob(b"x")


def test_an_interrupted_write_leaves_the_old_file(url: str) -> None:
    folder = open_folder(url)
    folder.write("a/b", iter([b"old"]))

    def broken() -> Iterator[bytes]:
        yield b"new"
        raise DataError("the source went away")

    with pytest.raises(DataError):
        folder.write("a/b", broken())
    assert folder.read("a/b") == b"old"
    assert folder.names("a") == ["b"]
    assert folder.names("tmp") == []


def test_sizes_and_names(url: str) -> None:
    folder = open_folder(url)
    assert folder.size("a/b") is None
    assert folder.names("a") == []
    folder.write("a/c", iter([b"12", b"3"]))
    folder.write("a/b", iter([b""]))
    assert (folder.size("a/b"), folder.size("a/c"), folder.names("a")) == (0, 3, ["b", "c"])
    assert b"".join(folder.blocks("a/c")) == b"123"
    folder.delete("a/b")
    folder.delete("a/b")
    assert folder.names("a") == ["c"]
    with pytest.raises(FileNotFoundError):
        folder.read("a/b")
    with pytest.raises(FileNotFoundError):
        next(folder.blocks("a/b"))


def test_a_part_is_read(url: str) -> None:
    folder = open_folder(url)
    folder.write("a", iter([b"12345"]))
    assert b"".join(folder.blocks("a", 3)) == b"45"
    assert b"".join(folder.blocks("a", 5)) == b""


def test_a_new_file_is_found_once_it_is_committed(url: str) -> None:
    folder = open_folder(url)
    file = folder.create()
    file.write(b"12")
    file.write(b"3")
    assert folder.names("a") == []
    file.commit("a/b")
    file.discard()
    assert (folder.read("a/b"), folder.names("tmp")) == (b"123", [])


def test_a_new_file_that_is_discarded_leaves_nothing(url: str) -> None:
    folder = open_folder(url)
    file = folder.create()
    file.write(b"12")
    file.discard()
    assert folder.names("tmp") == []


def test_two_folders_at_one_place_see_each_others_writes(url: str) -> None:
    one, two = open_folder(url), open_folder(url)
    assert two.names("a") == []
    one.write("a/b", iter([b"x"]))
    assert two.names("a") == ["b"]
    assert two.size("a/b") == 1


def test_files_are_readable_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        path = Store(str(tmp_path)).fetch_blob(Store(str(tmp_path)).put_blob(b"x"))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644
