"""A Postgres for simulations alone: nothing on it has to survive, so it writes as little as possible."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from longshore.broker import embedded
from longshore.shared.settings import Process, load_settings

_FAST = ("fsync", "full_page_writes", "synchronous_commit", "autovacuum")


@contextmanager
def server() -> Iterator[str]:
    """Start one, and remove it in the end. Yields the URL of a database on it."""
    # Not in TMPDIR: run by root, Postgres is another user, who must be able to reach it.
    folder = Path(tempfile.mkdtemp(prefix="longshore-simulation-", dir="/tmp"))
    folder.chmod(0o711)
    try:
        embedded.up(folder / "home", detach=True, services=())
        try:
            settings = load_settings(home=folder / "home", environ={}, process=Process.OWNER)
            url = settings.database_url
            make_fast(url)
            yield url
        finally:
            embedded.down(folder / "home")
    finally:
        shutil.rmtree(folder)


def make_fast(url: str) -> None:
    """Turn off what makes the data of a whole server durable."""
    with psycopg.connect(url, autocommit=True) as conn:
        for setting in _FAST:
            conn.execute(f"ALTER SYSTEM SET {setting} = off")
        conn.execute("SELECT pg_reload_conf()")
