"""Results that are joined by the caller's own key, in SQL and as frames, for every way in which rows travel."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import numpy as np
import pandas as pd
import polars as pl
import psycopg
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from pydantic import JsonValue

from longshore.producers import Client, Infer, Job, ResultRow
from longshore.shared import limits
from longshore.shared.errors import InvalidInput, JobFailed
from longshore.shared.vocabulary import State
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.integration.inference.test_inference_options import WHOLE, times
from tests.waiting import TIMEOUT_S

ROWS = 700
#: Texts that COPY, JSON or a table could change.
HARD = [
    *("", " ", "\\", "\\N", "\\.", 'a"b', "tab\there", "line\nbreak", "{}", "null", "é\u2028漢\U0001f600"),
    *("\\u0000", "1e5"),
]
BIG = 2**53 + 1


@pytest.fixture(scope="module")
def client(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The version ``same`` gives the number ``x`` of a row as its value."""
    path = tmp_path_factory.mktemp("programs") / "same.onnx"
    path.write_bytes(times([[1.0]]).SerializeToString())
    with cluster.client() as client:
        client.models.import_(path, "same", signature=WHOLE)
        yield client


def rows_with_keys() -> pa.Table:
    """Rows whose value follows from their key only by a join: numbers of 17 digits and hard texts, in no order."""
    order = np.random.default_rng(7).permutation(ROWS)
    texts = [f"{HARD[number % len(HARD)]}{number}" for number in order]
    return pa.table({"x": (order % 97).astype(np.float32), "id": BIG + order, "name": texts})


def joined(cluster: Cluster, job: Job, rows: pa.Table, on: str) -> list[tuple[float, float]]:
    """By SQL alone: the ``x`` of each row of a table of the caller, and the value of the result with its key."""
    with psycopg.connect(cluster.settings.database_url) as conn:
        conn.execute("CREATE TEMPORARY TABLE mine (id bigint, name text, x float8)")
        with conn.cursor().copy("COPY mine (id, name, x) FROM STDIN") as copy:
            for row in rows.to_pylist():
                copy.write_row((row["id"], row["name"], row["x"]))
        return conn.execute(
            f"SELECT mine.x, (r.output->>'value')::float8 FROM mine JOIN results AS r ON {on} WHERE r.job_id = %s",
            [job.id],
        ).fetchall()


def keys_in(cluster: Cluster, table: str, job: Job) -> dict[int, object]:
    """The keys of rows in a table of the ledger, decoded by Postgres' own driver."""
    with psycopg.connect(cluster.settings.database_url) as conn:
        query = psycopg.sql.SQL("SELECT row, key FROM {} WHERE job_id = %s").format(psycopg.sql.Identifier(table))
        return dict(conn.execute(query, [job.id]).fetchall())


def write(rows: pa.Table, path: Path) -> None:
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(rows, path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows.to_pylist()))
    else:
        pq.write_table(rows, path, row_group_size=150)


@pytest.mark.parametrize("shard", [None, 90])
@pytest.mark.parametrize("form", ["rows.parquet", "rows.csv", "rows.jsonl", "table", "frame", "dicts"])
def test_results_join_by_the_key_in_sql(
    cluster: Cluster, client: Client, tmp_path: Path, form: str, shard: int | None
) -> None:
    rows = rows_with_keys()
    data: object = {"table": rows, "frame": rows.to_pandas(), "dicts": rows.to_pylist()}.get(form, tmp_path / form)
    if isinstance(data, Path):
        write(rows, data)
    job = client.infer("same", data, keep=["id", "name"], rows_per_shard=shard)
    results = job.wait(TIMEOUT_S).results()
    for on in ("(r.key->>'id')::bigint = mine.id", "r.key->>'name' = mine.name"):
        pairs = joined(cluster, job, rows, on)
        assert len(pairs) == ROWS
        assert all(mine == value for mine, value in pairs)
    assert results.column_names == ["row", "id", "name", "value"]
    assert results["name"].to_pylist() == rows["name"].to_pylist()
    ids = rows["id"].to_pylist()
    assert results["id"].to_pylist() == ([str(id_) for id_ in ids] if form == "rows.csv" else ids)


