"""The page about several machines: its migration makes the logins, and a worker's file of addresses is enough."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from longshore.shared.settings import Settings
from tests.integration.command_line import CommandLine, without_settings
from tests.integration.documentation.pages import DOCS, blocks

PAGE = "how-to/several-machines.md"
LOGINS = ("worker", "relay", "producer", "operator")


@pytest.fixture
def secrets(services: Settings, tmp_path: Path) -> Iterator[Path]:
    """The passwords of the page's logins, which are gone from the server at the end."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name in LOGINS:
        (folder / name).write_text(f"password-of-{name}\n")
    yield folder
    with psycopg.connect(services.database_url) as conn:
        for name in LOGINS:
            conn.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


def test_the_tables_and_logins_are_made_and_a_machine_is_checked(
    secrets: Path, fresh: Settings, tmp_path: Path
) -> None:
    [migrate, check] = blocks(PAGE)
    [command] = re.findall(r"^longshore (migrate .*)", migrate.text.replace("\\\n", " "), re.MULTILINE)
    migrated = CommandLine({**without_settings(), **fresh.environment()})(
        *(word.replace("secrets/", f"{secrets}/") for word in shlex.split(command))
    )
    assert migrated.code == 0, migrated.err
    assert f"logins: {', '.join(LOGINS)}" in migrated.err

    # The file of addresses, with those of this machine.
    [file] = re.findall(r"^```text\n(LONGSHORE_.*?)^```", (DOCS / PAGE).read_text(), re.DOTALL | re.MULTILINE)
    shown = dict(line.split("=", 1) for line in file.splitlines())
    parts = urlsplit(fresh.database_url)
    user = urlsplit(shown["LONGSHORE_DATABASE_URL"]).username
    here = {
        "LONGSHORE_REDIS_URL": fresh.redis_url,
        "LONGSHORE_REDIS_PASSWORD_FILE": "",
        "LONGSHORE_DATABASE_URL": parts._replace(netloc=f"{user}@{parts.hostname}:{parts.port}").geturl(),
        "LONGSHORE_DATABASE_PASSWORD_FILE": str(secrets / "worker"),
        "LONGSHORE_STORE": f"file://{tmp_path}/store",
    }
    assert shown.keys() == here.keys()
    machine = CommandLine({**without_settings(), **here})
    for words in map(shlex.split, check.text.splitlines()):
        done = machine(*words[1:])
        # Nothing runs yet, which the first says.
        assert done.code == (1 if "doctor" in words else 0), done.err
    checks = {row.split()[0]: row.split()[1] for row in machine("doctor").out.splitlines()}
    assert {name: checks[name] for name in ("redis", "postgres", "schema", "store")} == {
        "redis": "ok",
        "postgres": "ok",
        "schema": "ok",
        "store": "ok",
    }
