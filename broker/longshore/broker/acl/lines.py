"""The users of Redis in the form of an ACL file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Final

from longshore.broker.acl.rights import CONNECTION, RIGHTS, Grant, RedisRole

#: What the names of the users begin with.
USER_PREFIX: Final = "longshore"
#: Without a line of its own, Redis would let everybody in without a password.
DEFAULT_USER_OFF: Final = "user default off"


def acl_lines(
    passwords: Mapping[RedisRole, Sequence[str]], *, prefix: str = "", db: int = 0, user_prefix: str = USER_PREFIX
) -> Iterator[str]:
    """The lines of the file: one for each role, and one that closes the user ``default``.

    Redis 7 and Valkey read them. The passwords are in them as SHA-256 digests. A user without one cannot sign in.

    :param passwords: of each role; several are valid at the same time.
    :param prefix: of the keys of the cluster.
    :param db: the number of its database, which is part of the names of channels.
    """
    yield DEFAULT_USER_OFF
    for role, grants in RIGHTS.items():
        hashes = [f"#{sha256(password.encode()).hexdigest()}" for password in passwords.get(role, ())]
        own, *others = (" ".join(_rules(grant, prefix, db)) for grant in grants)
        connection = " ".join(f"+{command}" for command in CONNECTION)
        # Redis calls rules in parentheses a selector: a command must satisfy the user's own rules or one selector.
        selectors = [f"({rules})" for rules in others]
        start = ("user", f"{user_prefix}-{role}", "on", *hashes, "resetkeys", "resetchannels", "-@all")
        yield " ".join((*start, connection, own, *selectors))


def _rules(grant: Grant, prefix: str, db: int) -> Iterator[str]:
    for key in dict.fromkeys((*grant.read, *grant.write)):
        mode = ("R" if key in grant.read else "") + ("W" if key in grant.write else "")
        yield f"%{mode}~{prefix}{key}"
    yield from (f"&{prefix}/{db}.{channel}" for channel in grant.channels)
    yield from (f"+{command}" for command in grant.commands)
