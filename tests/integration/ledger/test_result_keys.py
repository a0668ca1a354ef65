"""Keys of results and row errors in the ledger, and the statements of the release that has none."""

from __future__ import annotations

import json
from uuid import UUID

import pyarrow as pa
from psycopg import sql

from longshore.shared.ledger import statements
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.queries import ResultRecord, RowErrorRecord
from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.shards.batching import Finished
from longshore.shared.ledger.shards.copy_rows import result_lines
from tests.integration.support import claim, lines, submit

#: What COPY's text format, JSON or ``jsonb`` could change.
IDS = ["\\N", "\\", "a\tb\nc", '"', "\u2028", "9007199254740993"]


def keyed(of: Claim, ids: list[str]) -> memoryview:
    keys = [json.dumps({"id": id_, "number": 2**53 + 1}) for id_ in ids]
    rows = pa.array(range(of.start, of.start + len(ids)), pa.int64())
    return result_lines(of.job_id, rows, pa.array(['{"value": 1}'] * len(ids)), pa.array(keys))


def read(ledger: Ledger, job: UUID) -> list[ResultRecord]:
    records = list(ledger.queries.results(job))
    assert records == ledger.queries.few_results(job)
    return records


def key_of(record: ResultRecord | RowErrorRecord) -> object:
    return None if record.key is None else json.loads(record.key)


def test_an_attempt_writes_results_and_errors_with_keys(ledger: Ledger) -> None:
    job = submit(ledger, len(IDS) + 2, max_row_errors=2)
    of = claim(ledger, job)
    last = len(IDS)
    with ledger.attempts.writing(of) as writer:
        writer.results(keyed(of, IDS), keyed=True)
        writer.fence(last)
        writer.row_errors({last: "bad", last + 1: "no key"}, {last: '{"id": "\\\\N"}'})
        writer.finish()
    assert [key_of(record) for record in read(ledger, job)] == [{"id": id_, "number": 2**53 + 1} for id_ in IDS]
    failed = ledger.queries.row_errors(job)
    assert [(record.row, record.error, key_of(record)) for record in failed] == [
        (last, "bad", {"id": "\\N"}),
        (last + 1, "no key", None),
    ]


def test_a_batch_of_small_shards_has_keys(ledger: Ledger) -> None:
    claims = [claim(ledger, submit(ledger, 2, max_row_errors=1)) for _ in range(3)]
    text = b"".join(bytes(keyed(of, [f"of {number}"])) for number, of in enumerate(claims))
    finished = [Finished(of, 1, {1: "bad"}, keys={1: f'{{"id": {number}}}'}) for number, of in enumerate(claims)]
    assert ledger.attempts.commit_batch(finished, memoryview(text), keyed=True) == set()
    for number, of in enumerate(claims):
        assert [key_of(record) for record in read(ledger, of.job_id)] == [{"id": f"of {number}", "number": 2**53 + 1}]
        assert [key_of(record) for record in ledger.queries.row_errors(of.job_id)] == [{"id": number}]


def test_results_without_keys_have_none(ledger: Ledger) -> None:
    of = claim(ledger, submit(ledger, 2))
    with ledger.attempts.writing(of) as writer:
        writer.results(lines(of))
        writer.fence(2)
        writer.finish()
    assert read(ledger, of.job_id) == [ResultRecord(0, '{"row": 0}'), ResultRecord(1, '{"row": 1}')]


def test_keys_follow_their_rows_into_a_new_partition(ledger: Ledger) -> None:
    """A partition is made like the table, and rows that came before it are moved there as they are."""
    job = submit(ledger, 1)
    of = claim(ledger, job)
    with ledger.attempts.writing(of) as writer:
        writer.results(keyed(of, ["moved"]), keyed=True)
        writer.fence(1)
        writer.finish()
    with ledger.database.transaction() as conn:
        for name in ("results", "row_errors"):
            names = {"name": sql.Identifier(f"new_{name}"), "table": sql.Identifier(name)}
            conn.execute(sql.SQL(statements.partitions.CREATE_PARTITION).format(**names))
            columns = conn.execute(
                "SELECT array_agg(attname ORDER BY attnum) FROM pg_attribute WHERE attrelid = %s::regclass "
                "AND attnum > 0 AND NOT attisdropped",
                [f"new_{name}"],
            ).fetchone()
            assert columns is not None
            assert columns[0][-1] == "key"
            conn.execute(sql.SQL(f"INSERT INTO new_{name} SELECT * FROM {name}"))
        moved = conn.execute("SELECT key->>'id' FROM new_results WHERE job_id = %s", [job]).fetchall()
        assert moved == [("moved",)]
        conn.execute("DROP TABLE new_results, new_row_errors")
