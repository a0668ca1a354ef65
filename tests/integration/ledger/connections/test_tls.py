"""TLS with an authority of one's own, and a socket, as the address of Postgres.

The server is behind a PgBouncer in session mode, because that of the wheel has no TLS.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from longshore.producers.waiting import wait_for
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.migrate import migrate
from longshore.shared.settings import Settings
from tests.integration.certificates import write_certificates
from tests.integration.pgbouncer import pgbouncer
from tests.integration.support import empty_database, run, submit
from tests.waiting import TIMEOUT_S

#: What the error of a certificate that is not valid begins and ends with.
REFUSED = r"^Postgres at 127\.0\.0\.1:\d+ cannot be reached: .*; check sslmode, sslrootcert, sslcert and sslkey in "


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Two authorities, each with a certificate for 127.0.0.1, and a folder for a socket."""
    # Short, because the path of a socket has at most 107 bytes, and open to the user that PgBouncer runs as.
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        for authority in ("own", "other"):
            (folder / authority).mkdir()
            write_certificates(folder / authority)
        (folder / "socket").mkdir()
        (folder / "socket").chmod(0o777)
        yield folder


@pytest.fixture(scope="module")
def address(services: Settings, folder: Path, free_port: Callable[[], int]) -> Iterator[str]:
    """The address of an empty database, without options."""
    port = free_port()
    with (
        empty_database(services) as settings,
        pgbouncer(settings.database_url, "session", port, certificates=folder / "own", socket=folder / "socket") as url,
    ):
        yield urlsplit(url)._replace(query="").geturl()


def check_job(url: str) -> None:
    """Migrate, and run a job while another thread waits for its end."""
    migrate(url)
    with Ledger(url) as ledger, ThreadPoolExecutor(1) as background:
        job = submit(ledger, 1)
        waited = background.submit(wait_for, ledger, job, None, lambda _: None)
        run(ledger, job)
        assert waited.result(TIMEOUT_S).state == "succeeded"


def uses_tls(url: str) -> bool:
    with Ledger(url) as ledger, ledger.database.connection() as conn:
        return conn.pgconn.ssl_in_use


def test_the_right_authority_is_accepted(address: str, folder: Path) -> None:
    url = f"{address}?sslmode=verify-full&sslrootcert={folder}/own/ca.pem"
    check_job(url)
    assert uses_tls(url)
    assert not uses_tls(f"{address}?sslmode=disable")


@pytest.mark.parametrize(
    ("host", "authority", "reason"),
    [
        ("127.0.0.1", "other/ca.pem", "certificate verify failed"),
        ("127.0.0.1", "absent/ca.pem", "root certificate file .* does not exist"),
        # The certificate is for the number.
        ("localhost", "own/ca.pem", "does not match host name"),
    ],
)
def test_another_authority_and_another_host_are_refused(
    address: str, folder: Path, host: str, authority: str, reason: str
) -> None:
    wrong = f"{address.replace('127.0.0.1', host)}?sslmode=verify-full&sslrootcert={folder}/{authority}"
    expected = REFUSED.replace(r"127\.0\.0\.1", host) + "LONGSHORE_DATABASE_URL$"
    with Ledger(wrong) as ledger, pytest.raises(ServiceUnavailable, match=expected) as refused:
        ledger.queries.jobs()
    assert refused.match(reason)
    with pytest.raises(ServiceUnavailable, match=expected):
        migrate(wrong)


def test_a_server_without_tls_is_refused(services: Settings) -> None:
    url = f"{urlsplit(services.database_url)._replace(query='').geturl()}?sslmode=verify-full&sslrootcert=system"
    with Ledger(url) as ledger, pytest.raises(ServiceUnavailable, match=REFUSED):
        ledger.queries.jobs()


def test_a_socket_works(address: str, folder: Path) -> None:
    parts = urlsplit(address)
    url = f"postgresql://{parts.username}@{parts.path}?host={folder}/socket&port={parts.port}"
    check_job(url)
    with Ledger(url) as ledger:
        assert ledger.database.address == f"{folder}/socket:{parts.port}"
        assert ledger.queries.jobs()
