"""A real PgBouncer before a Postgres."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg

from tests.waiting import wait_until

_CONFIG = """
[databases]
* = host={host} port={port} user={user} password={password}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir = {socket}
auth_type = any
pool_mode = {mode}
"""
_TLS = """
client_tls_sslmode = allow
client_tls_key_file = {key}
client_tls_cert_file = {certificate}
"""


@contextmanager
def pgbouncer(
    database_url: str, mode: str, port: int, *, certificates: Path | None = None, socket: Path | None = None
) -> Iterator[str]:
    """Start PgBouncer, which must be installed (apt-get install pgbouncer). Returns the address through it.

    :param mode: ``session`` or ``transaction``.
    :param port: a free one.
    :param certificates: a folder with ``server.pem`` and ``server.key``, with which clients may ask for TLS.
    :param socket: a folder for a socket besides the port, which every user can reach and write to.
    """
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None, "pgbouncer is not installed; run: apt-get install pgbouncer"
    parts = urlsplit(database_url)
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        config, log = Path(folder) / "pgbouncer.ini", Path(folder) / "log"
        config.write_text(
            _CONFIG.format(
                host=parts.hostname,
                port=parts.port,
                user=parts.username,
                password=parts.password,
                listen=port,
                mode=mode,
                socket=socket or "",
            )
        )
        if certificates is not None:
            key, certificate = (Path(folder) / name for name in ("server.key", "server.pem"))
            for copy in (key, certificate):
                shutil.copyfile(certificates / copy.name, copy)
                copy.chmod(0o644)  # it runs as another user
            with config.open("a") as more:
                more.write(_TLS.format(key=key, certificate=certificate))
        Path(folder).chmod(0o755)
        # It refuses to run as root.
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        with log.open("wb") as output, subprocess.Popen([program, *user, config], stderr=output) as process:
            try:
                url = parts._replace(netloc=f"{parts.username}@127.0.0.1:{port}").geturl()
                wait_until(lambda: _answers(url) or process.poll() is not None, "an answer of PgBouncer", 20)
                assert process.poll() is None, log.read_text()
                yield url
            finally:
                process.send_signal(signal.SIGTERM)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
