"""HTTP is guarded at each connection: addresses, names and redirects."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from longshore.shared.datasets.access.roots import DATA_ROOTS, data_roots
from longshore.shared.datasets.detect import detect
from longshore.shared.datasets.open import open_source
from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.specs.jobs import FileInput
from tests.http_server import Handler, serving

CONTENT = b"x\n1\n2\n"


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """The roots are read once in a process."""
    data_roots.cache_clear()
    yield
    data_roots.cache_clear()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A real server: ``/rows.csv`` has rows, and any other path redirects to the URL in its query."""

    class RowsOrRedirect(Handler):
        def respond(self) -> None:
            _, _, target = self.path.partition("?")
            if target:
                self.answer(302, Location=target)
            else:
                self.answer(200, CONTENT)

    with serving(RowsOrRedirect) as address:
        yield address


def test_without_roots_a_server_is_read(server: str) -> None:
    assert open_source(detect(f"{server}/rows.csv")).rows == 2
    assert detect(f"{server}/rows.csv?/other.csv").size == len(CONTENT)  # a redirect on the same server


def test_a_redirect_to_another_server_is_refused(server: str) -> None:
    other = server.replace("127.0.0.1", "localhost")
    with pytest.raises(InvalidInput, match="redirects to localhost"):
        detect(f"{server}/rows.csv?{other}/rows.csv")
    with pytest.raises(DataError, match="redirects to localhost"):
        open_source(FileInput(uri=f"{server}/rows.csv?{other}/rows.csv", format="csv"))


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/rows.csv",
        "http://[0:0:0:0:0:ffff:a9fe:a9fe]/rows.csv",
        "http://[fe80:0:0:0:0:0:0:1]/rows.csv",
        "http://[fd00:ec2:0:0:0:0:0:254]/rows.csv",
        "http://100.100.100.200/rows.csv",
        "http://metadata.google.internal/rows.csv",
        "simplecache::http://169.254.169.254/rows.csv",
        "webhdfs://169.254.169.254/rows.csv",
    ],
)
def test_where_clouds_give_out_credentials_is_never_read(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for roots in ("", "http://,simplecache://,webhdfs://", "http://169.254.169.254/"):
        monkeypatch.setenv(DATA_ROOTS, roots)
        data_roots.cache_clear()
        with pytest.raises(DataError, match=r"credentials|outside the folders"):
            open_source(FileInput(uri=url, format="csv"))


def test_a_private_address_needs_a_root_that_names_it(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_ROOTS, "http://")
    with pytest.raises(InvalidInput, match="on a private network"):
        detect(f"{server}/rows.csv")
    # The name is harmless; what it is resolved to is not.
    with pytest.raises(InvalidInput, match="on a private network"):
        detect(f"{server.replace('127.0.0.1', 'localhost')}/rows.csv")
    monkeypatch.setenv(DATA_ROOTS, server)
    data_roots.cache_clear()
    assert detect(f"{server}/rows.csv").size == len(CONTENT)


def test_without_its_root_no_server_is_read(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATA_ROOTS, "/srv")
    with pytest.raises(InvalidInput, match="outside the folders and URLs"):
        detect(f"{server}/rows.csv")
