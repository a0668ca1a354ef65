from __future__ import annotations

import os
from pathlib import Path

import pytest

from longshore.broker.embedded.process.account import Account, check_reachable, server_account
from longshore.shared.errors import HomeError

NOBODY = Account("nobody", 65534, 65534)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    home = tmp_path / "open" / "closed" / "home"
    home.mkdir(parents=True)
    home.chmod(0o711)
    home.parent.chmod(0o700)
    home.parent.parent.chmod(0o711)
    return home


def test_the_closed_folder_on_the_way_is_named(tree: Path) -> None:
    assert Account("anybody", 12345, 12345).can_pass(tree.parent.parent)
    assert not Account("anybody", 12345, 12345).can_pass(tree.parent)
    assert Account("owner", os.geteuid(), 12345).can_pass(tree.parent)
    tree.parent.chmod(0o710)
    assert Account("in the group", 12345, tree.parent.stat().st_gid).can_pass(tree.parent)


def test_a_home_behind_a_closed_folder_is_refused_and_the_folder_stays_closed(tree: Path) -> None:
    closed = NOBODY.closed_folder(tree)
    assert closed is not None
    with pytest.raises(HomeError, match=rf"Postgres runs as user nobody, who may not enter {closed};"):
        check_reachable(tree, NOBODY)
    assert NOBODY.closed_folder(tree) == closed


def test_only_root_needs_another_user() -> None:
    account = server_account()
    if os.geteuid() == 0:
        assert account is not None
        assert account.uid != 0
    else:
        assert account is None
