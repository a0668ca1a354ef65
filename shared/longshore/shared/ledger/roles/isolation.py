"""Making sure that Postgres keeps the producers apart for whom one login works."""

from __future__ import annotations

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Database
from longshore.shared.ledger.roles.install import find_roles
from longshore.shared.ledger.roles.policies import POLICIES, TABLES
from longshore.shared.ledger.roles.rights import LOGIN_ROLES, Role
from longshore.shared.ledger.roles.script import role_name

_REMEDY = (
    "as a superuser, give the gateway a login of its own: "
    "`longshore migrate --roles --login gateway:NAME:PASSWORD_FILE`, and name it in LONGSHORE_DATABASE_URL"
)


def check_isolation(database: Database) -> None:
    """Make sure that this login has the role of the gateway, no other one, and is under the policies.

    :raises ServiceUnavailable: it is not, or Postgres cannot be reached.
    """
    policies = [policy for policy in POLICIES if policy.role is Role.GATEWAY]
    with database.connection() as conn:
        installed = find_roles(conn)
        if installed is None:
            raise ServiceUnavailable(f"Postgres at {database.address} has no roles of Longshore; {_REMEDY}")
        others = [role_name(role, installed.prefix) for role in LOGIN_ROLES if role is not Role.GATEWAY]
        values = {
            "gateway": role_name(Role.GATEWAY, installed.prefix),
            "others": others,
            "tables": list(TABLES),
            "policy_tables": [policy.table for policy in policies],
            "policies": [policy.name for policy in policies],
        }
        row = conn.execute(statements.roles.READ_ISOLATION, values).fetchone()
    assert row is not None  # it is one row
    login, is_gateway, is_superuser, bypasses, also, unprotected, missing = row
    if is_superuser:
        wrong = "is a superuser"
    elif bypasses:
        wrong = "has the attribute BYPASSRLS"
    elif not is_gateway:
        wrong = f"does not have the role {values['gateway']}"
    elif also:
        wrong = f"also has the role {', '.join(also)}"
    elif unprotected or missing:
        wrong = f"is not under the policies of the table {', '.join(sorted({*unprotected, *missing}))}"
    else:
        return
    raise ServiceUnavailable(
        f"Postgres at {database.address}: the login {login} {wrong}, so Postgres would not keep the producers apart; "
        f"{_REMEDY}"
    )
