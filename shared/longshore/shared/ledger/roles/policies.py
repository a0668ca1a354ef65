"""Row-level security: a producer's login sees and changes only what belongs to its own jobs.

A job belongs to the login whose name is the producer's. Models are shared by all producers. Blocks of inline rows need
no policy: producers cannot read them at all, and the id of a block is only in the spec of its jobs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from longshore.shared.ledger.roles.rights import Role

#: Comparing with text instead of ``name`` lets Postgres use an index.
_OWN: Final = "producer = current_user::text"
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
    #: ALL, SELECT, INSERT or UPDATE.
    command: str
    role: Role
    #: Of rows that are read, or inserted.
    condition: str

    @property
    def name(self) -> str:
        """A policy that changes in a later release gets another name."""
        return f"longshore_{self.role}_{self.command.lower()}"


#: The tables with policies.
TABLES: Final = (
    *("jobs", "shards", "job_dependencies", "results", "row_errors", "metrics", "checkpoints", "trials"),
    *("attempt_logs", "model_versions", "model_aliases"),
    *("webhook_endpoints", "webhook_secrets", "webhook_events", "webhook_deliveries"),
)
_DEPENDENCY: Final = f"{_of_own_job('job_dependencies')} AND {_of_own_job('job_dependencies', 'depends_on')}"

PRODUCER_POLICIES: Final = (
    Policy("jobs", "ALL", Role.PRODUCER, _OWN),
    Policy("shards", "SELECT", Role.PRODUCER, _of_own_job("shards")),
    Policy("shards", "UPDATE", Role.PRODUCER, _of_own_job("shards")),
    # A small job and its shard are inserted by one statement, which does not see the job yet.
    Policy("shards", "INSERT", Role.PRODUCER, "NOT longshore_foreign_job(job_id, current_user::text)"),
    Policy("job_dependencies", "SELECT", Role.PRODUCER, _of_own_job("job_dependencies")),
    Policy("job_dependencies", "UPDATE", Role.PRODUCER, _of_own_job("job_dependencies")),
    Policy("job_dependencies", "INSERT", Role.PRODUCER, _DEPENDENCY),
    *(
        Policy(table, "SELECT", Role.PRODUCER, _of_own_job(table))
        for table in ("results", "row_errors", "metrics", "checkpoints", "trials", "attempt_logs")
    ),
    Policy("model_versions", "SELECT", Role.PRODUCER, "true"),
    # Only a worker can say that a job has made a version.
    Policy("model_versions", "INSERT", Role.PRODUCER, "job_id IS NULL"),
    Policy("model_aliases", "SELECT", Role.PRODUCER, "true"),
    Policy("model_aliases", "INSERT", Role.PRODUCER, "set_by = current_user::text"),
    Policy("webhook_endpoints", "ALL", Role.PRODUCER, _OWN),
    Policy("webhook_events", "ALL", Role.PRODUCER, _OWN),
    Policy("webhook_secrets", "ALL", Role.PRODUCER, _OF_OWN_ENDPOINT),
    Policy("webhook_deliveries", "SELECT", Role.PRODUCER, _OF_OWN_ENDPOINT),
    Policy("webhook_deliveries", "UPDATE", Role.PRODUCER, _OF_OWN_ENDPOINT),
    Policy("webhook_deliveries", "INSERT", Role.PRODUCER, f"{_OF_OWN_ENDPOINT} AND {_OF_OWN_EVENT}"),
)
#: The other roles work for all producers.
POLICIES: Final = (
    *PRODUCER_POLICIES,
    *(
        Policy(table, "ALL", role, "true")
        for role in (Role.OPERATOR, Role.WORKER, Role.RELAY, Role.MONITOR)
        for table in TABLES
    ),
)
