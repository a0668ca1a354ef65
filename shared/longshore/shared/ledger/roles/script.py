"""The SQL that makes the roles, as it is executed and as it is printed for an administrator."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from longshore.shared.errors import InvalidInput
from longshore.shared.ledger import statements
from longshore.shared.ledger.roles.policies import POLICIES, SHARED_POLICIES, TABLES, Policy
from longshore.shared.ledger.roles.rights import FUNCTION_RIGHTS, MEMBERS, PARTITIONED, RIGHTS, Role

#: The prefix of the roles' names.
PREFIX = "longshore"
#: The functions that act with the rights of the tables' owner: those of triggers, and those that roles may call.
FUNCTIONS: Final = (
    *("longshore_check_limits()", "longshore_check_versions()"),
    *("longshore_record_blobs()", "longshore_record_deletion()"),
    *("longshore_record_job_events()", "longshore_watch_jobs()", "longshore_fan_out_events()"),
)
#: The roles that work for all producers.
_UNLIMITED: Final = (Role.OPERATOR, Role.WORKER, Role.RELAY, Role.MONITOR)
#: A prefix or the name of a login: never quoted in SQL, and short enough for every role's name.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


def check_name(field: str, name: str) -> str:
    """:raises InvalidInput: ``name`` cannot be the name of a role here."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(field, f"{name!r}: write up to 40 lower-case letters, digits and _, with a letter first")
    return name


def role_name(role: Role, prefix: str = PREFIX) -> str:
    """The name of a role in Postgres, such as ``longshore_producer``."""
    return f"{prefix}_{role}"


def tables() -> tuple[str, ...]:
    """The names of all tables, with the one in which Alembic writes the revision. Each is of use to some role."""
    return tuple(sorted({table for rights in RIGHTS.values() for table in rights}))


def make_roles(prefix: str = PREFIX) -> Iterator[str]:
    """The roles and their memberships. Only an administrator can make a role that is missing."""
    sql = statements.roles
    for role in Role:
        yield sql.CREATE_GROUP.format(role=role_name(role, prefix))
    for member, role in MEMBERS:
        yield sql.ADD_MEMBER.format(member=role_name(member, prefix), role=role_name(role, prefix))
    for role in (Role.OWNER, Role.RESULTS):
        yield sql.JOIN_GROUP.format(role=role_name(role, prefix))


def open_database(prefix: str = PREFIX, *, revoke_public: bool = False) -> Iterator[str]:
    """The rights on the database and the schema.

    :param revoke_public: take those that every login has by default.
    """
    sql = statements.roles
    everyone = ", ".join(role_name(role, prefix) for role in Role)
    owners = f"{role_name(Role.OWNER, prefix)}, {role_name(Role.RESULTS, prefix)}"
    yield sql.OPEN_DATABASE.format(roles=everyone, owners=owners)
    if revoke_public:
        yield sql.CLOSE_TO_PUBLIC


def grant_rights(prefix: str = PREFIX, *, row_security: bool | None = None) -> Iterator[str]:
    """The owners of the tables, and exactly the rights in :data:`~longshore.shared.ledger.roles.rights.RIGHTS`.

    :param row_security: whether producers see their own jobs only; ``None`` leaves it as it is.
    """
    sql = statements.roles
    yield sql.HAND_OVER.format(
        owner=role_name(Role.OWNER, prefix),
        results=role_name(Role.RESULTS, prefix),
        tables=_literals(tables()),
        partitioned=_literals(PARTITIONED),
    )
    for function in (*FUNCTIONS, *FUNCTION_RIGHTS):
        yield sql.HAND_OVER_FUNCTION.format(function=function, owner=role_name(Role.OWNER, prefix))
    granted = ", ".join(role_name(role, prefix) for role in RIGHTS)
    yield sql.REVOKE_TABLES.format(tables=", ".join(tables()), roles=granted)
    for role, rights in RIGHTS.items():
        for table, each in rights.items():
            yield sql.GRANT_TABLE.format(rights=", ".join(each), table=table, role=role_name(role, prefix))
    for function, role in FUNCTION_RIGHTS.items():
        yield sql.GRANT_FUNCTION.format(function=function, role=role_name(role, prefix))
    yield from _policies(prefix, row_security=row_security)


def bypass_policies(prefix: str = PREFIX, *, row_security: bool | None = None) -> str:
    """Lets the logins of those who work for all producers bypass the policies, if these are or will be in force.

    Only a superuser may, unless all can already; for workers it is an error.
    """
    sql = statements.roles
    gateway = role_name(Role.GATEWAY, prefix)
    needed = "true" if row_security else f"{sql.POLICIES_ENABLED} OR {sql.HAS_GATEWAY.format(gateway=gateway)}"
    return sql.BYPASS_POLICIES.format(
        needed=needed,
        gateway=gateway,
        worker=role_name(Role.WORKER, prefix),
        roles=_literals(tuple(role_name(role, prefix) for role in _UNLIMITED)),
    )


def render(prefix: str = PREFIX, *, row_security: bool | None = None, revoke_public: bool = False) -> str:
    """The whole script, for ``psql``."""
    steps = [
        *make_roles(prefix),
        *open_database(prefix, revoke_public=revoke_public),
        bypass_policies(prefix, row_security=row_security),
        *grant_rights(prefix, row_security=row_security),
    ]
    return "\n".join(["BEGIN;", *(f"{step.strip()};" for step in steps), "COMMIT;", ""])


def _policies(prefix: str, *, row_security: bool | None) -> Iterator[str]:
    sql = statements.roles
    yield sql.DEFINE_FOREIGN_JOB.format(
        owner=role_name(Role.OWNER, prefix),
        producers=f"{role_name(Role.PRODUCER, prefix)}, {role_name(Role.GATEWAY, prefix)}",
    )
    enabled, shared = _decisions(prefix, row_security=row_security)
    yield sql.DECIDE_POLICIES.format(enabled=enabled, shared=shared)
    for policy in POLICIES:
        yield _of_policy(sql.CREATE_POLICY, policy, prefix)
    for policy in SHARED_POLICIES:
        yield _of_policy(sql.SHARE_TABLE, policy, prefix)
    for table in TABLES:
        yield sql.SWITCH_POLICIES.format(table=table)


def _decisions(prefix: str, *, row_security: bool | None) -> tuple[str, str]:
    """Whether the policies are to be in force, and whether producers share all jobs, as SQL.

    They are for a login of the gateway, and as long as it takes no worker its COPY.
    """
    sql = statements.roles
    if row_security:
        return "true", "false"
    has_gateway = sql.HAS_GATEWAY.format(gateway=role_name(Role.GATEWAY, prefix))
    isolated = f"{has_gateway} AND {sql.WORKERS_BYPASS.format(worker=role_name(Role.WORKER, prefix))}"
    if row_security is None:
        return f"{sql.POLICIES_ENABLED} OR ({isolated})", sql.PRODUCERS_SHARE
    return isolated, "true"


def _of_policy(statement: str, policy: Policy, prefix: str) -> str:
    clause = statements.roles.CHECK_CLAUSE if policy.command == "INSERT" else statements.roles.USING_CLAUSE
    condition = policy.condition.format(gateway=role_name(Role.GATEWAY, prefix))
    return statement.format(
        name=policy.name,
        table=policy.table,
        command=policy.command,
        role="PUBLIC" if policy.role is None else role_name(policy.role, prefix),
        condition=clause.format(condition=condition),
    )


def _literals(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)
