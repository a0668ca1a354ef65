"""What jobs may read and write: system folders, roots, links and URLs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from longshore.shared.datasets.access.roots import DATA_ROOTS, DataRoots, data_roots
from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.open import open_source
from longshore.shared.datasets.outputs.folder import OutputFolder
from longshore.shared.datasets.outputs.pattern import OutputPattern
from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.specs.jobs import FileInput

JOB = UUID(int=1)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """The roots are read once in a process."""
    data_roots.cache_clear()
    yield
    data_roots.cache_clear()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    monkeypatch.setenv(DATA_ROOTS, f"{folder},s3://bucket/data/, https://data.example.org")
    return folder


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "/dev/zero", "/var/run/../../etc/shadow"])
def test_without_roots_no_system_folder_is_read(path: str) -> None:
    with pytest.raises(InvalidInput, match="a folder of the operating system"):
        detect(path, "csv")
    with pytest.raises(DataError, match="a folder of the operating system"):
        open_source(FileInput(uri=path, format="csv"))


@pytest.mark.parametrize("folder", ["/etc/cron.d", "/usr/lib/x", "/proc/1", "/var/spool/cron"])
def test_without_roots_no_system_folder_is_written(folder: str) -> None:
    with pytest.raises(DataError, match=f"cannot write {folder}: a folder of the operating system"):
        OutputFolder(OutputPattern.parse(f"{folder}/*.jsonl"), JOB)


def test_only_roots_are_read_and_written(root: Path) -> None:
    (root / "a.csv").write_text("x\n1\n")
    outside = root.with_name("outside.csv")
    outside.write_text("x\n1\n")
    assert open_source(detect(str(root / "a.csv"))).rows == 1
    with pytest.raises(InvalidInput, match="outside the folders and URLs"):
        detect(str(outside))
    with pytest.raises(InvalidInput, match="outside the folders and URLs"):
        detect(f"{root.parent}/*.csv", "images")
    with pytest.raises(DataError, match="outside the folders and URLs"):
        open_source(FileInput(uri=str(outside), format="csv"))
    with pytest.raises(DataError, match="outside the folders and URLs"):
        open_source(FileInput(uri=f"{root}/../outside.csv", format="csv"))
    OutputFolder(OutputPattern.parse(f"{root}/out/*.jsonl"), JOB).open("a.jsonl").close()
    with pytest.raises(DataError, match="outside the folders and URLs"):
        OutputFolder(OutputPattern.parse(f"{root.parent}/out/*.jsonl"), JOB)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "npy", "hdf5", "jsonl", "arrow"])
def test_a_link_in_the_place_of_a_file_is_not_followed(root: Path, suffix: str) -> None:
    secret = root.with_name(f"secret.{suffix}")
    secret.write_text("the secret\n")
    (root / f"a.{suffix}").symlink_to(secret)
    with pytest.raises(DataError, match="outside the folders and URLs") as error:
        open_source(FileInput.model_validate({"uri": str(root / f"a.{suffix}"), "format": suffix}))
    assert "the secret" not in str(error.value)


def test_a_folder_that_became_a_link_is_not_written(root: Path) -> None:
    folder = OutputFolder(OutputPattern.parse(f"{root}/out/*.jsonl"), JOB)
    elsewhere = root.with_name("elsewhere")
    elsewhere.mkdir()
    (root / "out").symlink_to(elsewhere)
    with pytest.raises(DataError, match="outside the folders and URLs"):
        folder.open("_hidden/0-1.jsonl")
    assert list(elsewhere.iterdir()) == []


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(DataError, match="not an ordinary file"):
        open_source(FileInput(uri=str(tmp_path / "a.csv"), format="csv"))


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("s3://bucket/data/a.csv", True),
        ("s3://bucket/database/a.csv", False),
        ("s3://bucket/data/../keys.csv", False),
        ("s3://other/data/a.csv", False),
        ("https://data.example.org/a.csv", True),
        ("https://data.example.org.evil.net/a.csv", False),
        ("https://data.example.org@evil.net/a.csv", False),
        ("http://data.example.org/a.csv", False),
        ("simplecache::https://data.example.org/a.csv", True),
        ("simplecache::file:///etc/passwd", False),
        ("zip://a.csv::s3://bucket/data/a.zip", True),
        ("reference://::https://data.example.org/a.json", False),
        # fsspec opens the first address that is no archive and no cache, whatever follows it.
        ("simplecache::file:///etc/passwd::s3://bucket/data/a.csv", False),
        ("https://evil.net/a.csv::s3://bucket/data/a.csv", False),
        ("/etc/passwd::s3://bucket/data/a.csv", False),
        ("zip://a.csv::file:///etc/a.zip::s3://bucket/data/a.zip", False),
        ("zip://a.csv::simplecache::s3://bucket/data/a.zip", True),
    ],
)
def test_urls_are_allowed_by_prefix(root: Path, url: str, allowed: bool) -> None:
    if allowed:
        data_roots().check(url, "read")
        return
    with pytest.raises(DataError, match="cannot read"):
        data_roots().check(url, "read")


def test_a_malformed_setting_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"LONGSHORE_DATA_ROOTS: 'data'"):
        DataRoots.load({DATA_ROOTS: "data"})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of several users")
def test_a_link_of_another_user_to_a_file_of_ours_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("x\n1\n")
    link = tmp_path / "a.csv"
    link.symlink_to(secret)
    assert open_source(detect(str(link))).rows == 1
    os.lchown(link, 1234, 1234)
    with pytest.raises(DataError, match="a link to a file of another user"):
        open_source(FileInput(uri=str(link), format="csv"))
