"""What a notebook shows of clients, jobs, models and versions: useful, escaped, and without passwords."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from pydantic import JsonValue

from longshore.producers import Client
from longshore.producers.job import Job
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import JobRecord, ModelRecord, VersionRecord
from longshore.shared.vocabulary import State

ID = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def record() -> JobRecord:
    return JobRecord(
        id=ID, kind="train", state=State.SUCCEEDED, producer="<me>", queue="cpu", priority=4,
        spec={"data": {"uri": "s3://key:hunter2@bucket/x.csv"}}, model="<b>digits</b>", version=None, digest=None,
        rows_total=10, rows_done=10, rows_failed=0, shards_total=1, shards_done=1, shards_failed=0, outcome=None,
        error=None, created_at=NOW, started_at=NOW, finished_at=NOW, deadline=None, read_at=NOW,
    )  # fmt: skip


def test_a_client_shows_where_it_is_connected_and_no_password() -> None:
    client = Client(
        redis_url="redis://:hunter2@redis:6379/0",
        database_url="postgresql://me:hunter2@db:5432/longshore?password=hunter2",
        store="s3://key:hunter2@bucket/models",
        producer="<b>me</b>",
    )
    with client:
        assert repr(client) == "<Client postgresql://db:5432/longshore as <b>me</b>>"
        html = client._repr_html_()
    assert "redis:6379" in html
    assert "s3://bucket/models" in html
    assert "&lt;b&gt;me&lt;/b&gt;" in html
    assert "hunter2" not in html


def test_a_job_shows_what_it_knows_without_a_query() -> None:
    ledger = Ledger("postgresql://nowhere.invalid/x", "test")
    assert repr(Job(ID, ledger, lambda tickets: None)) == f"<Job {ID}>"
    job = Job(ID, ledger, lambda tickets: None, record())
    assert repr(job) == f"<Job {ID} train <b>digits</b> succeeded, 10 of 10 epochs>"

    def shown(**fields: object) -> str:
        return repr(Job(ID, ledger, lambda tickets: None, replace(record(), **fields)))  # type: ignore[arg-type]

    made = shown(outcome={"version": 3, "metrics": {"val_accuracy": 0.9886}})
    assert made == f"<Job {ID} train <b>digits</b>:3 succeeded, 10 of 10 epochs, val_accuracy 0.9886>"
    queued = shown(kind="infer", version=2, state=State.QUEUED, started_at=None, finished_at=None)
    assert queued == f"<Job {ID} infer <b>digits</b>:2 queued>"
    ill = shown(kind="infer", state=State.FAILED, rows_done=7, rows_failed=3)
    assert ill == f"<Job {ID} infer <b>digits</b> failed, 10 of 10 rows, 3 failed; see job.why()>"
    html = job._repr_html_()
    assert "10 of 10 epochs" in html
    assert "<b>" not in html
    assert "hunter2" not in html + repr(record())
    ledger.close()


def test_models_and_versions_are_tables() -> None:
    model = ModelRecord(name="<digits>", versions=2, newest=2, aliases={"production": 1}, created_at=NOW)
    assert "&lt;digits&gt;" in model._repr_html_()
    assert "production -&gt; 1" in model._repr_html_()
    manifest: dict[str, JsonValue] = {
        "family": "mlp",
        "metrics": {"val_loss": 0.25},
        "signature": {
            "task": "classification",
            "target": "<churn>",
            "labels": [False, True],
            "features": [{"name": f"<x{number}>"} for number in range(12)],
        },
    }
    version = VersionRecord(model="digits", version=2, digest="sha256:0", manifest=manifest, job_id=ID, created_at=NOW)
    html = version._repr_html_()
    assert "&lt;x9&gt; and 2 more" in html
    for shown in ("False, True", "val_loss 0.25", "classification", "&lt;churn&gt;"):
        assert shown in html
    empty = VersionRecord(model="digits", version=3, digest="sha256:0", manifest={}, job_id=None, created_at=NOW)
    assert "digits:3" in empty._repr_html_()
    assert "digits:2" in version._repr_html_()
    assert "mlp" in version._repr_html_()
    assert "manifest" not in repr(version)
