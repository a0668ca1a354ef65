"""No hot statement reads a table from end to end, or more of it the larger it is.

Each statement is explained on a database in which nearly everything has ended (:mod:`.filled_database`), with real
parameters, within a transaction that is rolled back. Rows that were read to be thrown away count as visited.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias, cast
from uuid import uuid4

import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from longshore.shared.ledger import statements
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.retention.uuid7_time import FIRST_ID, LAST_ID
from longshore.shared.settings import Settings
from tests.integration.ledger.storage.filled_database import ACTIVE_JOBS, BATCH_KEY, ENDED_JOBS, IDS, ROWS_PER_JOB, fill
from tests.integration.old_jobs import own_ledger
from tests.integration.support import statement_modules

#: A node of a plan, as EXPLAIN writes it in JSON.
Node: TypeAlias = Mapping[str, object]

#: Tables that do not grow with the number of jobs, results or versions: a scan of them is fine.
SMALL_TABLES = {"workers", "pg_locks", "pg_stat_activity", "webhook_endpoints", "webhook_secrets"}
#: Rows that a statement may visit, and pages of 8 KiB: some for each row it returns or changes, whatever the tables
#: hold. The jobs alone are 20,000 rows, their shards 100,000.
MAX_ROWS, MAX_PAGES = 400, 1500

LEASE = {"worker": "cpu:0@tests", "lease": 60.0}
CLAIM = {**LEASE, "max_shards": 512, "max_rows": 1024}
ATTEMPT = {"job": IDS.running, "shard": 0, "attempt": 1}
LOG = {"job": IDS.ended_training, "shard": 0, "attempt": 1}
RANGE = {"start": 0, "stop": ROWS_PER_JOB}
ALIAS = {"model": "model7", "alias": "production", "version": 3, "by": "tests"}
TRIAL = {"job": IDS.ended, "shard": 3, "number": 3}
MESSAGE = {"jobs": [IDS.queued, IDS.small], "shards": [0, 0], "messages": [uuid4(), uuid4()]}
AHEAD = {"job": IDS.queued, "queue": "cpu", "priority": 4, "limit": 20}
COUNTS = {"rows": 1, "failed": 0}
LISTED: dict[str, object] = {
    **{"states": [], "kinds": None, "model": None, "version": None, "producer": None, "limit": 50},
    **{"first": FIRST_ID, "before": LAST_ID},
}

#: A producer of the gateway, and a batch of it in the hands of a gateway.
FILE: dict[str, object] = {
    **{"producer": "producer7", "id": "file-7", "purpose": None, "after": "file-7", "limit": 100},
    **{"after_time": datetime(2026, 1, 1, tzinfo=UTC)},
}
KEPT_ANSWER: dict[str, object] = {
    **{"producer": "producer7", "key": "key-7", "request": b"1", "holder": "h", "hold": 30.0, "keep": 86400.0},
    **{"status": 200, "headers": Jsonb({}), "content": b"{}", "upload": None, "limit": 100},
}
UPLOAD: dict[str, object] = {
    **{"producer": "producer7", "id": "upload_7", "part_ids": [], "file_id": "file-7", "limit": 100, "keep": 43200.0}
}
HELD: dict[str, object] = {**FILE, "id": "batch_7", "gateway": "a gateway", "lease": 30.0}

#: An endpoint of webhooks and a delivery to it.
HOOK: dict[str, object] = {
    **{"producer": "producer7", "id": "we_7", "endpoint": "we_7", "event": "evt_7", "claims": 0, "limit": 10},
    **{"state": "delivered", "delay": None, "log": Jsonb({}), "before_event": "", "since": datetime.now(UTC)},
    **{"before": datetime(2999, 1, 1, tzinfo=UTC), "failing": False, "each": 4, "busy": [], "counts": []},
    **{"lease": 120.0, "type": "job.failed", "data": Jsonb({}), "reason": "gone", "secret": "whsec_"},
}

#: Every hot statement with its parameters: what workers, the relay, producers and those who wait send all the time.
HOT: dict[str, Mapping[str, object]] = {
    "attempts.CLAIM": {**CLAIM, **MESSAGE},
    "attempts.CLAIM_NEXT": {**LEASE, "job": IDS.queued, "shard": -1, "queue": "cpu", "priority": 4},
    "attempts.RENEW": {**ATTEMPT, "lease": 60.0, "rows": 1, "age": 0.0, "first_rows": 1, "first_age": 0.0},
    "attempts.RESTART_COMPUTING": {"job": IDS.running},
    "attempts.FAILED_ROWS": {"job": IDS.ended, **RANGE},
    "attempts.FORGET_ROW_ERRORS": {"job": IDS.ended, **RANGE},
    "attempts.FINISH_SHARD": {**ATTEMPT, "rows": 1},
    "attempts.DECIDE_OUTPUT_FILE": {**ATTEMPT, "output_file": "part"},
    "attempts.FINISH_OUTPUT_FILE": {**ATTEMPT, **RANGE},
    "attempts.ALL_SHARDS_DONE": {"job": IDS.running},
    "attempts.ADD_NOTES": {"job": IDS.running, "notes": Jsonb(["a note"])},
    "attempts.COUNT_SHARD_DONE": {
        **{"job": IDS.running, **COUNTS, "added": 0, "rows_total": None, "outcome": None, "notes": Jsonb([])}
    },
    "attempts.SETTLE_JOBS": {"jobs": [IDS.running]},
    "attempts.ADD_SHARDS": {
        **{"job": IDS.running, "action": "infer", "queue": "cpu", "priority": 4, "max_attempts": 3},
        **{"indexes": [7], "starts": [7], "stops": [8], "offsets": [None], "lengths": [None]},
    },
    "attempts.FAIL_SHARD": {**ATTEMPT, "error": "x", "permanent": False},
    "attempts.RELEASE_SHARD": ATTEMPT,
    "attempts.DEFER_SHARD": {**ATTEMPT, "error": "x", "missing": True},
    "attempts.GIVE_BACK": MESSAGE,
    "attempts.COUNT_SHARDS_FAILED": {"jobs": [IDS.running], "failed": [1], "error": "x"},
    "attempts.EXPIRE_LEASES": {"error": "x", "limit": 20},
    "attempts.NOTIFY_JOB": {"job": IDS.running},
    "attempts.NOTIFY_TICKETS": {},
    "batch_sizes.READ_BATCH_SIZES": {"digest": "sha256:1", "device": "cpu"},
    "batch_sizes.WRITE_BATCH_SIZE": {
        **{"digest": "sha256:1", "device": "cpu", "length": 0},
        **{"batch_size": 8, "rows_per_second": 1.0, "settled": True},
    },
    "clock.SHORTEN_LEASES": {"limit": 200},
    "batching.CLAIM_BATCH": {**CLAIM, "batch_key": BATCH_KEY, "queue": "cpu", "priority": 4},
    "batching.FINISH_SHARDS": {"jobs": [IDS.running], "shards": [0], "attempts": [1], "rows": [1]},
    "batching.COUNT_SHARDS_DONE": {"jobs": [IDS.running], "rows": [1], "failed": [0]},
    "cancel_retry.LOCK_SHARDS": {"job": IDS.running},
    "cancel_retry.CANCEL_SHARDS": {"job": IDS.running},
    "cancel_retry.END_JOB": {"job": IDS.running, "state": "cancelled", "error": "x"},
    "cancel_retry.RETRY_SHARDS": {"job": IDS.ended},
    "cancel_retry.RETRY_FAILED_ROWS": {"job": IDS.ended},
    "cancel_retry.READ_OUTPUT": {"job": IDS.ended},
    "cancel_retry.RETRY_JOB": {"job": IDS.ended, "shards": 0, "rows": 0},
    "chains.DUE_JOBS": {},
    "chains.READ_UPSTREAM": {"job": IDS.ended},
    "chains.READY_JOB": {"job": IDS.waiting, "version": 1, "digest": "sha256:1"},
    "chains.READY_SHARDS": {"job": IDS.waiting},
    "chains.READY_DEPENDENCY": {"job": IDS.waiting},
    "chains.SET_UPSTREAM_FAILED": {"job": IDS.waiting, "failed": True},
    "chains.READ_UNREADY": {"job": IDS.waiting},
    "chains.WAIT_JOB": {"job": IDS.waiting},
    "chains.WAIT_SHARDS": {"job": IDS.waiting},
    "chains.LIST_DOWNSTREAM_FAILED": {"job": IDS.ended},
    "chains.LIST_CHAIN": {"job": IDS.ended},
    "shards.checkpoints.NEWEST_CHECKPOINT": {"job": IDS.ended_training},
    "shards.checkpoints.ADD_CHECKPOINT": {
        **{"job": IDS.ended_training, "step": 5, "attempt": 1, "epoch": 1, "blob": "sha256:1", "size_bytes": 1}
    },
    "shards.checkpoints.PRUNE_CHECKPOINTS": {"job": IDS.ended_training, "keep": 1},
    "shards.checkpoints.REWIND_METRICS": {"job": IDS.ended_training, "step": 5, "epochs": 5},
    "fence.CHECK_FENCE": ATTEMPT,
    "shards.logs.ADD_LOG_PARTS": {**LOG, "starts": [0], "texts": ["a line\n"]},
    "shards.logs.DELETE_LOG_PARTS": {**LOG, "first": 65536, "last": 100000},
    "shards.logs.ADD_LOG_END": {**LOG, "text": "a line\n"},
    "shards.logs.LIST_LOG_PARTS": {
        **{"job": IDS.ended_training, "shard": None, "attempt": None, "since": datetime(2026, 1, 1, tzinfo=UTC)},
        **{"after_shard": -1, "after_attempt": -1, "after_start": -1, "limit": 64},
    },
    **dict.fromkeys(
        (
            f"gateway.kept_answers.{name}"
            for name in ("TAKE_KEY", "READ_ANSWER", "HOLD_KEY", "KEEP_ANSWER", "RELEASE_KEY")
        ),
        KEPT_ANSWER,
    ),
    "gateway.kept_answers.REMOVE_OLD_ANSWERS": KEPT_ANSWER,
    "gateway.files.READ_FILE": FILE,
    "gateway.files.SUM_FILES": FILE,
    "gateway.files.LIST_FILES": FILE,
    "gateway.files.LIST_FILES_NEWEST_FIRST": FILE,
    "gateway.files.DELETE_FILE": FILE,
    "gateway.files.REMOVE_EXPIRED": FILE,
    **dict.fromkeys(
        (
            f"gateway.uploads.{name}"
            for name in (
                *("READ_UPLOAD", "LOCK_PENDING", "LIST_PARTS", "COUNT_PARTS", "COMPLETE_UPLOAD", "CANCEL_UPLOAD"),
                *("DELETE_PARTS", "REMOVE_EXPIRED_PARTS", "REMOVE_OLD_UPLOADS"),
            )
        ),
        UPLOAD,
    ),
    "gateway.batches.READ_BATCH": HELD,
    "gateway.batches.LIST_BATCHES": HELD,
    "gateway.batches.CANCEL_BATCH": HELD,
    "gateway.batches.RENEW_LEASE": HELD,
    "gateway.batches.RELEASE_BATCH": {**HELD, "pause": 5.0, "failures": 1},
    "gateway.batches.LOCK_RUNNING": HELD,
    "gateway.batches.READ_EXPIRED": {"jobs": [IDS.ended]},
    "gateway.batches.SET_PLAN": {**HELD, "plan": "sha256:1", "blobs": [], "models": [], "total": 1, "failed": 0},
    "gateway.batches.SET_JOBS": {**HELD, "jobs": [], "errors": []},
    "gateway.batches.BEGIN_FINALIZING": HELD,
    "gateway.batches.END_BATCH": {
        **{**HELD, "state": "completed", "from_state": "finalizing", "total": 1, "completed": 1, "failed": 0},
        **{"usage": None, "errors": None, "output_file_id": None, "error_file_id": None},
    },
    "gateway.batches.COUNT_ROWS": {**HELD, "ids": ["batch_7"]},
    **{
        f"gateway.webhooks.{name}": HOOK
        for name in (
            *("ADD_EVENT", "LIST_ENDPOINTS", "READ_ENDPOINT", "ENABLE_ENDPOINT"),
            *("DELETE_ENDPOINT", "REPLACE_SECRETS", "REDELIVER_EVENT", "REDELIVER_SINCE", "LIST_DELIVERIES"),
            *("CLAIM_DELIVERIES", "RECORD_TRY", "MARK_FAILING", "MARK_WORKING", "DISABLE_ENDPOINT", "DROP_PENDING"),
            *("DELETE_OLD_EVENTS", "DELETE_OLD_SECRETS", "COUNT_PENDING"),
        )
    },
    "maintenance.PAST_DEADLINE": {},
    "maintenance.UNPUBLISHED": {"grace": 5.0, "limit": 5000},
    "maintenance.NEXT_DUE": {},
    "maintenance.WAITING_QUEUES": {"grace": 5.0, "queues": ["cpu", "gpu"]},
    "maintenance.QUEUE_DEPTHS": {"queues": ["cpu", "gpu"], "limit": 500},
    "maintenance.COUNT_UNPUBLISHED": {"limit": 500},
    "maintenance.READ_ENDED": {"jobs": [IDS.running, IDS.ended]},
    "maintenance.STILL_QUEUED": {**MESSAGE, "numbers": [0, 1]},
    "maintenance.LOST": {**MESSAGE, "grace": 5.0, "queue": "cpu", "priority": 4, "all": False, "limit": 100},
    "models.RESOLVE_VERSION": ALIAS,
    "models.RESOLVE_ALIAS": ALIAS,
    "models.RESOLVE_NEWEST": ALIAS,
    "models.LIST_VERSIONS": ALIAS,
    "models.ALIAS_HISTORY": ALIAS,
    "models.MODEL_HISTORY": ALIAS,
    "models.READ_DELETED": ALIAS,
    "models.READ_SIZES": ALIAS,
    "models.LOCK_VERSION": {"digest": "sha256:1"},
    "models.MOVE_ALIAS_BY_JOB": {**ALIAS, "gate": None, "job": IDS.ended_training},
    "models.TAKE_VERSION": ALIAS,
    "models.ADD_VERSION": {**ALIAS, "version": 99, "digest": "sha256:1", "manifest": Jsonb({}), "job": None},
    "models.MOVE_ALIAS": {**ALIAS, "gate": None, "is_rollback": True},
    "models.REMOVE_ALIAS": ALIAS,
    "models.LOCK_MODEL": ALIAS,
    "models.NEWEST_EVALUATION": {**ALIAS, "model": "model1", "version": 1, "target": None, "data": None},
    "models.ALIASES_OF_VERSION": ALIAS,
    "models.JOBS_OF_VERSION": {**ALIAS, "digest": "sha256:1"},
    "models.DELETE_VERSION": ALIAS,
    "queries.READ_JOB": {"job": IDS.running},
    "queries.READ_JOBS": {"jobs": [IDS.running, IDS.ended, IDS.queued]},
    "queries.LIST_JOBS": LISTED,
    "queries.LIST_JOBS_IN_STATES": {**LISTED, "states": ["queued", "succeeded"]},
    "queries.FIND_JOBS": {"first": IDS.ended, "last": IDS.ended, "limit": 11},
    "queries.NEWEST_OF_PRODUCER": {"producer": "tests"},
    "queries.READ_NEIGHBOURS": {"jobs": [IDS.running, IDS.ended, IDS.queued]},
    "queries.READ_STATE": {"job": IDS.running},
    "queries.READ_NOT_ENDED": {"jobs": [IDS.running, IDS.ended, IDS.queued]},
    "queries.READ_PRUNED": {"job": IDS.ended},
    "queries.LIST_SHARDS": {"job": IDS.ended, "after": -1, "limit": None},
    "queries.READ_RESULTS": {"job": IDS.ended},
    "queries.READ_ENDS": {"jobs": [IDS.running, IDS.ended, IDS.queued]},
    "queries.READ_RESULTS_OF_JOBS": {"jobs": [IDS.running, IDS.ended]},
    "queries.LIST_ROW_ERRORS_OF_JOBS": {"jobs": [IDS.running, IDS.ended]},
    "queries.READ_RESULTS_PAGE": {"job": IDS.ended, "after": 10, "limit": 1000, "max_bytes": 1 << 20},
    "queries.LIST_ROW_ERRORS": {"job": IDS.ended, "after": -1, "limit": 1000},
    "queries.LIST_RUNNING": {"limit": 100},
    "queries.NEXT_SHARD": {"job": IDS.queued, "first": 0, "limit": 100},
    "queries.COUNT_AHEAD": {**AHEAD, "published_at": None},
    "queries.LIST_FAILURES": {"job": IDS.ended, "looked_at": 100, "limit": 10},
    "queries.LIST_NEXT": {"queues": ["cpu", "gpu"], "looked_at": 20, "limit": 10},
    "queries.COUNT_OPEN_JOBS": {"limit": 100},
    "queries.LIST_METRICS": {"job": IDS.ended_training},
    "queries.READ_LAST_EPOCH": {"job": IDS.ended_training},
    "batching.LOCK_CURRENT": {"jobs": [IDS.running], "shards": [0], "attempts": [1]},
    "batching.RENEW_MANY": {"jobs": [IDS.running], "shards": [0], "attempts": [1], "lease": 60.0},
    "batching.DONE_ROWS": {"job": IDS.ended, **RANGE},
    "batching.FORGET_FAILED": ATTEMPT,
    "batching.FINISH_COMMITTED": {"finished_jobs": [IDS.running], "finished_shards": [0], "finished_rows": [1]},
    "batching.COUNT_ROWS": {
        **{"jobs": [IDS.running], "rows": [1], "failed": [0], "finished": [True]},
        **{"prompt_tokens": [1], "completion_tokens": [1], "cached_tokens": [0], "seconds": [1.0]},
    },
    "shards.partial_texts.DELETE_TEXT_ENDS": {"jobs": [IDS.ended], "rows": [4], "indexes": [1], "starts": [10]},
    "shards.partial_texts.LIST_TEXTS": {"job": IDS.ended, **RANGE},
    "shards.partial_texts.DELETE_TEXTS_OF_ROWS": {"jobs": [IDS.ended], "rows": [4]},
    "maintenance.EXPIRE_JOB": {"job": IDS.running},
    "queries.ROWS_NOT_RUN": {"job": IDS.ended, "limit": 1000},
    "batching.FIRST_WAITING": {"queues": ["cpu", "gpu"]},
    "submission.FIND_KEYS": {"producer": "tests", "keys": ["key77", "new"]},
    "submission.MARK_PUBLISHED": MESSAGE,
    "submission.SUBMIT_ONE": {
        **{"id": uuid4(), "input": uuid4(), "data": b"rows", "blob": None, "kind": "infer", "producer": "tests"},
        **{"queue": "cpu", "priority": 4, "spec": Jsonb({}), "model": "model1", "version": 1, "digest": "sha256:1"},
        **{"max_attempts": 3, "rows_per_shard": None, "rows_total": 1, "timeout": None, "action": "infer"},
        **{"start": 0, "stop": 1, "offset": None, "length": None, "batch_key": BATCH_KEY},
    },
    "submission.READ_INPUTS": {"ids": [IDS.ended]},
    "trials.LIST_TRIALS": TRIAL,
    "trials.BEGIN_TRIAL": {**TRIAL, "worker": "cpu:0@tests", "parameters": Jsonb({})},
    "trials.REPORT_TRIAL": {**TRIAL, "step": "1", "value": 0.5},
    "trials.SETTLE_TRIAL": {
        **TRIAL,
        **{"state": "complete", "value": 0.5, "metrics": Jsonb({}), "error": None, "digest": None, "manifest": None},
    },
    "trials.READ_TRIAL_MANIFEST": TRIAL,
    "trials.IS_LAST_TRIAL": TRIAL,
    "workers.SEE_WORKER": {
        **{"name": "cpu:0@tests", "device": "cpu", "queue": "cpu", "host": "tests", "pid": 1, "families": ["mlp"]}
    },
    "workers.FORGET_WORKER": {"name": "cpu:0@tests", "pid": 1, "host": "tests"},
    "workers.FORGET_SILENT_WORKERS": {"age": 86400.0},
    "workers.COUNT_SILENT_WORKERS": {"age": 86400.0},
    "workers.LIST_WORKERS": {"timeout": 20.0},
    "workers.LIVE_QUEUES": {"timeout": 20.0},
    "workers.KNOWN_FAMILIES": {},
}

#: Hot statements that visit more rows than the others, and how many.
KNOWN_EXCEPTIONS = {
    # For each running job that is listed, the running shards of all jobs: there are as many as devices.
    "queries.LIST_JOBS": 50 + 2 * ACTIVE_JOBS * (2 * ACTIVE_JOBS + 1),
    # The same, and up to as many jobs of each state, of which the newest are listed.
    "queries.LIST_JOBS_IN_STATES": 4 * 50 + 2 * ACTIVE_JOBS * (2 * ACTIVE_JOBS + 1),
    # Also all jobs, until enough of the kind are found: what a person asks for with --kind, now and then.
    "queries.LIST_JOBS of a rare kind": ENDED_JOBS + 10 * ACTIVE_JOBS,
}

#: Statements that are not explained, and why.
COLD = {
    **dict.fromkeys(
        ("clock.EXTEND_LEASES", "clock.LOOK_AGAIN", "clock.FORGET_FUTURE"),
        "after the clock of Postgres was set, and once when a relay begins to lead",
    ),
    "clock.READ_CLOCK": "reads no table",
    "demo": "a tour of one job's results",
    "gateway.tokens": "there are some hundreds",
    "gateway.webhooks.ADD_ENDPOINT": "inserts a row",
    "gateway.webhooks.CHANGE_ENDPOINT": "changes a row, as ENABLE_ENDPOINT",
    "gateway.webhooks.ADD_SECRET": "inserts a row",
    "gateway.webhooks.DELETE_DELIVERIES": "removes all deliveries of an endpoint, at a person's command",
    "gateway.webhooks.ADD_TEST_EVENT": "inserts a row",
    "gateway.webhooks.ADD_DELIVERY": "inserts a row",
    "gateway.files.ADD_FILE": "inserts a row",
    "gateway.uploads.ADD_UPLOAD": "inserts a row",
    "gateway.uploads.ADD_PART": "inserts a row",
    "gateway.batches.ADD_BATCH": "inserts a row",
    "gateway.batches.TAKE_BATCHES": "calls a function, which reads the index of batches that have not ended",
    "installation": "for the start, the status and the doctor: they look at the whole",
    "limits": "for the owner of the tables, who sets a few limits",
    "partitions": "alters tables, once a week",
    "retention": "removes old results, and looks for them in all jobs, at a person's command",
    "roles": "reads catalogs, at a migration",
    "space": "looks at the whole, in samples of large tables, at a person's command",
    "sessions": "settings, locks and catalogs",
    "channels": "no query",
    "models.LIST_MODELS": "lists all models",
    "models.LIST_DELETED": "for a sweep, at a person's command",
    "models.VERSIONS_TRAINED_FROM": "looks for a version in the lineage of all, when a person deletes it",
    "models.SET_ACTOR": "reads no table",
    "models.ANY_VERSION": "reads one row, when a store seems to be empty",
    "queries.SORT_JOBS": "reads each job that is chosen once, at a person's command",
    "queries.SAMPLE_ROWS_QUERY": "the first rows of the demo's job",
    "queries.ACCURACY_QUERY": "all rows of the demo's job",
    "submission.READ_CLOCK": "reads no table",
    "submission.INSERT_JOBS": "inserts a row",
    "submission.INSERT_SHARDS": "inserts a row",
    "chains.INSERT_DEPENDENCIES": "inserts a row",
    "trials.LOCK_TRIALS": "reads no table",
}


@pytest.fixture(scope="module")
def filled(services: Settings) -> Iterator[Ledger]:
    with own_ledger(services) as ledger:
        fill(ledger)
        yield ledger


@dataclass(frozen=True)
class Visit:
    """What the execution of a statement has read."""

    #: Of tables that grow, with the reason why each is too much.
    scans: list[str]
    rows: int
    #: Of 8 KiB.
    pages: int


def explain(ledger: Ledger, statement: str, values: Mapping[str, object]) -> Visit:
    """Run a statement, and take back what it has done."""
    with ledger.database.own_connection() as conn, conn.transaction(force_rollback=True):
        command = sql.SQL("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) ") + sql.SQL(statement)
        row = conn.execute(command, values or None).fetchone()
    assert row is not None
    plan = cast(Node, row[0][0]["Plan"])
    nodes = list(nodes_of(plan))
    scans = [
        f"{node['Node Type']} of {node['Relation Name']}"
        for node in nodes
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] not in SMALL_TABLES and visited(node) > 0
    ]
    pages = int(str(plan["Shared Hit Blocks"])) + int(str(plan["Shared Read Blocks"]))
    return Visit(scans, sum(visited(node) for node in nodes if "Relation Name" in node or "Index Name" in node), pages)


def nodes_of(plan: Node) -> Iterator[Node]:
    yield plan
    for child in cast("list[Node]", plan.get("Plans", [])):
        yield from nodes_of(child)


def visited(node: Node) -> int:
    """Rows that a scan has read, whether it has passed them on or not."""
    removed = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    each = float(str(node["Actual Rows"])) + sum(float(str(node.get(name, 0))) for name in removed)
    return round(each * float(str(node["Actual Loops"])))


def statement_of(name: str) -> str:
    module, _, constant = name.rpartition(".")
    return str(getattr(statement_modules()[module], constant))


@pytest.mark.parametrize("name", HOT)
def test_a_hot_statement_visits_few_rows(filled: Ledger, name: str) -> None:
    visit = explain(filled, statement_of(name), HOT[name])
    assert not visit.scans
    assert visit.rows <= KNOWN_EXCEPTIONS.get(name, MAX_ROWS)
    assert visit.pages <= MAX_PAGES


@pytest.mark.parametrize("state", ["queued", "running", "waiting", "succeeded", "cancelled"])
def test_so_does_the_list_of_jobs_in_a_state(filled: Ledger, state: str) -> None:
    visit = explain(filled, statements.queries.LIST_JOBS_IN_STATES, {**LISTED, "states": [state]})
    assert not visit.scans
    assert visit.rows <= KNOWN_EXCEPTIONS["queries.LIST_JOBS_IN_STATES"]


@pytest.mark.parametrize("states", [[], ["succeeded", "failed"]])
def test_the_list_of_a_producers_jobs_reads_none_of_others(filled: Ledger, states: list[str]) -> None:
    statement = statements.queries.LIST_JOBS_IN_STATES if states else statements.queries.LIST_JOBS
    visit = explain(filled, statement, {**LISTED, "states": states, "producer": "early"})
    assert not visit.scans
    assert visit.rows <= MAX_ROWS


def test_the_list_of_jobs_of_a_rare_kind_reads_the_jobs_once(filled: Ledger) -> None:
    visit = explain(filled, statements.queries.LIST_JOBS, {**LISTED, "kinds": ["tune"], "limit": 100})
    assert visit.rows <= KNOWN_EXCEPTIONS["queries.LIST_JOBS of a rare kind"]


@pytest.mark.parametrize("sort", ["took", "speed", "model"])
def test_a_sorted_list_reads_the_jobs_once(filled: Ledger, sort: str) -> None:
    values = {**LISTED, "sort": sort, "descending": True, "after": IDS.ended}
    visit = explain(filled, statements.queries.SORT_JOBS, values)
    assert set(visit.scans) <= {"Seq Scan of jobs"}
    # And of each running job the running shards, of which there are as many as devices.
    assert visit.rows <= ENDED_JOBS + 10 * ACTIVE_JOBS + ACTIVE_JOBS * (2 * ACTIVE_JOBS + 1)


def test_a_scan_of_a_growing_table_is_seen(filled: Ledger) -> None:
    visit = explain(filled, "SELECT count(*) FROM shards WHERE worker = %(worker)s", {"worker": "nobody"})
    assert visit.scans == ["Seq Scan of shards"]
    assert visit.rows > 100_000


def test_every_statement_is_hot_or_cold() -> None:
    missing = []
    # The last two are one: a part of the claims.
    known = {*HOT, *COLD, "attempts.SAME_BATCH_KEY", "batching.SAME_BATCH_KEY"}
    for module, loaded in statement_modules().items():
        for constant, value in vars(loaded).items():
            name = f"{module}.{constant}"
            text = value.strip() if isinstance(value, str) else ""
            is_query = text.startswith(("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")) and constant.isupper()
            if is_query and not constant.startswith("_") and not {name, module} & known:
                missing.append(name)
    assert not missing
