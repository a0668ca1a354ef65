"""Jobs as JSON documents and as text for people."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from longshore.producers.cli.views.job_view import summary
from longshore.producers.cli.views.json_documents import age, job_document, job_row, metrics_text
from longshore.shared.ledger.records import JobRecord
from longshore.shared.vocabulary import State

JOB = JobRecord(
    id=UUID(int=1),
    kind="infer",
    state=State.RUNNING,
    producer="me@here",
    queue="cpu",
    priority=4,
    spec={"data": {"uri": "s3://key:secret@bucket/rows.csv?signature=secret", "format": "csv"}},
    model="digits",
    version=3,
    digest="sha256:00",
    rows_total=None,
    rows_done=1000,
    rows_failed=20,
    shards_total=4,
    shards_done=1,
    shards_failed=0,
    outcome=None,
    error=None,
    created_at=datetime(2030, 1, 1, tzinfo=UTC),
    started_at=None,
    finished_at=None,
    deadline=None,
    read_at=datetime(2030, 1, 1, tzinfo=UTC),
    rows_running=3,
)


def test_credentials_in_urls_are_removed() -> None:
    document = job_document(JOB)
    assert "secret" not in repr(document)
    assert document["spec"] == {"data": {"uri": "s3://bucket/rows.csv", "format": "csv"}}
    trained = replace(JOB, spec=dict.fromkeys(("data", "validation", "test"), JOB.spec["data"]))
    assert "secret" not in repr(job_document(trained))


def test_running_rows_count_as_done() -> None:
    assert job_document(JOB)["done"] == 1023
    assert job_row(JOB)[4:7] == (1023, "", 20)
    assert summary(JOB)["progress"] == "1,023 of ? rows, 20 failed"
    assert summary(JOB)["model"] == "digits:3"


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172800, "2d")]
)
def test_ages_have_one_unit(seconds: int, text: str) -> None:
    assert age(datetime.now(UTC) - timedelta(seconds=seconds)) == text


def test_metrics_are_one_line() -> None:
    assert metrics_text({"loss": 0.123456, "accuracy": 1}) == "accuracy=1 loss=0.1235"
    assert metrics_text(None) == ""
