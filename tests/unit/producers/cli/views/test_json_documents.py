"""Jobs as JSON documents and as text for people."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from longshore.producers.cli.views.job_view import summary
from longshore.producers.cli.views.short_values import metrics_text
from longshore.producers.documents.jobs import job_document
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
    assert document.spec == {"data": {"uri": "s3://bucket/rows.csv", "format": "csv"}}
    trained = replace(JOB, spec=dict.fromkeys(("data", "validation", "test"), JOB.spec["data"]))
    assert "secret" not in repr(job_document(trained))


def test_running_rows_count_as_done() -> None:
    assert job_document(JOB).done == 1023
    assert summary(JOB)["progress"] == "1,023 of ? rows, 20 failed"
    assert summary(JOB)["model"] == "digits:3"


def test_metrics_are_one_line() -> None:
    assert metrics_text({"loss": 0.123456, "accuracy": 1}) == "accuracy=1 loss=0.1235"
    assert metrics_text(None) == ""