def test_frames_join_by_the_key(client: Client) -> None:
    rows = rows_with_keys()
    results = client.infer("same", rows, keep=["id"]).wait(TIMEOUT_S).results()
    merged = results.to_pandas().merge(rows.to_pandas(), on="id")
    assert len(merged) == ROWS
    assert (merged["x"] == merged["value"]).all()
    frame = results.to_polars().join(pl.DataFrame(rows), on="id")
    assert (frame["x"] == frame["value"]).all()
    assert pa.table(results).equals(results.to_arrow())
    assert pl.DataFrame(results).height == len(results) == results.num_rows == ROWS


def test_rows_come_with_their_keys(client: Client) -> None:
    job = client.infer("same", {"x": [1.0, 2.0], "id": ["a", None]}, keep=["id"]).wait(TIMEOUT_S)
    expected = [ResultRow(0, {"value": 1.0}, {"id": "a"}), ResultRow(1, {"value": 2.0}, {"id": None})]
    assert list(job.stream()) == list(job.results()) == expected
    plain = client.infer("same", {"x": [1.0]}).wait(TIMEOUT_S)
    assert list(plain.stream()) == list(plain.results()) == [ResultRow(0, {"value": 1.0})]
    assert plain.results().column_names == ["row", "value"]


def test_every_type_that_can_be_kept(cluster: Cluster, client: Client, tmp_path: Path) -> None:
    moment = datetime(2024, 2, 29, 23, 59, 59, 999999)
    columns: Mapping[str, tuple[Sequence[object], pa.DataType | None, Sequence[object]]] = {
        "int": ([BIG, -BIG], pa.int64(), [BIG, -BIG]),
        "unsigned": ([2**64 - 1, None], pa.uint64(), [2**64 - 1, None]),
        "float": ([0.1, float("nan")], None, [0.1, None]),
        "endless": ([float("inf"), 1e300], None, [None, 10**300]),
        "half": ([0.5, None], pa.float16(), [0.5, None]),
        "bool": ([True, False], None, [True, False]),
        "text": (["a\\b", None], pa.large_string(), ["a\\b", None]),
        "category": (["x", "y"], pa.dictionary(pa.int8(), pa.string()), ["x", "y"]),
        "day": ([date(2024, 2, 29), None], None, ["2024-02-29", None]),
        "at": ([moment, None], pa.timestamp("us"), ["2024-02-29 23:59:59.999999", None]),
        "zoned": ([moment, None], pa.timestamp("us", "UTC"), ["2024-02-29 23:59:59.999999Z", None]),
        "time": ([time(1, 2, 3), None], pa.time32("ms"), ["01:02:03.000", None]),
        "uuid": ([UUID(int=7).bytes, None], pa.uuid(), [str(UUID(int=7)), None]),
        "nothing": ([None, None], None, [None, None]),
    }
    arrays = {name: pa.array(values, kind) for name, (values, kind, _) in columns.items()}
    rows = pa.table({"x": [1.0, 2.0], **arrays})
    pq.write_table(rows.drop_columns(["half"]), tmp_path / "rows.parquet")
    for data in (rows, tmp_path / "rows.parquet"):
        names = [name for name in columns if data is rows or name != "half"]
        job = client.infer("same", data, keep=names).wait(TIMEOUT_S)
        expected = {row: {name: columns[name][2][row] for name in names} for row in (0, 1)}
        assert keys_in(cluster, "results", job) == expected
        assert [row.key for row in job.stream()] == [expected[0], expected[1]]
        assert job.results()["unsigned"].to_pylist() == [2**64 - 1, None]
        assert job.results()["int"].type == pa.int64()
        assert job.results()["endless"].to_pylist() == [None, 1e300]


