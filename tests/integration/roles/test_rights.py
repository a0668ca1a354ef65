"""Every statement of every kind of process, with the rights of its role."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import psycopg
import pytest
from psycopg import sql

from longshore.shared.ledger.migrate import migrate
from longshore.shared.ledger.roles.rights import RIGHTS, Role
from longshore.shared.ledger.tables import metadata
from longshore.shared.settings import Settings
from tests.integration.explained import COPY_IN, explained
from tests.integration.logins import as_role, make_logins
from tests.integration.support import empty_database, statement_modules

PRODUCER, OPERATOR, WORKER, RELAY, MONITOR = Role.PRODUCER, Role.OPERATOR, Role.WORKER, Role.RELAY, Role.MONITOR
GATEWAY = Role.GATEWAY
ALL = (PRODUCER, GATEWAY, OPERATOR, WORKER, RELAY, MONITOR)
#: Which roles execute the statements of a module, or one statement of it. The gateway does what a producer does, too.
USERS: Mapping[str, tuple[Role, ...]] = {
    "attempts": (WORKER,),
    "attempts.EXPIRE_LEASES": (RELAY,),
    "attempts.COUNT_SHARDS_FAILED": (WORKER, RELAY),
    "attempts.SETTLE_JOBS": (WORKER, RELAY),
    "attempts.NOTIFY_JOB": ALL,
    "attempts.NOTIFY_TICKETS": ALL,
    "batch_sizes": (WORKER,),
    "batching": (WORKER,),
    "cancel_retry": (PRODUCER, OPERATOR),
    "cancel_retry.LOCK_SHARDS": (PRODUCER, OPERATOR, WORKER, RELAY),
    "cancel_retry.CANCEL_SHARDS": (PRODUCER, OPERATOR, WORKER, RELAY),
    "cancel_retry.END_JOB": (PRODUCER, OPERATOR, WORKER, RELAY),
    "chains": (PRODUCER, OPERATOR),
    "chains.DUE_JOBS": (RELAY,),
    "chains.READ_UPSTREAM": (PRODUCER, OPERATOR, RELAY),
    "chains.READY_JOB": (RELAY,),
    "chains.READY_SHARDS": (RELAY,),
    "chains.READY_DEPENDENCY": (RELAY,),
    "chains.SET_UPSTREAM_FAILED": (PRODUCER, OPERATOR, RELAY),
    "chains.LIST_CHAIN": (PRODUCER, OPERATOR, MONITOR),
    "shards.checkpoints": (WORKER,),
    "shards.checkpoints.NEWEST_CHECKPOINT": (PRODUCER, OPERATOR, WORKER, MONITOR),
    "fence": (WORKER,),
    "gateway.batches": (GATEWAY,),
    "gateway.files": (GATEWAY,),
    "gateway.files.REMOVE_EXPIRED": (RELAY,),
    "gateway.kept_answers": (GATEWAY,),
    "gateway.kept_answers.REMOVE_OLD_ANSWERS": (RELAY,),
    "gateway.tokens": (OPERATOR,),
    "gateway.tokens.READ_TOKEN": (GATEWAY,),
    "gateway.tokens.COUNT_OPEN_JOBS": (GATEWAY,),
    "gateway.tokens.LOCK_OPEN_JOBS": (GATEWAY,),
    "gateway.tokens.READ_USAGE": (GATEWAY,),
    "gateway.uploads": (GATEWAY,),
    "gateway.uploads.REMOVE_EXPIRED_PARTS": (RELAY,),
    "gateway.uploads.REMOVE_OLD_UPLOADS": (RELAY,),
    "gateway.webhooks": (PRODUCER, OPERATOR),
    "gateway.webhooks.CLAIM_DELIVERIES": (RELAY,),
    "gateway.webhooks.RECORD_TRY": (RELAY,),
    "gateway.webhooks.MARK_FAILING": (RELAY,),
    "gateway.webhooks.MARK_WORKING": (RELAY,),
    "gateway.webhooks.DISABLE_ENDPOINT": (RELAY,),
    "gateway.webhooks.DROP_PENDING": (RELAY,),
    "gateway.webhooks.DELETE_OLD_EVENTS": (RELAY,),
    "gateway.webhooks.DELETE_OLD_SECRETS": (RELAY,),
    "gateway.webhooks.COUNT_PENDING": (RELAY,),
    "installation": ALL,
    "limits": (OPERATOR, MONITOR),
    "shards.logs": (WORKER,),
    "shards.logs.LIST_LOG_PARTS": (PRODUCER, OPERATOR),
    "maintenance": (RELAY,),
    "clock": (RELAY,),
    "models": (PRODUCER, OPERATOR, WORKER),
    "models.DELETE_VERSION": (OPERATOR, GATEWAY),
    "models.MOVE_ALIAS": (PRODUCER, OPERATOR),
    "models.MOVE_ALIAS_BY_JOB": (WORKER,),
    "models.MODEL_HISTORY": (PRODUCER, OPERATOR, WORKER, MONITOR),
    "models.LIST_MODELS": (PRODUCER, OPERATOR, WORKER, MONITOR),
    "models.LIST_VERSIONS": (PRODUCER, OPERATOR, WORKER, MONITOR),
    "shards.partial_texts": (WORKER,),
    "partitions": (OPERATOR, RELAY),
    "queries": (PRODUCER, OPERATOR),
    "queries.READ_JOB": ALL,
    "queries.LIST_JOBS": ALL,
    "queries.READ_JOBS": (PRODUCER, OPERATOR, MONITOR),
    "queries.LIST_JOBS_IN_STATES": ALL,
    "queries.SORT_JOBS": ALL,
    "queries.FIND_JOBS": ALL,
    "queries.NEWEST_OF_PRODUCER": ALL,
    "queries.READ_NEIGHBOURS": ALL,
    "queries.LIST_SHARDS": ALL,
    "queries.READ_STATE": ALL,
    "queries.LIST_RUNNING": (PRODUCER, OPERATOR, MONITOR),
    "queries.NEXT_SHARD": (PRODUCER, OPERATOR, MONITOR),
    "queries.COUNT_AHEAD": (PRODUCER, OPERATOR, MONITOR),
    "queries.LIST_FAILURES": (PRODUCER, OPERATOR, MONITOR),
    "queries.LIST_NEXT": (PRODUCER, OPERATOR, MONITOR),
    "queries.COUNT_OPEN_JOBS": (PRODUCER, OPERATOR, MONITOR),
    "queries.LIST_METRICS": (PRODUCER, OPERATOR, WORKER, MONITOR),
    "retention": (OPERATOR,),
    "sessions": ALL,
    "space": (OPERATOR,),
    "submission": (PRODUCER, OPERATOR),
    "submission.MARK_PUBLISHED": (PRODUCER, OPERATOR, WORKER, RELAY),
    "submission.READ_INPUTS": (WORKER,),
    "trials": (WORKER,),
    "trials.LIST_TRIALS": (PRODUCER, OPERATOR, WORKER, MONITOR),
    "workers": ALL,
    "workers.SEE_WORKER": (WORKER,),
    "workers.FORGET_WORKER": (WORKER,),
    "workers.FORGET_SILENT_WORKERS": (OPERATOR, WORKER),
}
#: Those that are no single statement, or only for administrators.
LEFT_OUT = {
    "roles": "for administrators",
    "channels": "no query",
    "limits.SET_LIMIT": "for the owner of the tables",
    "limits.REMOVE_LIMIT": "for the owner of the tables",
    "installation.CREATE_DATABASE": "for administrators",
    "queries.SAMPLE_ROWS_QUERY": "shown to people, with the id of a job filled in",
    "queries.ACCURACY_QUERY": "shown to people, with the id of a job filled in",
    "attempts.SAME_BATCH_KEY": "a part of statements",
    "attempts.CLAIMED": "a part of statements",
    "attempts.ALLOWED_NOTE": "a part of statements",
    "batching.SAME_BATCH_KEY": "a part of statements",
    "batching.CLAIMED": "a part of statements",
    "batching.FENCE": "a part of statements",
    "cancel_retry.ALLOWED_NOTE": "a part of statements",
    "fence.FENCE": "a part of statements",
    "retention.ENDED": "a part of statements",
    "submission.TICKET_COLUMNS": "a part of statements",
    "maintenance.TICKET_COLUMNS": "a part of statements",
    "cancel_retry.TICKET_COLUMNS": "a part of statements",
}
_QUERY = re.compile(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE)\b")


def every_query() -> dict[str, str]:
    """The statements by ``module.NAME`` that read or change tables."""
    texts = {}
    for module, loaded in statement_modules().items():
        for constant, value in vars(loaded).items():
            name = f"{module}.{constant}"
            is_query = isinstance(value, str) and constant.isupper() and not constant.startswith("_")
            if is_query and not {module, name} & LEFT_OUT.keys() and (_QUERY.match(value) or COPY_IN.match(value)):
                texts[name] = value
    return texts


def users_of(name: str) -> tuple[Role, ...]:
    users = USERS.get(name) or USERS[name.rpartition(".")[0]]
    return (*users, GATEWAY) if PRODUCER in users and GATEWAY not in users else users


@pytest.fixture(scope="module")
def database(services: Settings) -> Iterator[Settings]:
    """A database with roles and logins."""
    with empty_database(services) as settings:
        migrate(settings.database_url)
        make_logins(settings.database_url)
        yield settings


@pytest.mark.parametrize("role", ALL)
def test_a_role_may_execute_the_statements_of_its_processes(database: Settings, role: Role) -> None:
    refused = {}
    with psycopg.connect(as_role(database, role).database_url, autocommit=True) as conn:
        for name, text in every_query().items():
            if role in users_of(name):
                try:
                    conn.execute(explained(text))
                except psycopg.errors.InsufficientPrivilege as error:
                    refused[name] = str(error)
    assert refused == {}


def test_every_right_is_one_that_a_statement_needs(database: Settings) -> None:
    """Taken away one by one, each right is missed by a statement of its role."""
    unneeded = []
    with psycopg.connect(database.database_url) as admin:
        for role, rights in RIGHTS.items():
            used = {name: explained(text) for name, text in every_query().items() if role in users_of(name)}
            for table, each in rights.items():
                for right in [one for entry in each for one in single_rights(entry)]:
                    with admin.transaction(force_rollback=True):
                        admin.execute(f"REVOKE {right} ON {table} FROM longshore_{role}")
                        admin.execute(f"SET LOCAL ROLE test_{role}")
                        if not any(is_refused(admin, text) for text in used.values() if table in text):
                            unneeded.append(f"{role}: {right} on {table}")
    assert not unneeded, "; ".join(unneeded)


def single_rights(entry: str) -> list[str]:
    """``UPDATE (a, b)`` as a right on each column."""
    right, _, columns = entry.partition(" (")
    return [f"{right} ({column})" for column in columns.rstrip(")").split(", ")] if columns else [right]


def is_refused(conn: psycopg.Connection[tuple[object, ...]], text: str) -> bool:
    try:
        with conn.transaction(force_rollback=True):
            conn.execute(text)
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


def test_the_users_of_statements_that_exist_are_named() -> None:
    modules = {name.rpartition(".")[0] for name in every_query()}
    assert {name for name in USERS if "." in name and name not in modules} <= every_query().keys()


def test_each_table_is_somebodys(database: Settings) -> None:
    named = {table for rights in RIGHTS.values() for table in rights}
    assert named == {*metadata.tables, "alembic_version"}


def test_public_has_no_right_on_a_table_or_partition(database: Settings) -> None:
    with psycopg.connect(database.database_url) as conn:
        granted = conn.execute(
            """SELECT relname, grantee::regrole FROM pg_class, aclexplode(relacl)
               WHERE relnamespace = 'public'::regnamespace
                 AND (grantee = 0 OR (relispartition AND grantee <> relowner))"""
        ).fetchall()
        owners = conn.execute(
            """SELECT relname, pg_get_userbyid(relowner) FROM pg_class
               WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"""
        ).fetchall()
    assert granted == []
    assert len(owners) > 15
    for table, owner in owners:
        assert owner == ("longshore_results" if table.startswith(("results", "row_errors")) else "longshore_owner")


FORBIDDEN = {
    "run a program": "COPY workers FROM PROGRAM 'id'",
    "read a file of the server": "SELECT pg_read_file('PG_VERSION')",
    "write a file of the server": "COPY workers TO '/tmp/longshore-test'",
    "make a table": "CREATE TABLE mine (a int)",
    "make a function": "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "make a role": "CREATE ROLE mine",
    "alter a table": "ALTER TABLE jobs ADD COLUMN mine int",
    "turn off a constraint": "ALTER TABLE jobs DROP CONSTRAINT jobs_state_check",
    "become the owner": "SET ROLE longshore_owner",
    "empty a table": "TRUNCATE jobs",
    "delete jobs": "DELETE FROM jobs",
    "forge the revision": "UPDATE alembic_version SET version_num = '0001'",
    "change who submitted": "UPDATE jobs SET producer = 'me'",
    "change what a job runs": "UPDATE jobs SET spec = '{}'",
    "change the manifest of a version": "UPDATE model_versions SET manifest = '{}'",
    "rewrite the history of an alias": "UPDATE model_aliases SET set_by = 'me'",
    "hide a deletion": "DELETE FROM deleted_versions",
    "change an event of webhooks": "UPDATE webhook_events SET data = '{}'",
}
_PRODUCER = {
    "read the secrets of webhooks": "SELECT secret FROM webhook_secrets",
    "forge the log of webhooks": "UPDATE webhook_deliveries SET tries = '[]'",
    "forge a result": "INSERT INTO results VALUES (gen_random_uuid(), 0, '{}')",
    "change a result": "UPDATE results SET output = '{}'",
    "remove results": "DELETE FROM results",
    "forget errors": "DELETE FROM row_errors",
    "forge an outcome": "UPDATE jobs SET outcome = '{}'",
    "forge an attempt": "UPDATE shards SET attempt = 9",
    "forge a metric": "INSERT INTO metrics VALUES (gen_random_uuid(), 1, 1, 'loss', 0)",
    "read inline rows": "SELECT data FROM inputs",
    "read texts that are being generated": "SELECT FROM partial_texts",
    "delete a version": "DELETE FROM model_versions",
    "pass for a job that moves an alias": "INSERT INTO model_aliases (job_id) VALUES (gen_random_uuid())",
    "lift its own limit": "DELETE FROM producer_limits",
    "pass for a worker": "UPDATE workers SET seen_at = now()",
    "drop a partition": "DROP TABLE results_default",
    "read a partition": "SELECT FROM results_default",
}
#: What more is forbidden to some roles.
FORBIDDEN_TO = {
    PRODUCER: _PRODUCER,
    GATEWAY: {
        **{name: statement for name, statement in _PRODUCER.items() if name != "delete a version"},
        "make a token": "INSERT INTO tokens (id) VALUES ('t')",
        "list tokens": "SELECT id FROM tokens",
        "turn off the policies": "ALTER TABLE jobs DISABLE ROW LEVEL SECURITY",
    },
    OPERATOR: {
        "read the secrets of webhooks": "SELECT secret FROM webhook_secrets",
        "forge an outcome": "UPDATE jobs SET outcome = '{}'",
        "pass for a worker": "UPDATE workers SET seen_at = now()",
    },
    WORKER: {
        "read the secrets of webhooks": "SELECT secret FROM webhook_secrets",
        "submit a job": "INSERT INTO jobs (id) VALUES (gen_random_uuid())",
        "change a result": "UPDATE results SET output = '{}'",
        "remove results": "DELETE FROM results",
        "drop a partition": "DROP TABLE results_default",
        "delete a version": "DELETE FROM model_versions",
        "change inline rows": "UPDATE inputs SET data = ''",
    },
    RELAY: {
        "submit a job": "INSERT INTO jobs (id) VALUES (gen_random_uuid())",
        "add a version": "INSERT INTO model_versions (model) VALUES ('m')",
        "read inline rows": "SELECT data FROM inputs",
        "forge an outcome": "UPDATE jobs SET outcome = '{}'",
    },
    MONITOR: {
        "read the secrets of webhooks": "SELECT secret FROM webhook_secrets",
        "read results": "SELECT FROM results",
        "read errors": "SELECT FROM row_errors",
        "read inline rows": "SELECT data FROM inputs",
        "end a job": "UPDATE jobs SET state = 'cancelled'",
        "add a version": "INSERT INTO model_versions (model) VALUES ('m')",
    },
}


@pytest.mark.parametrize("role", ALL)
def test_a_role_may_do_nothing_else(database: Settings, role: Role) -> None:
    """But that those who make and drop partitions can make tables and functions, too."""
    allowed = []
    with psycopg.connect(as_role(database, role).database_url) as conn:
        for what, text in {**FORBIDDEN, **FORBIDDEN_TO[role]}.items():
            try:
                with conn.transaction(force_rollback=True):
                    conn.execute(sql.SQL(text))
                allowed.append(what)
            except psycopg.errors.InsufficientPrivilege:
                pass
    assert allowed == (["make a table", "make a function"] if role in (OPERATOR, RELAY) else [])
