"""Compares what producers were told with what is in Postgres and in the output folders.

It shares no code with Longshore: it reads the journals of the producers, asks Postgres by SQL, and reads the files with
Arrow. What it knows of the model is a list of labels, computed by another program (ONNX Runtime) before any fault.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import psycopg
import pyarrow as pa
import pyarrow.json as pa_json
import pyarrow.parquet as pq

#: At most so many examples of each violation are kept.
MAX_EXAMPLES = 5


class Line(TypedDict, total=False):
    """A line of a journal. Each event has some of the fields."""

    event: str
    call: str
    shape: str
    keys: list[str]
    firsts: list[int]
    sizes: list[int]
    rows: int
    output: str
    model: str
    #: Ids of jobs.
    jobs: list[str]
    job: str
    returned: bool
    states: dict[str, str]


@dataclass
class Report:
    """What was found."""

    acknowledged: int = 0
    jobs: int = 0
    rows: int = 0
    #: By kind of violation: how many.
    violations: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def violation(self, kind: str, count: int, example: object) -> None:
        """Record violations of one kind."""
        if count:
            if self.violations[kind] < MAX_EXAMPLES:
                self.examples.append(f"{kind}: {example}")
            self.violations[kind] += count


@dataclass
class Asked:
    """One job that a producer asked for."""

    key: str
    shape: str
    first: int
    rows: int
    output: str | None
    model: str | None


@dataclass
class History:
    """What the journals say."""

    #: By idempotency key.
    asked: dict[str, Asked] = field(default_factory=dict)
    #: The key of each acknowledged job, by its id.
    acknowledged: dict[str, str] = field(default_factory=dict)
    #: Ids of jobs that a call to cancel was begun for, with what it returned, if it did.
    cancels: dict[str, bool | None] = field(default_factory=dict)
    #: The final state that a client has seen.
    seen: dict[str, str] = field(default_factory=dict)
    #: Jobs that one call has returned another id for than another call with the same key.
    doubled: list[str] = field(default_factory=list)


def read_history(journals: Iterable[Path]) -> History:
    """Read the journals of all producers. A last line that was cut off by a kill is left out."""
    history = History()
    for journal in journals:
        calls: dict[str, list[str]] = {}
        for line in _lines(journal):
            event = line["event"]
            if event == "call":
                keys = line["keys"]
                calls[line["call"]] = keys
                firsts = line.get("firsts", [0] * len(keys))
                sizes = line.get("sizes", [line.get("rows", 0)] * len(keys))
                for key, first, size in zip(keys, firsts, sizes, strict=True):
                    history.asked[key] = Asked(key, line["shape"], first, size, line.get("output"), line.get("model"))
            elif event == "acknowledged":
                _acknowledge(history, calls[line["call"]], line["jobs"])
            elif event == "cancel":
                history.cancels.setdefault(line["job"], None)
            elif event == "cancelled":
                history.cancels[line["job"]] = line["returned"]
            elif event == "seen":
                history.seen |= line["states"]
    return history


def _acknowledge(history: History, keys: Sequence[str], jobs: Sequence[str]) -> None:
    known = {key: job for job, key in history.acknowledged.items()} if len(keys) == 1 else {}
    for key, job in zip(keys, jobs, strict=True):
        if known.get(key, job) != job:
            history.doubled.append(f"{key}: {known[key]} and {job}")
        history.acknowledged[job] = key


def _lines(journal: Path) -> Iterator[Line]:
    for line in journal.read_text().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue


def check(database_url: str, history: History, labels: Sequence[str]) -> Report:
    """Compare the history with Postgres and the output folders; nothing may be at work any more.

    :param labels: of each image, as results hold it.
    """
    report = Report(acknowledged=len(history.acknowledged))
    with psycopg.connect(database_url) as connection:
        _load(connection, history, labels)
        report.jobs = _number(connection, "SELECT count(*) FROM jobs WHERE kind <> 'promote'")
        report.rows = _number(connection, "SELECT count(*) FROM results")
        for kind, query in QUERIES.items():
            found = connection.execute(query.encode()).fetchall()
            report.violation(kind, len(found), found[:3])
    for line in history.doubled:
        report.violation("two jobs for one key", 1, line)
    for asked in history.asked.values():
        if asked.output is not None:
            _check_files(database_url, asked, labels, report)
    return report


def _number(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


def _load(connection: psycopg.Connection, history: History, labels: Sequence[str]) -> None:
    """The history as temporary tables, so that Postgres compares."""
    connection.execute("CREATE TEMP TABLE asked (key text, shape text, first int, rows int, output text, model text)")
    connection.execute("CREATE TEMP TABLE told (job_id uuid, key text)")
    connection.execute("CREATE TEMP TABLE cancels (job_id uuid, returned bool)")
    connection.execute("CREATE TEMP TABLE seen (job_id uuid, state text)")
    connection.execute("CREATE TEMP TABLE expected (image int PRIMARY KEY, label text)")
    cursor = connection.cursor()
    with cursor.copy("COPY asked FROM STDIN") as copy:
        for each in history.asked.values():
            copy.write_row((each.key, each.shape, each.first, each.rows, each.output, each.model))
    for table, rows in (
        ("told", history.acknowledged.items()),
        ("cancels", history.cancels.items()),
        ("seen", history.seen.items()),
        ("expected", enumerate(labels)),
    ):
        with cursor.copy(f"COPY {table} FROM STDIN".encode()) as copy:
            for row in rows:
                copy.write_row(row)
    connection.execute("CREATE INDEX ON asked (key)")
    connection.execute("CREATE INDEX ON told (job_id)")
    connection.execute("ANALYZE asked, told")
    # Each check reads whole tables once. Statistics from the middle of a run make Postgres expect few rows, and read
    # them again for each job.
    connection.execute("SET enable_nestloop = off")


#: How many images there are: row ``i`` of a file is image ``i % IMAGES``.
IMAGES = 1797
#: Each returns a row for each violation of its kind.
QUERIES = {
    "lost: acknowledged, and not in Postgres": """
        SELECT told.* FROM told LEFT JOIN jobs ON jobs.id = told.job_id WHERE jobs.id IS NULL""",
    "phantom: in Postgres, and never asked for": """
        SELECT id, kind FROM jobs LEFT JOIN asked ON asked.key = idempotency_key
        WHERE asked.key IS NULL AND producer LIKE 'chaos-%'""",
    "unfinished": """
        SELECT id, kind, state, created_at FROM jobs WHERE state NOT IN ('succeeded', 'failed', 'cancelled')""",
    "failed, though it could succeed": """
        SELECT id, kind, error FROM jobs
        WHERE producer LIKE 'chaos-%' AND state = 'failed'
          AND NOT EXISTS (SELECT FROM jobs AS before JOIN job_dependencies ON depends_on = before.id
                          WHERE job_dependencies.job_id = jobs.id AND before.state = 'cancelled')""",
    "cancelled, though nobody asked": """
        SELECT id, kind, error FROM jobs LEFT JOIN cancels ON job_id = id
        WHERE producer LIKE 'chaos-%' AND state = 'cancelled' AND job_id IS NULL""",
    "not cancelled, though the call said so": """
        SELECT id, state FROM jobs JOIN cancels ON job_id = id WHERE returned AND state <> 'cancelled'""",
    "another end than a client has seen": """
        SELECT id, jobs.state, seen.state FROM jobs JOIN seen ON job_id = id
        WHERE jobs.state <> seen.state AND seen.state IN ('succeeded', 'failed', 'cancelled')""",
    "shards that are not ended": """
        SELECT job_id, index, state FROM shards WHERE state NOT IN ('succeeded', 'failed', 'cancelled')""",
    "wrong counters of shards": """
        SELECT id, shards_total, shards_done, found.* FROM jobs
        JOIN (SELECT job_id, count(*) AS total, count(*) FILTER (WHERE state = 'succeeded') AS done,
                     count(*) FILTER (WHERE state = 'failed') AS failed FROM shards GROUP BY job_id) AS found
          ON job_id = id
        WHERE (shards_total, shards_done, shards_failed) <> (total, done, failed)""",
    "wrong counters of rows": """
        SELECT id, rows_done, found FROM jobs
        LEFT JOIN (SELECT job_id, count(*) AS found FROM results GROUP BY job_id) AS results ON job_id = id
        WHERE kind = 'infer' AND spec->>'output' IS NULL AND rows_done <> coalesce(found, 0)""",
    "rows missing or too many": """
        SELECT jobs.id, asked.rows, rows_total, found.rows, least, most
        FROM jobs JOIN asked ON asked.key = idempotency_key
        LEFT JOIN (SELECT job_id, count(*) AS rows, min(row) AS least, max(row) AS most
                   FROM results GROUP BY job_id) AS found ON job_id = jobs.id
        WHERE kind = 'infer' AND state = 'succeeded' AND asked.output IS NULL
          AND (found.rows IS NULL OR (asked.rows::bigint, 0::bigint, asked.rows - 1::bigint)
                                  <> (found.rows, least, most))""",
    "rows with errors": """
        SELECT job_id, row, error FROM row_errors LIMIT 100""",
    "partial texts of rows that are done": """
        SELECT partial_texts.job_id, row FROM partial_texts LEFT JOIN results USING (job_id, row)
        LEFT JOIN row_errors USING (job_id, row) LEFT JOIN jobs ON id = partial_texts.job_id
        WHERE results.job_id IS NOT NULL OR row_errors.job_id IS NOT NULL OR state = 'succeeded' OR id IS NULL
        LIMIT 100""",
    "rows outside of the job": """
        SELECT results.job_id, row FROM results LEFT JOIN jobs ON id = results.job_id
        WHERE id IS NULL OR row < 0 OR row >= rows_total LIMIT 100""",
    "wrong results": f"""
        SELECT results.job_id, row, results.output, label FROM results
        JOIN jobs ON id = results.job_id JOIN asked ON asked.key = idempotency_key
        JOIN expected ON image = (first + row) % {IMAGES}
        WHERE results.output->>'label' IS DISTINCT FROM label LIMIT 100""",
    "versions of one training": """
        SELECT jobs.id, count(model_versions.version) FROM jobs
        LEFT JOIN model_versions ON model_versions.job_id = jobs.id
        WHERE kind IN ('train', 'tune') AND state = 'succeeded' AND producer LIKE 'chaos-%'
        GROUP BY jobs.id HAVING count(model_versions.version) <> 1""",
    "versions of jobs that did not succeed": """
        SELECT model_versions.model, model_versions.version, state FROM model_versions
        JOIN jobs ON model_versions.job_id = jobs.id WHERE state <> 'succeeded'""",
    "promoted another version": """
        SELECT jobs.id, jobs.model, jobs.version, model_aliases.version FROM jobs
        LEFT JOIN model_aliases ON model_aliases.model = jobs.model
        WHERE kind = 'promote' AND state = 'succeeded' AND producer LIKE 'chaos-%'
          AND model_aliases.version IS DISTINCT FROM jobs.version""",
    "trials missing": """
        SELECT jobs.id, count(*) FROM jobs JOIN trials ON trials.job_id = jobs.id
        WHERE kind = 'tune' AND jobs.state = 'succeeded' AND trials.state IN ('complete', 'pruned')
        GROUP BY jobs.id HAVING count(*) <> 3""",
}


def _check_files(database_url: str, asked: Asked, labels: Sequence[str], report: Report) -> None:
    """The output files of a job that succeeded hold each row once, and nothing else lies beside them."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT id, state FROM jobs WHERE idempotency_key = %s", [asked.key]).fetchone()
    if row is None or row[1] != "succeeded":
        return
    assert asked.output is not None
    pattern = Path(asked.output)
    files = sorted(path for path in pattern.parent.iterdir() if not path.name.startswith("."))
    hidden = [path.name for path in pattern.parent.iterdir() if path.name.startswith(".")]
    report.violation("orphan files", len(hidden), (row[0], hidden[:3]))
    report.violation("foreign files", len(foreign := [f for f in files if f.suffix != pattern.suffix]), foreign[:3])
    tables = [pq.read_table(path) if path.suffix == ".parquet" else pa_json.read_json(path) for path in files]
    rows = pa.concat_tables([table.select(["row", "label"]).cast(_COLUMNS) for table in tables])
    numbers = rows["row"].to_pylist()
    report.rows += len(numbers)
    report.violation("rows of files", int(sorted(numbers) != list(range(asked.rows))), (row[0], len(numbers)))
    found = rows["label"].to_pylist()
    wrong = [number for number, label in zip(numbers, found, strict=True) if labels[number % IMAGES] != label]
    report.violation("wrong results in files", len(wrong), (row[0], wrong[:3]))


_COLUMNS = pa.schema([("row", pa.int64()), ("label", pa.string())])
