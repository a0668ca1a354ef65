"""The user that Postgres runs as. It refuses to run as root, so root runs it as a system user."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from longshore.shared.errors import HomeError

#: The system user; created if it is missing.
ACCOUNT_NAME = "longshore"
#: A place for root's homes that other users can reach.
_SUGGESTED_HOME = "/var/lib/longshore"


@dataclass(frozen=True)
class Account:
    """A user and its group."""

    name: str
    uid: int
    gid: int

    def can_pass(self, folder: Path) -> bool:
        """Whether this user may enter ``folder``, by its permission bits."""
        status = folder.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & stat.S_IXUSR)
        if status.st_gid == self.gid:
            return bool(status.st_mode & stat.S_IXGRP)
        return bool(status.st_mode & stat.S_IXOTH)

    def closed_folder(self, path: Path) -> Path | None:
        """The first folder on the way to ``path``, including a folder ``path``, that this user may not enter."""
        resolved = path.resolve()
        folders = [*reversed(resolved.parents), *([resolved] if resolved.is_dir() else [])]
        return next((folder for folder in folders if not self.can_pass(folder)), None)


def server_account() -> Account | None:
    """The user to run Postgres as; ``None`` for the current user, unless that is root.

    :raises HomeError: the system user does not exist and cannot be created.
    """
    if os.geteuid() != 0:
        return None
    try:
        user = pwd.getpwnam(ACCOUNT_NAME)
    except KeyError:
        user = _make_account()
    if user.pw_uid == 0:
        raise HomeError(f"user {ACCOUNT_NAME} is root by another name, and Postgres refuses to run as root")
    return Account(user.pw_name, user.pw_uid, user.pw_gid)


def check_reachable(home: Path, account: Account) -> None:
    """:raises HomeError: ``account`` may not enter a folder on the way to the home. Its mode is not changed here."""
    closed = account.closed_folder(home)
    if closed is not None:
        raise HomeError(
            f"{home}: Postgres runs as user {account.name}, who may not enter {closed}; "
            f"choose a home outside of it, such as --home {_SUGGESTED_HOME}"
        )


def _make_account() -> pwd.struct_passwd:
    program = shutil.which("useradd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    advice = f"make one (useradd --system {ACCOUNT_NAME}), or run this as a user other than root"
    if program is None:
        raise HomeError(f"Postgres does not run as root and there is no user {ACCOUNT_NAME}; {advice}")
    result = subprocess.run(
        [program, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", ACCOUNT_NAME],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return pwd.getpwnam(ACCOUNT_NAME)
    except KeyError:
        raise HomeError(f"user {ACCOUNT_NAME} cannot be made ({result.stderr.strip()}); {advice}") from None
