"""The pages about a home: their commands and queries run in one, in order."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator

import psycopg
import pytest

from longshore.broker import embedded
from longshore.producers import Client
from tests.integration import digits
from tests.integration.command_line import CommandLine
from tests.integration.documentation.pages import DOCS, Block, Reader, blocks
from tests.integration.homes import folder_for_homes
from tests.waiting import TIMEOUT_S

pytestmark = pytest.mark.slow

RESULTS = "reference/results-in-sql.md"
BACKUP = "how-to/home-backup.md"
SCHEDULED = "how-to/scheduled-jobs.md"
#: The address with the login that the page makes.
ANALYST = "${DATABASE_URL/longshore_producer_login:*@/analyst:change-me@}"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A home that is up, with two versions of ``digits``, both of which have computed ``test.parquet``."""
    work = tmp_path_factory.mktemp("work")
    digits.write(work / "test.parquet", 60)
    with folder_for_homes() as folder:
        reader = Reader(folder / "home", work)
        embedded.up(reader.home, detach=True, devices="cpu", flower=False)
        with Client(home=reader.home, producer="tests") as client:
            images, labels = digits.digits()
            for epochs in (1, 2):
                train = client.train("digits", "linear", digits.table(images, labels), "label", epochs=epochs)
                train.wait(TIMEOUT_S)
                client.infer(f"digits:{epochs}", str(work / "test.parquet")).wait(TIMEOUT_S)
            client.models.promote("digits:2", "production")
        yield reader


def test_the_columns_of_the_page_are_those_of_the_tables(reader: Reader) -> None:
    with Client(home=reader.home) as client, psycopg.connect(client.settings.database_url) as conn:
        columns = conn.execute(
            """SELECT attrelid::regclass::text, attname, format_type(atttypid, NULL) FROM pg_attribute
               JOIN pg_class ON pg_class.oid = attrelid
               WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped"""
        ).fetchall()
    types = {(table, name): kind.replace("timestamp with time zone", "timestamptz") for table, name, kind in columns}
    text = (DOCS / RESULTS).read_text()
    shown: dict[tuple[str, str], str] = {}
    for table in re.findall(r"^\| column of `(\w+)` ", text, re.MULTILINE):
        rows = text.partition(f"| column of `{table}` ")[2].partition("\n\n")[0]
        shown |= {(table, row[0]): row[1] for row in re.findall(r"^\| `(\w+)` \| ([\w ]+) \|", rows, re.MULTILINE)}
    assert len(shown) > 30
    assert shown == {column: types.get(column) for column in shown}


def test_every_query_of_the_page_answers_also_to_who_can_only_read(reader: Reader) -> None:
    answers = {}
    for block in blocks(RESULTS):
        if block.language != "sql":
            reader.run(block)
        elif block.text.startswith("CREATE"):
            query(reader, ANALYST, block.text)
        else:
            answers[block.text] = query(reader, "$DATABASE_URL", block.text)
    assert {text: query(reader, ANALYST, text) for text in answers} == answers
    # Every row was computed.
    assert [text for text, answer in answers.items() if "(0 rows)" in answer and "row_errors" not in text] == []
    assert "120" in query(reader, ANALYST, "SELECT count(*) FROM reports.labels")


def query(reader: Reader, url: str, text: str) -> str:
    """What ``psql`` prints for a query."""
    return reader.run(Block("sh", f"psql \"{url}\" --set ON_ERROR_STOP=1 <<'SQL'\n{text}\nSQL\n", None))


def test_a_scheduled_job_runs_once_a_day_and_its_exit_code_says_how(reader: Reader) -> None:
    make, first, second, python = blocks(SCHEDULED)
    reader.run(make)
    jobs = [re.findall(r"^job +(\S+)$", reader.run(block), re.MULTILINE) for block in (first, second)]
    assert len(jobs[0]) == 1
    assert jobs[0] == jobs[1]
    assert "60 rows" in reader.run(python)

    # Another file with the same key is a mistake, a row that cannot be computed a failure.
    longshore = CommandLine({**reader.environment, "LONGSHORE_PRODUCER": "nightly"})
    other = ("infer", "digits@production", digits.write(reader.folder / "other.parquet", 10), "--wait")
    refused = longshore(*other, "--idempotency-key", "nightly 2026-11-29")
    assert (refused.code, "was used before for another request" in refused.err) == (2, True)
    bad = reader.folder / "bad.jsonl"
    bad.write_text("".join(json.dumps({"pixels": [1] * width}) + "\n" for width in (64, 2)))
    assert longshore("infer", "digits@production", bad, "--wait").code == 1
    down = CommandLine({**reader.environment, "LONGSHORE_HOME": str(reader.folder / "nowhere")})
    assert down("infer", "digits@production", bad).code == 3


def test_a_home_is_back_after_its_loss_and_runs_jobs(reader: Reader) -> None:
    with Client(home=reader.home) as client:
        jobs = client.jobs()
        before = {
            job.id: job.results().to_pylist() for job in jobs if job.record().kind == "infer" and not job.errors()
        }
        done = {job.id: job.state for job in jobs}
    steps = [block for block in blocks(BACKUP) if "pip install" not in block.text]
    assert sum("longshore up" in block.text for block in steps) == 3
    for block in steps:
        reader.run(block)
        if "mv " in block.text:
            # Restored: what was there before is gone, and all of it is here.
            for lost in reader.home.parent.glob("home.*"):
                shutil.rmtree(lost)
            with Client(home=reader.home) as client:
                assert {job.id: job.state for job in client.jobs()} == done
                assert {job: client.job(job).results().to_pylist() for job in before} == before
                again = client.infer("digits@production", str(reader.folder / "test.parquet")).wait(TIMEOUT_S)
                assert len(again.results()) == 60
                done[again.id] = again.state
