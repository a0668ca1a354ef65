from __future__ import annotations

from pathlib import Path

import pytest

from longshore.broker.embedded.home import Home
from longshore.broker.flower import PASSWORD_FILE_VARIABLE, PASSWORD_VARIABLE, find_password, set_options
from longshore.shared.errors import InvalidInput
from longshore.shared.settings import Settings


def settings(home: Path | None = None) -> Settings:
    return Settings(redis_url="redis://", database_url="postgresql://", store="file:///", producer="me", home=home)


def test_the_environment_goes_before_a_file_and_a_file_before_the_home(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    secret = home.ensure_secrets().flower_password
    file = tmp_path / "password"
    file.write_text("from the file\n")
    assert find_password(settings(home.path), {}) == secret
    assert find_password(settings(home.path), {PASSWORD_FILE_VARIABLE: str(file)}) == "from the file"
    both = {PASSWORD_VARIABLE: "from the environment", PASSWORD_FILE_VARIABLE: str(file)}
    assert find_password(settings(home.path), both) == "from the environment"


def test_flower_is_never_open_to_all(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for environ in ({}, {PASSWORD_VARIABLE: ""}, {PASSWORD_FILE_VARIABLE: str(tmp_path / "empty")}):
        with pytest.raises(InvalidInput, match=PASSWORD_VARIABLE):
            find_password(settings(), environ)


def test_a_password_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=f"{PASSWORD_FILE_VARIABLE}: {tmp_path}/none: No such file"):
        find_password(settings(), {PASSWORD_FILE_VARIABLE: str(tmp_path / "none")})


def test_flower_gives_the_workers_no_command() -> None:
    """They refuse every one, and log it: by default, Flower asks them to send events every five seconds."""
    options = set_options("secret")
    assert (options.enable_events, options.read_only) == (False, True)
