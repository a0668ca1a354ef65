"""The space that a cluster takes, compared with what the file system and Postgres say."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import fsspec
import psycopg
import pytest

from longshore.producers import Client
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.models.registry import NewVersion
from longshore.shared.ledger.records import NewInput
from longshore.shared.settings import Settings
from longshore.shared.store.store import Store
from tests.integration.command_line import CommandLine, without_settings
from tests.integration.s3_server import s3_server
from tests.integration.support import claim, commit, migrated_database, new_job, run


@pytest.fixture(scope="module")
def settings(services: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A database and a store of their own, with two models and a few jobs."""
    with migrated_database(services) as settings:
        settings = replace(settings, store=str(tmp_path_factory.mktemp("df") / "store"), home=None)
        with Ledger(settings.database_url, "longshore tests") as ledger:
            fill(ledger, Store(settings.store))
        yield settings


def fill(ledger: Ledger, store: Store) -> None:
    shared = store.put_blob(b"s" * 1000)
    for model, size in (("digits", 5000), ("letters", 700)):
        weights = store.put_blob(model[:1].encode() * size)
        manifest = {"weights": weights.model_dump(), "tokenizer": shared.model_dump()}
        digest = store.put_blob(model.encode()).digest
        version = NewVersion(model=model, digest=digest, manifest=manifest)  # type: ignore[arg-type]
        ledger.models.add(version, before_commit=lambda number: None)
    small, large, held_out = uuid4(), uuid4(), uuid4()
    blobs = [store.put_blob(content * 1000).digest for content in (b"rows", b"ro")]
    inputs = [NewInput(id=small, data=b"r" * 3000), NewInput(id=large, blob=blobs[0])]
    specs = [
        f'{{"data": {{"block": "{small}"}}, "validation": 0.1}}',
        f'{{"data": {{"block": "{large}"}}, "validation": {{"block": "{held_out}"}}}}',
    ]
    jobs = [new_job(400), new_job(20, model="letters"), new_job(1)]
    jobs[0], jobs[1] = replace(jobs[0], spec=specs[0]), replace(jobs[1], spec=specs[1])
    ledger.submissions.submit(jobs, [*inputs, NewInput(id=held_out, blob=blobs[1])])
    run(ledger, jobs[0].id)
    commit(ledger, claim(ledger, jobs[1].id), errors={3: "x is NaN"})
    training = claim(ledger, jobs[2].id)
    checkpoint = store.put_blob(b"c" * 9000)
    ledger.checkpoints.add(training, step=1, epoch=1, blob=checkpoint.digest, size_bytes=9000, keep=1)
    store.put_blob(b"nobody's")


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with Client(redis_url=settings.redis_url, database_url=settings.database_url, store=settings.store) as client:
        yield client


def test_the_store_takes_what_du_says(client: Client, settings: Settings) -> None:
    usage = client.disk_usage().store
    said = subprocess.run(["find", settings.store, "-type", "f", "-printf", "%s\\n"], capture_output=True, check=True)
    sizes = [int(line) for line in said.stdout.split()]
    assert (usage.total, usage.files) == (sum(sizes), len(sizes))
    assert (usage.models, usage.checkpoints, usage.inputs) == (5000 + 700 + 1000 + 6 + 7, 9000, 6000)
    assert usage.other == sum(sizes) - usage.models - 9000 - 6000


def test_the_tables_take_what_postgres_says(client: Client, settings: Settings) -> None:
    usage = client.disk_usage().database
    with psycopg.connect(settings.database_url) as conn:
        rows = conn.execute(
            """SELECT relname, pg_total_relation_size(oid) FROM pg_class
               WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"""
        ).fetchall()
    sizes = {str(name): int(size) for name, size in rows}
    assert usage.total == sum(sizes.values())
    assert usage.results == sum(size for name, size in sizes.items() if name.startswith("results"))
    assert usage.row_errors == sum(size for name, size in sizes.items() if name.startswith("row_errors"))
    assert (usage.logs, usage.inputs) == (sizes["attempt_logs"], sizes["inputs"])


def test_tables_of_others_in_the_schema_are_left_out(client: Client, settings: Settings) -> None:
    before = client.disk_usage().database
    with psycopg.connect(settings.database_url) as conn:
        conn.execute("CREATE TABLE others AS SELECT repeat('x', 1000) FROM generate_series(1, 100)")
    assert client.disk_usage().database == before
    with psycopg.connect(settings.database_url) as conn:
        conn.execute("DROP TABLE others")


def test_models_and_jobs_have_their_shares(client: Client) -> None:
    usage = client.disk_usage()
    assert not usage.sampled
    digits, letters = usage.models
    assert (digits.model, digits.versions, digits.checkpoints) == ("digits", 6006, 9000)
    assert (letters.model, letters.versions, letters.inputs) == ("letters", 1707, 6000)
    assert digits.results > letters.results > 0
    assert abs(digits.results + letters.results - usage.database.results) <= 2
    assert (letters.row_errors, digits.inputs) == (usage.database.row_errors, usage.database.inputs)
    first, second, third = usage.jobs
    assert (first.model, first.kind, first.total) == ("digits", "infer", first.results + first.inputs)
    assert {second.checkpoints, third.checkpoints} == {0, 9000}
    assert (client.disk_usage(1).models, client.disk_usage(0).jobs) == ([digits], [])
    with pytest.raises(InvalidInput, match="top: -1: give 0 or more"):
        client.disk_usage(-1)


def test_of_large_tables_only_a_sample_is_read(settings: Settings) -> None:
    with Ledger(settings.database_url, "longshore tests") as ledger:
        every, sampled = ledger.space.read(), ledger.space.read(max_pages=1)
    assert (every.sampled, sampled.sampled) == (False, True)
    assert sampled.tables == every.tables
    size = sum(each.size_bytes for each in sampled.jobs if each.table == "results")
    # A sample of pages can be empty.
    assert size == pytest.approx(every.tables["results"]) or not size


def test_the_command_line_shows_people_units_and_programs_bytes(client: Client, settings: Settings) -> None:
    environment = {"LONGSHORE_REDIS_URL": settings.redis_url, "LONGSHORE_DATABASE_URL": settings.database_url}
    longshore = CommandLine({**without_settings(), **environment, "LONGSHORE_STORE": settings.store})
    shown = longshore("df", "--top", "1")
    assert "checkpoints  8.8 KiB" in shown.out
    assert (shown.out.count("digits"), shown.out.count("letters")) == (2, 0)
    fields = longshore("df", "--json").fields
    usage = client.disk_usage()
    assert (fields["total"], fields["store"]["total"]) == (usage.total, usage.store.total)  # type: ignore[index]


def test_a_remote_store_is_measured_the_same_way(client: Client, settings: Settings) -> None:
    with s3_server():
        files = fsspec.filesystem("s3")
        files.mkdir("s3://longshore-df")
        files.put(f"{settings.store}/", "s3://longshore-df/store", recursive=True)
        addresses = {"redis_url": settings.redis_url, "database_url": settings.database_url}
        with Client(**addresses, store="s3://longshore-df/store") as remote:
            assert replace(remote.disk_usage().store, name="") == replace(client.disk_usage().store, name="")
