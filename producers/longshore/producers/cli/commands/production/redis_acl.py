"""``longshore redis-acl``: the users of Redis with the least rights, as an ACL file."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable

import click

from longshore.producers.cli.options import Options, with_options
from longshore.producers.cli.output import note, print_json
from longshore.shared.errors import InvalidInput
from longshore.shared.passwords import read_password

_USER_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,39}")
_PASSWORD_FILE = "--password-file"


@click.command("redis-acl")
@click.option("--prefix", default="", metavar="TEXT", help="The prefix in the address of Redis. Default: none.")
@click.option(
    "--db", type=click.IntRange(0), default=0, show_default=True, help="The number of the database in the address."
)
@click.option(
    _PASSWORD_FILE,
    "password_files",
    multiple=True,
    metavar="ROLE:FILE",
    help="The password of a user (producer, worker, relay or monitor) in a file. Can be repeated, also for one role: "
    "each password is valid.",
)
@click.option(
    "--user-prefix", default="longshore", show_default=True, help="What the users' names begin with, as in NAME-worker."
)
@with_options
def redis_acl(options: Options, prefix: str, db: int, password_files: tuple[str, ...], user_prefix: str) -> None:
    """Print an ACL file for Redis 7 or Valkey: a user with the least rights for each kind of process.

    It has digests of the passwords. A user without a password cannot sign in, and neither can the user `default`.
    """
    from longshore.broker.acl.lines import acl_lines
    from longshore.broker.acl.rights import RedisRole
    from longshore.broker.redis_address import check_prefix

    check_prefix("--prefix", prefix)
    if not _USER_PREFIX.fullmatch(user_prefix):
        raise InvalidInput("--user-prefix", "write up to 40 letters, digits and _ . -, with a letter first")
    passwords: dict[RedisRole, list[str]] = {}
    for text in password_files:
        role, password = _password(text, [*RedisRole])
        passwords.setdefault(RedisRole(role), []).append(password)
    lines = list(acl_lines(passwords, prefix=prefix, db=db, user_prefix=user_prefix))
    if options.as_json:
        print_json({"lines": lines})
    else:
        sys.stdout.writelines(f"{line}\n" for line in lines)
    if without := [role for role in RedisRole if role not in passwords]:
        note(f"without a password, so that nobody can sign in as they: {', '.join(without)}; add {_PASSWORD_FILE}")


def _password(text: str, roles: Iterable[str]) -> tuple[str, str]:
    """The role and the password of ``ROLE:FILE``."""
    role, _, file = text.partition(":")
    if role not in roles or not file:
        raise InvalidInput(_PASSWORD_FILE, f"{text!r}: write ROLE:FILE, where ROLE is one of {', '.join(roles)}")
    return role, read_password(file, _PASSWORD_FILE)
