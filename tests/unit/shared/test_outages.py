"""Which errors are outages, by what the operating system and real servers say."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.open import open_source
from longshore.shared.errors import DataError, InvalidInput, MissingData, ServiceUnavailable
from longshore.shared.outages import is_outage
from longshore.shared.specs.jobs import FileInput
from tests.http_server import Handler, serving


@contextmanager
def server(status: int) -> Iterator[str]:
    """A real HTTP server that answers everything with one status."""

    class OneStatus(Handler):
        def respond(self) -> None:
            self.answer(status)

    with serving(OneStatus) as address:
        yield f"{address}/rows.csv"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EDQUOT])
def test_outages_of_a_file_system(code: int) -> None:
    assert is_outage(OSError(code, "words"))


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EACCES, errno.EISDIR, errno.EINVAL])
def test_what_stays_is_no_outage(code: int) -> None:
    assert not is_outage(OSError(code, "words"))


def test_what_a_driver_hides_is_seen() -> None:
    hidden = FileNotFoundError("rows.csv")
    hidden.__cause__ = ConnectionResetError()
    assert is_outage(hidden)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_unavailable(status: int) -> None:
    with server(status) as url:
        with pytest.raises(ServiceUnavailable, match=f"status {status}"):
            detect(url)
        with pytest.raises(ServiceUnavailable, match=f"status {status}"):
            open_source(FileInput(uri=url, format="csv"))


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_missing_page_is_missing(status: int) -> None:
    with server(status) as url:
        with pytest.raises(InvalidInput, match=r"No such file|status"):
            detect(url)
        with pytest.raises(MissingData):
            open_source(FileInput(uri=url, format="csv"))


def test_a_server_that_is_down_is_unavailable() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/rows.csv"
        with pytest.raises(ServiceUnavailable):
            detect(url)
        with pytest.raises(ServiceUnavailable):
            open_source(FileInput(uri=url, format="csv"))


def test_a_missing_file_is_missing_only_if_its_folder_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "mount"
    folder.mkdir()
    data = FileInput(uri=str(folder / "rows.csv"), format="csv", size=3)
    (folder / "another.csv").write_text("x\n1\n")
    with pytest.raises(MissingData, match="No such file"):
        open_source(data)
    (folder / "another.csv").unlink()
    with pytest.raises(ServiceUnavailable, match="missing or empty"):
        open_source(data)
    folder.rmdir()
    with pytest.raises(ServiceUnavailable, match="missing or empty"):
        open_source(data)


def test_a_damaged_file_is_no_outage(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(DataError) as error:
        open_source(FileInput(uri=str(path), format="parquet"))
    assert not isinstance(error.value, MissingData)