def test_numbers_keep_every_digit_in_sql(cluster: Cluster, client: Client, tmp_path: Path) -> None:
    digits = "12345678901234567890123456789.123456789"
    rows = pa.table({"x": [1.0], "id": pa.array([Decimal(digits)], pa.decimal128(38, 9))})
    (tmp_path / "rows.jsonl").write_text(f'{{"x": 1, "id": {digits}}}\n')
    for data in (rows, tmp_path / "rows.jsonl"):
        job = client.infer("same", data, keep=["id"]).wait(TIMEOUT_S)
        with cluster.ledger.database.connection() as conn:
            query = "SELECT key->>'id', (key->>'id')::numeric = %s FROM results WHERE job_id = %s"
            assert conn.execute(query, [Decimal(digits), job.id]).fetchall() == [(digits, True)]


def test_json_values_of_several_kinds(cluster: Cluster, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    values = ["1", '"1"', "true", "null", "1.50", '"\\ud83d\\ude00"', "NaN"]
    path.write_text("".join(f'{{"x": {row}, "id": {value}}}\n' for row, value in enumerate(values)))
    job = client.infer("same", path, keep=["id"]).wait(TIMEOUT_S)
    expected = [1, "1", True, None, 1.5, "\U0001f600", None]
    assert [row.key for row in job.stream()] == [{"id": value} for value in expected]
    assert job.results()["id"].to_pylist() == ["1", "1", "true", None, "1.5", "\U0001f600", None]


def test_row_errors_have_their_keys(cluster: Cluster, client: Client, tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    numbers = [None if row in (3, 650) else float(row) for row in range(ROWS)]
    pq.write_table(pa.table({"x": numbers, "id": [f"k{row}" for row in range(ROWS)]}), path)
    job = client.infer("same", path, keep=["id"], rows_per_shard=300, max_row_errors=2).wait(TIMEOUT_S)
    assert keys_in(cluster, "row_errors", job) == {3: {"id": "k3"}, 650: {"id": "k650"}}
    assert [(error.row, error.key) for error in job.errors()] == [(3, {"id": "k3"}), (650, {"id": "k650"})]
    shown = CommandLine(cluster.environment)("jobs", "show", str(job.id))
    assert "id=k650" in shown.out
    pq.write_table(pa.table({"x": list(map(float, range(ROWS))), "id": [f"k{row}" for row in range(ROWS)]}), path)
    job.retry(rows="failed").wait(TIMEOUT_S)
    assert keys_in(cluster, "row_errors", job) == {}
    assert keys_in(cluster, "results", job) == {row: {"id": f"k{row}"} for row in range(ROWS)}


@pytest.mark.parametrize("shard", [None, 2])
def test_a_key_that_cannot_be_stored_is_an_error_of_its_row(
    cluster: Cluster, client: Client, shard: int | None
) -> None:
    ids = ["good", "a\0b", "x" * limits.MAX_KEY_BYTES, "y" * (limits.MAX_KEY_BYTES - len('{"id": ""}')), "a\0b"]
    rows = {"x": [0.0, 1.0, 2.0, 3.0, None], "id": ids}
    job = client.infer("same", rows, keep=["id"], max_row_errors=3, rows_per_shard=shard).wait(TIMEOUT_S)
    assert keys_in(cluster, "results", job) == {0: {"id": "good"}, 3: {"id": ids[3]}}
    assert keys_in(cluster, "row_errors", job) == {1: None, 2: None, 4: None}
    messages = {error.row: error.message for error in job.errors()}
    assert (
        messages[1] == "its key cannot be stored: column 'id' has a character that Postgres does not store; remove it"
    )
    assert (
        messages[2] == "its key has 2,058 bytes as JSON, and at most 2,048 are stored; keep columns with short values"
    )
    assert "x" in messages[4]


def test_small_jobs_with_keys_of_several_types_share_a_call(cluster: Cluster, client: Client) -> None:
    ids: list[JsonValue] = [BIG + number if number % 3 else f"k{number}" for number in range(60)]
    ids[7] = 0.5
    requests = [Infer("same", [{"x": float(row), "id": id_}], keep=["id"]) for row, id_ in enumerate(ids)]
    requests[20] = Infer("same", [{"x": None, "id": "bad"}, {"x": 1.0, "id": "good"}], keep=["id"])
    jobs = client.submit_many(requests)
    for job in jobs[:20] + jobs[21:]:
        job.wait(TIMEOUT_S)
    with pytest.raises(JobFailed):
        jobs[20].wait(TIMEOUT_S)
    assert [list(job.stream()) for job in jobs[:20]] == [
        [ResultRow(0, {"value": float(row)}, {"id": id_})] for row, id_ in enumerate(ids[:20])
    ]
    assert [keys_in(cluster, "results", job) for job in jobs[21:]] == [{0: {"id": id_}} for id_ in ids[21:]]
    assert keys_in(cluster, "results", jobs[20]) == {1: {"id": "good"}}
    assert keys_in(cluster, "row_errors", jobs[20]) == {0: {"id": "bad"}}


def test_files_and_table_have_the_same_columns(cluster: Cluster, client: Client, tmp_path: Path) -> None:
    rows = rows_with_keys()
    job = client.infer("same", rows, output=f"{tmp_path}/*.parquet", keep=["id", "x"], results=True).wait(TIMEOUT_S)
    files = pa.concat_tables([pq.read_table(part) for part in job.parts()])
    results = job.results()
    assert results.column_names == files.column_names == ["row", "id", "x", "value"]
    assert results["id"].to_pylist() == files["id"].to_pylist() == rows["id"].to_pylist()
    # Files alone: nothing in the table changes, and every type that files hold can be kept.
    binary = pa.table({"x": [1.0], "raw": [b"raw"]})
    alone = client.infer("same", binary, output=f"{tmp_path}/b/*.parquet", keep=["raw"]).wait(TIMEOUT_S)
    assert "keyed" not in alone.record().spec
    with pytest.raises(InvalidInput, match="keep: column 'raw' holds binary, which is no key in the table"):
        client.infer("same", binary, output=f"{tmp_path}/c/*.parquet", keep=["raw"], results=True)


def test_a_chained_job_keeps_columns(cluster: Cluster, client: Client) -> None:
    table = pa.table({"x": np.arange(64, dtype=np.float32), "y": np.arange(64) % 2})
    training = client.train("chained", "linear", table, "y", epochs=1)
    job = training.then.infer({"x": [1.0, 2.0], "id": [BIG, 5]}, keep=["id"])
    with pytest.raises(InvalidInput, match=r"^keep: no column 'ID'"):
        training.then.infer({"x": [1.0], "id": [1]}, keep=["ID"])
    job.wait(TIMEOUT_S)
    assert keys_in(cluster, "results", job) == {0: {"id": BIG}, 1: {"id": 5}}


@pytest.mark.parametrize(
    ("columns", "keep", "said"),
    [
        ({}, ["who"], r"keep: no column 'who'; .*'x'"),
        ({"id": [1]}, ["id", "id"], "keep: 'id' stands there 2 times"),
        ({"label": ["a"]}, ["label"], "keep: 'label' is a column of the outputs; rename it in the data"),
        ({"raw": [b"a"]}, ["raw"], "keep: column 'raw' holds binary, which is no key in the table; keep numbers"),
        ({"tags": [["a"]]}, ["tags"], "keep: column 'tags' holds list<.*>, which is no key in the table"),
        ({"meta": [{"a": 1}]}, ["meta"], "keep: column 'meta' holds struct<.*>, which is no key in the table"),
        ({"id": ["\0"]}, ["id"], "keep: row 0: its key cannot be stored: column 'id' has a character that Postgres"),
        ({"id": ["x" * 3000]}, ["id"], "keep: row 0: its key has 3,010 bytes as JSON, and at most 2,048 are stored"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(
    client: Client, columns: dict[str, list[object]], keep: list[str], said: str
) -> None:
    with pytest.raises(InvalidInput, match=f"^{said}"):
        client.infer("same", pa.table({"x": [1.0], **columns}), keep=keep)


def test_a_file_without_the_column_or_with_objects_is_refused(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"x": 1, "meta": {"a": 1}}\n')
    with pytest.raises(InvalidInput, match=r"^keep: no column 'id'"):
        client.infer("same", path, keep=["id"])
    with pytest.raises(InvalidInput, match=r"^keep: row 0: .* column 'meta' holds a list or an object"):
        client.infer("same", path, keep=["meta"])


def test_the_command_line_shows_the_kept_columns(cluster: Cluster, client: Client, tmp_path: Path) -> None:
    run = CommandLine(cluster.environment)
    write(pa.table({"x": [1.0, 2.0], "zone": ["b", "a"], "id": [BIG, 7]}), tmp_path / "rows.parquet")
    arguments = ["--keep", "zone", "--keep", "id", "--wait", "--json"]
    job = run("infer", "same", str(tmp_path / "rows.parquet"), *arguments).fields["id"]
    table = run("results", str(job)).out.splitlines()
    assert [line.split() for line in table] == [
        ["ROW", "zone", "id", "value"],
        ["0", "b", str(BIG), "1"],
        ["1", "a", "7", "2"],
    ]
    lines = run("results", str(job), "--format", "jsonl").out.splitlines()
    assert json.loads(lines[0]) == {"row": 0, "zone": "b", "id": BIG, "value": 1.0}
    assert run("results", str(job), "--format", "csv").out.splitlines()[:2] == ["row,zone,id,value", f"0,b,{BIG},1"]
    saved = tmp_path / "saved.parquet"
    assert run("results", str(job), "-o", str(saved)).code == 0
    assert pd.read_parquet(saved)["id"].tolist() == [BIG, 7]


def test_a_retried_submission_is_the_same_job(client: Client) -> None:
    rows = {"x": [1.0], "id": [1]}
    first = client.infer("same", rows, keep=["id"], idempotency_key="kept once")
    assert client.infer("same", rows, keep=["id"], idempotency_key="kept once").id == first.id
    with pytest.raises(InvalidInput, match="idempotency_key"):
        client.infer("same", rows, idempotency_key="kept once")
    assert first.wait(TIMEOUT_S).state is State.SUCCEEDED


def test_an_index_on_a_key_takes_the_longest(cluster: Cluster, client: Client) -> None:
    with psycopg.connect(cluster.settings.database_url, autocommit=True) as conn:
        conn.execute("CREATE INDEX results_id_key ON results ((key->>'id'))")
        try:
            rng = np.random.default_rng(3)
            texts = ["".join(map(chr, rng.integers(0x4E00, 0x9FFF, 670))) for _ in range(5)]
            rows = {"x": [1.0] * 5, "id": texts}
            job = client.infer("same", rows, keep=["id"]).wait(TIMEOUT_S)
            found = conn.execute("SELECT row FROM results WHERE key->>'id' = %s", [texts[3]]).fetchall()
            assert found == [(3,)]
            assert job.state is State.SUCCEEDED
        finally:
            conn.execute("DROP INDEX results_id_key")


def test_times_join_as_times(cluster: Cluster, client: Client) -> None:
    moment = datetime(2024, 1, 2, 3, 4, 5, 678901, UTC)
    job = client.infer("same", {"x": [1.0], "at": [moment]}, keep=["at"]).wait(TIMEOUT_S)
    with cluster.ledger.database.connection() as conn:
        query = "SELECT (key->>'at')::timestamptz = %s FROM results WHERE job_id = %s"
        assert conn.execute(query, [moment, job.id]).fetchone() == (True,)
