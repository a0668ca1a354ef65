"""A database and a store that the release before migration 0009 has filled: all of it is read, and finished.

See README.md for how the files were made. The database holds jobs of every kind and state; nothing
here knows how any of it is stored.
"""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TypeAlias, cast
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from pydantic import JsonValue

from longshore.producers import Client, Job
from longshore.shared.errors import JobFailed
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.migrate import downgrade, migrate, pending_changes
from longshore.shared.ledger.records import BatchSizeRecord
from longshore.shared.ledger.schema_revision import newest_revision
from longshore.shared.settings import Settings
from longshore.shared.store.manifest import Manifest
from longshore.shared.vocabulary import State
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine, without_settings
from tests.integration.logins import make_logins
from tests.integration.support import empty_database

FILES = Path(__file__).parent
#: Seconds for a job to end.
JOB_TIMEOUT_S = 120.0
#: Fields of a version that a database sets or that the previous release did not have.
NEW_FIELDS = {"created_at", "size_bytes", "shared_bytes"}
#: How far numbers may lie apart that another processor has computed.
RELATIVE, ABSOLUTE = 1e-4, 1e-6

Document: TypeAlias = dict[str, JsonValue]


def load(settings: Settings) -> None:
    """Fill a database as ``psql`` would."""
    with psycopg.connect(settings.database_url, autocommit=True) as conn:
        conn.execute(gzip.decompress((FILES / "database.sql.gz").read_bytes()))


@pytest.fixture(scope="module")
def expected() -> Mapping[str, Document]:
    """What the client of the previous release has read."""
    document: dict[str, Document] = json.loads((FILES / "expected.json").read_text())
    return document


