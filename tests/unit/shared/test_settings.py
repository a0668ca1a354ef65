"""Where a cluster is looked for, in which order, and what an error says when it is not found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from longshore.shared.errors import HomeError, InvalidInput, NoCluster
from longshore.shared.settings import CLUSTER_FILE, Settings, default_producer, home_folder, load_settings

ADDRESSES = {
    "LONGSHORE_REDIS_URL": "redis://redis:6379/0",
    "LONGSHORE_DATABASE_URL": "postgresql://longshore@postgres:5432/longshore",
    "LONGSHORE_STORE": "s3://bucket/store",
}
CLUSTER = {"redis_url": "redis://:home@h/0", "database_url": "postgresql://u:home@h/d", "store": "file:///home/store"}


def write_home(folder: Path, content: str | None = None) -> Path:
    (folder / CLUSTER_FILE).write_text(json.dumps(CLUSTER) if content is None else content)
    return folder


def write(file: Path, content: bytes) -> str:
    file.write_bytes(content)
    return str(file)


def test_arguments_come_before_the_environment_and_that_before_the_home(tmp_path: Path) -> None:
    environ = {**ADDRESSES, "LONGSHORE_HOME": str(write_home(tmp_path)), "LONGSHORE_PRODUCER": "etl"}

    given = load_settings(redis_url="redis://mine/1", environ=environ)
    assert given.redis_url == "redis://mine/1"
    assert given.database_url == ADDRESSES["LONGSHORE_DATABASE_URL"]
    assert given.store == ADDRESSES["LONGSHORE_STORE"]
    assert (given.producer, given.home) == ("etl", tmp_path)
    assert load_settings(producer="nightly", environ=environ).producer == "nightly"

    at_home = load_settings(environ={"LONGSHORE_HOME": str(tmp_path)})
    assert (at_home.redis_url, at_home.database_url, at_home.store) == tuple(CLUSTER.values())
    assert (at_home.producer, at_home.home) == (default_producer(), tmp_path)


def test_asking_for_a_home_leaves_the_environment_aside(tmp_path: Path) -> None:
    environ = {**ADDRESSES, "LONGSHORE_REDIS_PASSWORD_FILE": "/missing", "LONGSHORE_HOME": "/elsewhere"}
    found = load_settings(home=write_home(tmp_path), environ=environ)
    assert found.redis_url == CLUSTER["redis_url"]
    assert found.home == tmp_path


@pytest.mark.parametrize("missing", list(ADDRESSES))
def test_some_addresses_without_the_others_are_refused(missing: str) -> None:
    environ = {name: value for name, value in ADDRESSES.items() if name != missing}
    with pytest.raises(InvalidInput, match=f"not set, though .* is; give all of .*{missing}") as caught:
        load_settings(environ=environ)
    assert caught.value.field == {"LONGSHORE_STORE": "store"}.get(missing, missing.removeprefix("LONGSHORE_").lower())


def test_an_empty_address_is_none(tmp_path: Path) -> None:
    environ = {**dict.fromkeys(ADDRESSES, ""), "LONGSHORE_HOME": str(write_home(tmp_path))}
    assert load_settings(environ=environ).redis_url == CLUSTER["redis_url"]


def test_no_cluster_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NoCluster, match=r"no cluster is up in .*home; start one with `longshore up`, or set"):
        load_settings(home=tmp_path / "home", environ={})


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "[" * 10_000, '{"redis_url": "redis://h"}'])
def test_a_damaged_cluster_file_is_named(tmp_path: Path, content: str) -> None:
    with pytest.raises(HomeError, match=rf"{CLUSTER_FILE} is damaged; run `longshore down --home {tmp_path}`"):
        load_settings(home=write_home(tmp_path, content), environ={})


def test_repr_shows_no_address() -> None:
    settings = load_settings(environ={**ADDRESSES, "LONGSHORE_REDIS_URL": "redis://:hidden@redis/0"})
    assert "hidden" not in repr(settings)
    assert "bucket" not in repr(settings)


def test_a_child_finds_the_same_cluster(tmp_path: Path) -> None:
    file = write(tmp_path / "password", b"secret\n")
    environ = {**ADDRESSES, "LONGSHORE_REDIS_PASSWORD_FILE": file, "LONGSHORE_DATABASE_PASSWORD_FILE": file}
    for home in ({}, {"LONGSHORE_HOME": str(tmp_path)}):
        settings = load_settings(environ={**environ, **home})
        assert load_settings(environ={**environ, **settings.environment()}) == settings


@pytest.mark.parametrize(
    ("name", "url", "completed"),
    [
        ("REDIS", "redis://redis:6379/0", "redis://:a%2Fb%20%40%25@redis:6379/0"),
        ("REDIS", "rediss://default@[::1]:6379", "rediss://default:a%2Fb%20%40%25@[::1]:6379"),
        ("REDIS", "redis://default:@redis", "redis://default:a%2Fb%20%40%25@redis"),
        ("DATABASE", "postgresql://u@one,two/d?x=a@b", "postgresql://u:a%2Fb%20%40%25@one,two/d?x=a@b"),
        ("DATABASE", "postgresql://u@db?sslmode=require", "postgresql://u:a%2Fb%20%40%25@db?sslmode=require"),
    ],
)
def test_a_password_file_completes_the_address(tmp_path: Path, name: str, url: str, completed: str) -> None:
    file = write(tmp_path / "password", b"a/b @%\r\n")
    environ = {**ADDRESSES, f"LONGSHORE_{name}_URL": url, f"LONGSHORE_{name}_PASSWORD_FILE": file}
    settings = load_settings(environ=environ)
    assert (settings.redis_url if name == "REDIS" else settings.database_url) == completed


def test_a_password_file_is_not_for_an_address_given_as_an_argument() -> None:
    environ = {**ADDRESSES, "LONGSHORE_REDIS_PASSWORD_FILE": "/missing"}
    assert load_settings(redis_url="redis://:own@h/0", environ=environ).redis_url == "redis://:own@h/0"


@pytest.mark.parametrize(
    ("url", "content", "field", "reason"),
    [
        ("redis://:known@redis/0", b"secret", "URL", "has a password, but .*_FILE is set too"),
        ("known-host", b"secret", "URL", "not a URL"),
        ("redis://redis/0", b"\n", "PASSWORD_FILE", "empty; write the password into it"),
        ("redis://redis/0", b"\xff", "PASSWORD_FILE", "not UTF-8 text"),
        ("redis://redis/0", None, "PASSWORD_FILE", "No such file or directory; make it readable"),
    ],
)
def test_a_useless_password_file_is_refused(
    tmp_path: Path, url: str, content: bytes | None, field: str, reason: str
) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    environ = {**ADDRESSES, "LONGSHORE_REDIS_URL": url, "LONGSHORE_REDIS_PASSWORD_FILE": str(file)}
    with pytest.raises(InvalidInput, match=reason) as caught:
        load_settings(environ=environ)
    assert caught.value.field == f"LONGSHORE_REDIS_{field}"
    assert "known" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_the_home_folder(tmp_path: Path) -> None:
    assert home_folder(tmp_path, {"LONGSHORE_HOME": "/other"}) == tmp_path
    assert home_folder(environ={"LONGSHORE_HOME": "/other"}) == Path("/other")
    assert home_folder("relative", {}) == Path.cwd() / "relative"
    assert home_folder("~", {}) == Path.home()
    default = home_folder(environ={})
    assert default == Path("/var/lib/longshore") if os.geteuid() == 0 else default.name == "longshore"


def test_settings_cannot_be_changed() -> None:
    settings = Settings(redis_url="r", database_url="d", store="s", producer="p")
    with pytest.raises(AttributeError):
        settings.producer = "other"  # type: ignore[misc]
