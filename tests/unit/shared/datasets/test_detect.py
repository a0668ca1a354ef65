from __future__ import annotations

import os
import uuid
from pathlib import Path

import fsspec
import pytest

from longshore.broker.embedded.services.ports import any_free_port
from longshore.shared.datasets.detect import detect
from longshore.shared.errors import InvalidInput, ServiceUnavailable
from longshore.shared.specs.jobs import FileInput


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.parquet", "parquet"),
        ("a.PQ", "parquet"),
        ("a.csv", "csv"),
        ("a.b.jsonl", "jsonl"),
        ("a.ndjson", "jsonl"),
        ("a.json-lines", "jsonl"),
        ("a.arrow", "arrow"),
        ("a.feather", "arrow"),
        ("a.ipc", "arrow"),
        ("a.npy", "npy"),
        ("a.npz", "npz"),
        ("a.h5", "hdf5"),
        ("a.HDF5", "hdf5"),
        ("a.tar", "images"),
        ("a.tgz", "images"),
        ("a.b.tar.gz", "images"),
    ],
)
def test_the_suffix_says_the_format(tmp_path: Path, name: str, format: str) -> None:
    (tmp_path / name).write_text("x")
    expected = {"uri": str(tmp_path / name), "format": format, "size": 1}
    assert detect(tmp_path / name).model_dump(exclude_none=True) == expected
    assert detect(f"file://{tmp_path / name}").uri == str(tmp_path / name)


def test_relative_paths_become_absolute(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")
    assert detect(os.path.relpath(tmp_path / "a.csv")).uri.startswith("/")


def test_a_given_format_wins(tmp_path: Path) -> None:
    (tmp_path / "a.data").write_text("x")
    assert detect(tmp_path / "a.data", format="csv").format == "csv"
    with pytest.raises(InvalidInput, match="format: 'xml'"):
        detect(tmp_path / "a.data", format="xml")


@pytest.mark.parametrize("name", ["a.text", "a", "a.csv.gz"])
def test_an_unknown_suffix_is_refused_with_those_known(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(InvalidInput, match=r"data: .*\.parquet, \.pq, \.csv, \.jsonl"):
        detect(tmp_path / name)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.csv").touch()
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    for name, said in [
        ("empty.csv", "is empty"),
        ("folder.csv", "no Parquet files"),
        ("none.csv", "No such file"),
        ("loop.csv", "symbolic links"),
        ("a\0b.csv", "null byte"),
    ]:
        with pytest.raises(InvalidInput, match=said) as error:
            detect(tmp_path / name)
        assert error.value.field == "data"
    with pytest.raises(InvalidInput, match="empty"):
        detect("")


def test_remote_files_are_looked_at_too() -> None:
    root = f"/{uuid.uuid4().hex}"
    files = fsspec.filesystem("memory")
    with files.open(f"{root}/a.csv", "wb") as file:
        file.write(b"a\n1\n")
    files.touch(f"{root}/empty.csv")
    files.makedirs(f"{root}/folder.csv")
    try:
        url = f"memory:/{root}/a.csv"
        assert detect(url) == FileInput(uri=url, format="csv", size=4)
        for name, said in [("empty.csv", "is empty"), ("folder.csv", "no Parquet files"), ("none.csv", "No such file")]:
            with pytest.raises(InvalidInput, match=said):
                detect(f"memory:/{root}/{name}")
    finally:
        files.rm(root, recursive=True)


def test_an_unknown_protocol_is_refused_without_its_password() -> None:
    with pytest.raises(InvalidInput, match="nosuch") as error:
        detect("nosuch://ann:s3cret@host/a.csv?key=s3cret")
    assert "s3cret" not in str(error.value)


def test_credentials_that_are_missing_are_not_an_outage_and_a_refused_connection_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from s3fs import S3FileSystem

    for variable in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(variable, "/none")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{any_free_port()}")
    for key, error in (("", InvalidInput), ("key", ServiceUnavailable)):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key)
        for url in ("s3://bucket/rows.csv", "s3://bucket/rows/*.parquet", "s3://bucket/rows/"):
            S3FileSystem.clear_instance_cache()
            with pytest.raises(error, match=r"no credentials .* AWS_ACCESS_KEY_ID" if not key else "connect") as raised:
                detect(url)
            assert type(raised.value) is error
    S3FileSystem.clear_instance_cache()
