from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from longshore.broker.embedded.home import Home
from longshore.shared.errors import HomeError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_home_is_closed_to_others(tmp_path: Path) -> None:
    home = Home(tmp_path / "deep" / "home")
    assert not home.exists()

    home.prepare()

    assert home.exists()
    assert mode(home.path) == (0o711 if os.geteuid() == 0 else 0o700)
    for folder in (home.run, home.redis, home.store, home.logs):
        assert mode(folder) == 0o700


def test_preparing_twice_changes_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    (home.store / "kept").touch()
    home.prepare()
    assert (home.store / "kept").exists()


def test_secrets_are_made_once_and_readable_by_their_owner_only(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    made = home.ensure_secrets()
    home.secrets_file.chmod(0o644)  # as a careless copy would leave it

    assert home.ensure_secrets() == made == home.load_secrets()
    assert mode(home.secrets_file) == 0o600
    assert len({made.redis_password, made.postgres_password, made.flower_password}) == 3
    assert min(map(len, json.loads(home.secrets_file.read_text()).values())) >= 40
    assert made.redis_password not in repr(made)


def test_two_homes_have_different_secrets(tmp_path: Path) -> None:
    one, two = Home(tmp_path / "one"), Home(tmp_path / "two")
    one.prepare()
    two.prepare()
    assert one.ensure_secrets() != two.ensure_secrets()


def test_damaged_secrets_are_not_replaced(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    home.secrets_file.write_text('{"redis_password": "half')
    with pytest.raises(HomeError, match=r"secrets\.json is damaged"):
        home.ensure_secrets()
    assert home.secrets_file.read_text() == '{"redis_password": "half'


def test_lost_secrets_are_not_made_anew_under_a_database(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.prepare()
    home.postgres.mkdir()
    (home.postgres / "PG_VERSION").touch()
    with pytest.raises(HomeError, match=r"secrets\.json is gone"):
        home.ensure_secrets()


def test_a_file_is_no_home(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(HomeError, match=r"file: it is a file, not a folder"):
        Home(path).prepare()
    assert path.read_text() == "mine"
    assert not Home(path).exists()


def test_a_folder_with_other_things_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(HomeError, match=r"holds other things \(thesis\.tex"):
        Home(tmp_path).prepare()
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]
    assert mode(tmp_path) == 0o755


def test_a_home_stopped_in_its_first_moment_is_taken_up(tmp_path: Path) -> None:
    (tmp_path / ".longshore-home").touch()
    home = Home(tmp_path)
    home.prepare()
    assert home.logs.is_dir()


def test_a_newer_home_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".longshore-home").write_text("2\n")
    with pytest.raises(HomeError, match="newer Longshore"):
        Home(tmp_path).prepare()


def test_another_users_home_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        with pytest.raises(HomeError, match="/ belongs to user 0"):
            Home(Path("/")).exists()
        return
    home = Home(tmp_path / "home")
    home.prepare()
    os.chown(home.path, 12345, -1)
    for act in (home.prepare, home.exists):
        with pytest.raises(HomeError, match=r"belongs to user 12345 and you are user 0"):
            act()
