"""The checks of ``longshore doctor`` that need no service."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from longshore.producers.cli.checks.check import Level
from longshore.producers.cli.checks.installation import (
    CLIENT_PACKAGES,
    EXTRAS,
    check_extra,
    check_installation,
    check_space,
    space_level,
)
from longshore.producers.cli.checks.redis import parse_release
from longshore.producers.cli.checks.store import check_store
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.settings import Settings

PROJECT = tomllib.loads((Path(__file__).parents[5] / "pyproject.toml").read_text())["project"]


def settings(store: Path) -> Settings:
    return Settings(redis_url="redis://x", database_url="postgresql://x", store=f"file://{store}", producer="tests")


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", requirement)[0] for requirement in requirements}


def test_the_extras_match_the_project_file() -> None:
    declared = PROJECT["optional-dependencies"]
    assert {extra: set(packages) for extra, packages in EXTRAS.items()} == {
        extra: names(declared[extra]) for extra in declared if extra not in ("all", "dev", "docs")
    }
    assert set(CLIENT_PACKAGES) <= names(PROJECT["dependencies"])


def test_everything_is_installed_here() -> None:
    checks = {check.name: check for check in check_installation()}
    assert all(check.level is Level.OK for check in checks.values())
    assert "torch 2" in checks["extra worker"].detail


def test_an_incomplete_extra_is_a_warning() -> None:
    half = check_extra("half", ("click", "not-there"))
    assert half.level is Level.WARN
    assert half.detail == "not-there not installed; run: pip install 'longshore[half]'"
    # Packages of other extras, and psutil, on which many depend, do not mean that the extra is installed.
    assert check_extra("none", ("not-there", "psutil", "torch")).level is Level.OK


def test_the_check_of_the_store_leaves_no_file(tmp_path: Path) -> None:
    store = tmp_path / "store"
    assert check_store(settings(store)).level is Level.OK
    assert [path for path in store.rglob("*") if path.is_file()] == []


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file")
    with pytest.raises(ServiceUnavailable, match="store"):
        check_store(settings(tmp_path / "store"))


def test_space_is_checked_where_the_store_will_be(tmp_path: Path) -> None:
    check = check_space(settings(tmp_path / "not" / "yet"))
    assert check.level is not Level.FAIL
    assert str(tmp_path) in check.detail
    assert [space_level(free) for free in (0, 2**30, 2**40)] == [Level.FAIL, Level.WARN, Level.OK]


def test_releases_are_compared_as_numbers() -> None:
    assert parse_release("6.2.9") < parse_release("6.2.14") < parse_release("7.4") < parse_release("10.0.1-rc1")