@pytest.fixture(scope="module")
def migrated(services: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The previous release's database and store, migrated by ``longshore migrate``."""
    folder = tmp_path_factory.mktemp("previous")
    with tarfile.open(FILES / "store.tar.gz") as tar:
        tar.extractall(folder, filter="data")
    with empty_database(services) as settings:
        load(settings)
        redis_url = urlsplit(services.redis_url)._replace(path="/7").geturl()
        settings = replace(settings, redis_url=redis_url, store=f"file://{folder}/store", home=None)
        done = CommandLine({**without_settings(), **settings.environment()})("migrate")
        assert done.code == 0, done.err
        make_logins(settings.database_url)
        yield settings


@pytest.fixture(scope="module")
def client(migrated: Settings) -> Iterator[Client]:
    with Client(
        redis_url=migrated.redis_url, database_url=migrated.database_url, store=migrated.store, producer="previous"
    ) as client:
        yield client


@pytest.fixture(scope="module")
def jobs(client: Client, expected: Mapping[str, Document]) -> dict[str, Job]:
    """Every job by the name that it has in ``expected.json``."""
    return {name: client.job(str(cast(Document, job)["id"])) for name, job in expected["jobs"].items()}


@pytest.fixture(scope="module")
def cluster(migrated: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A relay and a worker on the migrated database. Tests that come before its first use see what was loaded."""
    with redis.Redis.from_url(migrated.redis_url) as connection:
        connection.flushdb()
    cluster = Cluster(migrated, tmp_path_factory.mktemp("cluster"), "cpu", {"LONGSHORE_LEASE": "10"})
    try:
        cluster.start_relay()
        cluster.start_workers()
        yield cluster
    finally:
        cluster.close()


def plain(value: object) -> JsonValue:
    """A value as JSON holds it."""
    document: JsonValue = json.loads(json.dumps(value, default=str))
    return document


def read(ledger: Ledger, job: Job) -> Document:
    """All that a client can read of a job, as ``expected.json`` has it."""
    record = job.record()
    checkpoint = ledger.checkpoints.newest(job.id)
    files = record.spec.get("output") is not None
    document = {
        **{name: value for name, value in vars(record).items() if not name.endswith("_at")},
        "created_at": record.created_at.isoformat(),
        "finished_at": None if record.finished_at is None else record.finished_at.isoformat(),
        "shards": [vars(shard) for shard in job.shards()],
        "results": [] if files else job.results().to_pylist(),
        "output_files": job.parts() if files else [],
        "errors": [vars(error) for error in job.errors()],
        "metrics": [[metric.step, metric.name, metric.value] for metric in job.metrics()],
        "trials": [vars(trial) for trial in job.trials()],
        "chain": [each.id for each in job.chain()],
        "checkpoint": None if checkpoint is None else vars(checkpoint),
    }
    return cast(Document, plain(document))


def restricted(value: JsonValue, to: JsonValue) -> JsonValue:
    """``value`` without the keys that objects at the same places in ``to`` do not have, and times as they are there."""
    if isinstance(value, dict) and isinstance(to, dict):
        return {key: restricted(value[key], to[key]) for key in to if key in value}
    if isinstance(value, list) and isinstance(to, list):
        return [restricted(one, other) for one, other in zip(value, to, strict=False)] + value[len(to) :]
    return value


def test_every_job_is_read_as_before(
    migrated: Settings, jobs: Mapping[str, Job], expected: Mapping[str, Document]
) -> None:
    with Ledger(migrated.database_url) as ledger:
        for name, job in jobs.items():
            before = cast(Document, expected["jobs"][name])
            now = read(ledger, job)
            for time in ("created_at", "finished_at"):
                times = [each.pop(time) for each in (before, now)]
                moments = [None if each is None else datetime.fromisoformat(str(each)) for each in times]
                assert moments[0] == moments[1], (name, time)
            assert restricted(now, before) == before, name


def test_jobs_are_listed_as_before(client: Client, expected: Mapping[str, Document]) -> None:
    assert [str(job.id) for job in client.jobs(limit=1000)] == list(expected["order"])
    for state in State:
        names = {
            str(cast(Document, job)["id"]) for job in expected["jobs"].values() if cast(Document, job)["state"] == state
        }
        assert {str(job.id) for job in client.jobs(state=state, limit=1000)} == names


def test_models_versions_aliases_and_their_history_are_as_before(
    client: Client, expected: Mapping[str, Document]
) -> None:
    models = {
        model.name: {
            **{"versions": model.versions, "newest": model.newest, "aliases": model.aliases},
            "each": [
                {name: value for name, value in vars(version).items() if name not in NEW_FIELDS}
                for version in client.models.versions(model.name)
            ],
            "history": {
                alias: [[move.version, move.set_by] for move in client.models.history(model.name, alias)]
                for alias in ("production", "candidate", "gone", "best", "first", "refused")
            },
        }
        for model in client.models.list()
    }
    assert plain(models) == expected["models"]


def test_versions_have_the_sizes_of_their_files(client: Client) -> None:
    for model in client.models.list():
        for version in client.models.versions(model.name):
            blobs = Manifest.model_validate(version.manifest).blobs.values()
            assert version.size_bytes == sum({blob.digest: blob.size for blob in blobs}.values()) > 0


def test_evaluations_and_what_was_learned_of_batch_sizes_are_read(
    client: Client, migrated: Settings, jobs: Mapping[str, Job]
) -> None:
    assert jobs["evaluate"].evaluation().rows == 40
    assert client.models.promote("points:1", "evaluated", if_="accuracy > 0.1").version == 1
    with Ledger(migrated.database_url) as ledger:
        assert ledger.batch_sizes.read(f"sha256:{0:064}", "cpu") == [
            BatchSizeRecord(length=0, batch_size=512, rows_per_second=1234.5, settled=True)
        ]


def test_the_same_request_with_an_idempotency_key_is_the_same_job(
    client: Client, jobs: Mapping[str, Job], expected: Mapping[str, Document]
) -> None:
    rows = cast("list[Document]", expected["inputs"]["keyed"])
    assert client.infer("points:1", rows, idempotency_key="once").id == jobs["keyed"].id


def test_old_versions_compute_what_they_did(
    cluster: Cluster, client: Client, jobs: Mapping[str, Job], expected: Mapping[str, Document]
) -> None:
    options: dict[str, Mapping[str, object]] = {
        "infer options": {"top_k": 2, "logits": True},
        "infer tags": {"threshold": 0.4},
    }
    again = {}
    for name, rows in expected["inputs"].items():
        record = jobs[name].record()
        if record.kind == "infer":
            reference = f"{record.model}:{record.version}"
            again[name] = client.infer(reference, cast("list[Document]", rows), **options.get(name, {}))  # type: ignore[arg-type]
    for name, job in again.items():
        results = plain(job.wait(JOB_TIMEOUT_S).results().to_pylist())
        assert_near(results, cast(Document, expected["jobs"][name])["results"], name)


def assert_near(now: JsonValue, before: JsonValue, name: str) -> None:
    """Equal, but for the last digits of numbers."""
    if isinstance(before, list):
        assert isinstance(now, list)
        assert len(now) == len(before), name
        for one, other in zip(now, before, strict=True):
            assert_near(one, other, name)
    elif isinstance(before, dict):
        assert isinstance(now, dict)
        assert now.keys() == before.keys(), name
        for key, value in before.items():
            assert_near(now[key], value, f"{name}: {key}")
    elif isinstance(before, float):
        assert now == pytest.approx(before, rel=RELATIVE, abs=ABSOLUTE), name
    else:
        assert now == before, name


def test_what_was_queued_is_run(cluster: Cluster, jobs: Mapping[str, Job]) -> None:
    names = ("queued", *(f"queued small {number}" for number in range(3)))
    for name in names:
        assert jobs[name].wait(JOB_TIMEOUT_S).record().rows_done == len(jobs[name].results())
    assert jobs["queued"].results().num_rows == 20


def measured(job: Job) -> dict[str, float]:
    """The last of each number that a training reports at the end of an epoch."""
    return {metric.name: metric.value for metric in job.metrics() if not metric.name.startswith("step/")}


def test_an_interrupted_training_goes_on_from_its_checkpoint_and_its_chain_runs(
    cluster: Cluster, client: Client, jobs: Mapping[str, Job]
) -> None:
    job = jobs["interrupted"].wait(JOB_TIMEOUT_S)
    assert [shard.attempt for shard in job.shards()] == [2]
    # The first epoch is that of the attempt that was killed, before this job was submitted.
    assert min(metric.recorded_at for metric in job.metrics()) < jobs["again 1"].record().created_at
    assert measured(job) == pytest.approx(measured(jobs["undisturbed"]), rel=1e-3)
    waiting = jobs["waiting"].wait(JOB_TIMEOUT_S)
    outcome = job.record().outcome
    assert outcome is not None
    assert waiting.record().version == outcome["version"]
    assert waiting.results().num_rows == 5


def test_a_finished_training_is_extended_from_its_checkpoint(cluster: Cluster, jobs: Mapping[str, Job]) -> None:
    before = measured(jobs["extend"])
    job = jobs["train"].extend(3).wait(JOB_TIMEOUT_S)
    assert measured(job) == pytest.approx(before, rel=1e-3)


def test_a_chain_that_was_cancelled_is_retried(cluster: Cluster, client: Client, jobs: Mapping[str, Job]) -> None:
    jobs["again 1"].wait(JOB_TIMEOUT_S)
    assert jobs["again 3"].state is State.CANCELLED
    jobs["again 2"].retry()
    jobs["again 3"].wait(JOB_TIMEOUT_S)
    assert client.models.get("again@retried").version == 1


def test_failed_rows_are_retried(cluster: Cluster, jobs: Mapping[str, Job]) -> None:
    job = jobs["too many row errors"]
    errors = job.errors()
    results = job.results()
    with pytest.raises(JobFailed, match="3 of 12 rows failed, up to 1 were allowed"):
        job.retry(rows="failed").wait(JOB_TIMEOUT_S)
    assert job.errors() == errors
    assert job.results() == results
    assert (job.record().rows_before_retry, job.shards()[0].attempt) == (9, 2)


def test_an_evaluation_measures_what_it_did(
    cluster: Cluster, client: Client, jobs: Mapping[str, Job], expected: Mapping[str, Document]
) -> None:
    rows = cast("list[Document]", expected["inputs"]["evaluate"])
    again = client.evaluate("points:1", rows, bootstrap=20, worst=3).wait(JOB_TIMEOUT_S).evaluation()
    assert again.metrics == pytest.approx(jobs["evaluate"].evaluation().metrics, rel=RELATIVE)


def test_the_migration_can_be_taken_back(services: Settings) -> None:
    with empty_database(services) as settings:
        load(settings)
        before = rows_of_every_table(settings)
        assert migrate(settings.database_url) == newest_revision()
        assert pending_changes(settings.database_url) == []
        with Ledger(settings.database_url) as ledger, ledger.database.connection() as conn:
            names = {row[0] for row in conn.execute("SELECT relname FROM pg_class WHERE relnamespace = 2200")}
        assert not {name for name in names if "company" in name or "links" in name or "waiting" in name}
        assert downgrade(settings.database_url, "0008") == "0008"
        assert rows_of_every_table(settings) == before


def rows_of_every_table(settings: Settings) -> dict[str, list[JsonValue]]:
    """By table, every row with the names of its columns."""
    with psycopg.connect(settings.database_url, autocommit=True) as conn:
        tables = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return {
            name: [row for (row,) in conn.execute(f"SELECT to_jsonb(t) FROM {name} AS t ORDER BY 1").fetchall()]
            for (name,) in tables
            if name != "alembic_version"
        }
