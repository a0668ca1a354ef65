"""Row-level security: who sees and changes only what belongs to the jobs of one producer.

The gateway's login always does: those of the producer for which it opened the session, as the setting
:data:`~longshore.shared.ledger.postgres.connection.PRODUCER_SETTING` says; without it, those of nobody. So the policies
are in force as soon as a database has a login of the gateway. A producer's login does only if the administrator wants
it: a job then belongs to the login whose name is the producer's.

Models are shared by all producers. Blocks of inline rows need no policy: producers cannot read them at all, and the id
of a block is only in the spec of its jobs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from longshore.shared.ledger.roles.rights import Role

#: The producer of a login. Comparing with text instead of ``name`` lets Postgres use an index.
_LOGIN: Final = "current_user::text"
#: The producer of a session of the gateway. A subselect is evaluated once, and then compared by an index.
_CALLER: Final = "(SELECT nullif(current_setting('longshore.producer', true), ''))"
#: The policy of ``webhook_endpoints`` leaves only own endpoints here.
_OF_OWN_ENDPOINT: Final = "EXISTS (SELECT FROM webhook_endpoints WHERE webhook_endpoints.id = endpoint_id)"
_OF_OWN_EVENT: Final = "EXISTS (SELECT FROM webhook_events WHERE webhook_events.id = event_id)"


def _of_own_job(table: str, column: str = "job_id") -> str:
    # The policy of ``jobs`` leaves only own jobs here.
    return f"EXISTS (SELECT FROM jobs WHERE jobs.id = {table}.{column})"


@dataclass(frozen=True)
class Policy:
    """Which rows of a table a role may use."""

    table: str
    #: ALL, SELECT, INSERT, UPDATE or DELETE.
    command: str
    #: ``None`` for everybody.
    role: Role | None
    #: Of rows that are read, or inserted.
    condition: str
    #: What its name ends with, if not with the command.
    label: str = ""

    @property
    def name(self) -> str:
        """A policy that changes in a later release gets another name."""
        return f"longshore_{self.role or 'public'}_{self.label or self.command.lower()}"


#: The tables with policies.
TABLES: Final = (
    *("jobs", "shards", "job_dependencies", "results", "row_errors", "metrics", "checkpoints", "trials"),
    *("attempt_logs", "partial_texts", "model_versions", "model_aliases"),
    *("webhook_endpoints", "webhook_secrets", "webhook_events", "webhook_deliveries"),
    *("files", "uploads", "upload_parts", "batches", "kept_answers"),
)
_DEPENDENCY: Final = f"{_of_own_job('job_dependencies')} AND {_of_own_job('job_dependencies', 'depends_on')}"


def _own_rows(role: Role, producer: str) -> tuple[Policy, ...]:
    """The policies of a role that works for one producer.

    :param producer: its name, as an expression.
    """
    return (
        Policy("jobs", "ALL", role, f"producer = {producer}"),
        Policy("shards", "SELECT", role, _of_own_job("shards")),
        Policy("shards", "UPDATE", role, _of_own_job("shards")),
        # A small job and its shard are inserted by one statement, which does not see the job yet.
        Policy("shards", "INSERT", role, f"NOT longshore_foreign_job(job_id, coalesce({producer}, ''))"),
        Policy("job_dependencies", "SELECT", role, _of_own_job("job_dependencies")),
        Policy("job_dependencies", "UPDATE", role, _of_own_job("job_dependencies")),
        Policy("job_dependencies", "INSERT", role, _DEPENDENCY),
        *(
            Policy(table, "SELECT", role, _of_own_job(table))
            for table in ("results", "row_errors", "metrics", "checkpoints", "trials", "attempt_logs")
        ),
        Policy("model_versions", "SELECT", role, "true"),
        # Only a worker can say that a job has made a version.
        Policy("model_versions", "INSERT", role, "job_id IS NULL"),
        Policy("model_aliases", "SELECT", role, "true"),
        Policy("model_aliases", "INSERT", role, f"set_by = {producer}"),
        Policy("files", "ALL", role, f"producer = {producer}"),
        Policy("uploads", "ALL", role, f"producer = {producer}"),
        Policy("upload_parts", "ALL", role, f"producer = {producer}"),
        Policy("batches", "ALL", role, f"producer = {producer}"),
        Policy("webhook_endpoints", "ALL", role, f"producer = {producer}"),
        Policy("webhook_events", "ALL", role, f"producer = {producer}"),
        Policy("webhook_secrets", "ALL", role, _OF_OWN_ENDPOINT),
        Policy("webhook_deliveries", "SELECT", role, _OF_OWN_ENDPOINT),
        Policy("webhook_deliveries", "UPDATE", role, _OF_OWN_ENDPOINT),
        Policy("webhook_deliveries", "DELETE", role, _OF_OWN_ENDPOINT),
        Policy("webhook_deliveries", "INSERT", role, f"{_OF_OWN_ENDPOINT} AND {_OF_OWN_EVENT}"),
    )


POLICIES: Final = (
    *_own_rows(Role.PRODUCER, _LOGIN),
    *_own_rows(Role.GATEWAY, _CALLER),
    Policy("model_versions", "DELETE", Role.GATEWAY, "true"),
    Policy("kept_answers", "ALL", Role.GATEWAY, f"producer = {_CALLER}"),
    # The other roles work for all producers.
    *(
        Policy(table, "ALL", role, "true")
        for role in (Role.OPERATOR, Role.WORKER, Role.RELAY, Role.MONITOR)
        for table in TABLES
    ),
)
#: Not of the gateway. A subselect is evaluated once.
_OTHERS: Final = "(SELECT NOT pg_has_role('{gateway}', 'USAGE'))"
#: What lets producers' logins see the jobs of all producers although the policies are in force, and so the roles that
#: an administrator has made: for them nothing changes when the gateway gets a login.
SHARED_POLICIES: Final = (
    *(Policy(table, "ALL", Role.PRODUCER, "true", "shared") for table in TABLES),
    *(Policy(table, "ALL", None, _OTHERS, "shared") for table in TABLES),
)
