"""Retention as a producer sees it: results that are pruned, and a store that is swept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import JsonValue

from longshore.producers import Client
from longshore.shared.errors import CorruptBlob, InvalidInput, ResultsPruned, UnknownModel
from longshore.shared.fault_point import armed
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.models.registry import NewVersion
from longshore.shared.ledger.records import NewInput
from longshore.shared.references import ModelReference
from longshore.shared.settings import Settings
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.store.manifest import Blob, Manifest
from longshore.shared.store.store import Store
from longshore.shared.store_gc import sweep
from tests.integration.command_line import CommandLine, without_settings
from tests.integration.old_jobs import done_at, end_at, id_at
from tests.integration.support import claim, migrated_database, new_job, run
from tests.waiting import TIMEOUT_S

OLD = timedelta(days=60)
#: Files that are being written, or were when their process ended.
ABANDONED, UPLOADING = "0" * 32, "1" * 32
SIGNATURE = Signature(features=(Feature(name="x"),), task="regression", target="y")


@pytest.fixture
def settings(services: Settings, tmp_path: Path) -> Iterator[Settings]:
    """A database and a store of their own; nobody works."""
    with migrated_database(services) as settings:
        yield replace(settings, store=str(tmp_path / "store"), home=None)


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with Client(redis_url=settings.redis_url, database_url=settings.database_url, store=settings.store) as client:
        yield client


@pytest.fixture
def own(settings: Settings) -> Iterator[Ledger]:
    with Ledger(settings.database_url, "longshore tests") as ledger:
        yield ledger


@pytest.fixture
def store(settings: Settings) -> Store:
    return Store(settings.store)


def command_line(settings: Settings) -> CommandLine:
    environment = {
        "LONGSHORE_REDIS_URL": settings.redis_url,
        "LONGSHORE_DATABASE_URL": settings.database_url,
        "LONGSHORE_STORE": settings.store,
    }
    return CommandLine({**without_settings(), **environment})


def let_all_be_old(store: Store) -> None:
    for path in Path(store.name).glob("blobs/**/*"):
        if path.is_file():
            os.utime(path, (0, 0))


def blobs(store: Store) -> set[str]:
    return {blob.digest for blob in store.old_blobs(datetime.now(UTC) + timedelta(days=1))}


def put_version(store: Store, name: str, *more: bytes) -> tuple[str, set[str], Manifest]:
    """A version's digest, all the blobs that are its own, and its manifest, which nothing points at yet."""
    weights = store.put_blob(f"weights of {name}".encode())
    also: list[JsonValue] = [store.put_blob(content).digest for content in more]
    manifest = Manifest(
        family="mlp",
        weights=weights,
        signature=SIGNATURE,
        lineage={"also": also},
        created_at="2026-01-01T00:00:00+00:00",
    )
    digest = store.put_manifest(manifest)
    return digest, {digest, weights.digest, *map(str, also)}, manifest


def add_version(own: Ledger, name: str, digest: str, manifest: Manifest) -> None:
    new = NewVersion(model=name, digest=digest, manifest=manifest.model_dump(mode="json"))
    own.models.add(new, before_commit=lambda number: None)


def add_block(own: Ledger, blob: Blob, age: timedelta) -> NewInput:
    block = NewInput(id=id_at(datetime.now(UTC) - age), blob=blob.digest)
    own.submissions.submit([], [block])
    return block


def test_what_anything_names_is_never_swept(store: Store, own: Ledger) -> None:
    """By the ledger, by the store, by a job that can run again, by inline rows; the manifest and all it names."""
    in_ledger, ledgers, manifest = put_version(store, "in-ledger", b"tokenizer")
    add_version(own, "in-ledger", in_ledger, manifest)
    in_store, stores, _ = put_version(store, "in-store", b"vocabulary")
    store.write_version_pointer("in-store", 7, in_store)
    deleted, deleteds, _ = put_version(store, "deleted")
    failed, forgotten = new_job(1), new_job(1)
    own.submissions.submit([replace(failed, digest=deleted), replace(forgotten, digest="sha256:" + "0" * 64)])
    own.attempts.fail(claim(own, failed.id), "broken", permanent=True)
    linked, links, _ = put_version(store, "linked")
    done = replace(new_job(1), digest=linked)
    own.submissions.submit([done])
    run(own, done.id)
    own.submissions.submit([new_job(1, version=None, depends_on=done.id)])
    texts, its, _ = put_version(store, "texts")
    training = new_job(1, kind="train", version=None)
    own.submissions.submit([replace(training, spec=f'{{"tokenizer_digest": "{texts}"}}')])
    rows = store.put_blob(b"rows")
    add_block(own, rows, OLD)
    named = {*ledgers, *stores, *deleteds, *links, *its, rows.digest}
    nobodys = {store.put_blob(b"nobody's").digest, *put_version(store, "given-up")[1]}
    let_all_be_old(store)

    looked = sweep(store, own, dry_run=True)
    assert {blob.digest for blob in looked.blobs} == nobodys
    assert blobs(store) == named | nobodys
    swept = sweep(store, own)
    assert (list(swept.blobs), swept.size) == (list(looked.blobs), looked.size)
    assert blobs(store) == named
    assert sweep(store, own).blobs == []


def test_what_was_just_put_is_never_swept(store: Store, own: Ledger) -> None:
    old, again = store.put_blob(b"old"), store.put_blob(b"again")
    let_all_be_old(store)
    _, committing, _ = put_version(store, "being-committed")
    store.put_blob(b"again")
    assert list(sweep(store, own).blobs) == [old]
    assert blobs(store) == {again.digest, *committing}


def test_a_version_that_cannot_be_read_stops_the_sweep(store: Store, own: Ledger) -> None:
    digest, named, _ = put_version(store, "digits")
    store.write_version_pointer("digits", 1, digest)
    nobodys = store.put_blob(b"nobody's")
    path = Path(store.name) / f"blobs/sha256/{digest[7:9]}/{digest[7:]}"
    path.write_bytes(b"{}")
    let_all_be_old(store)
    with pytest.raises(CorruptBlob, match=digest):
        sweep(store, own)
    assert blobs(store) == {*named, nobodys.digest}


def test_a_deleted_version_s_blobs_are_swept(client: Client, store: Store, own: Ledger) -> None:
    digest, first, manifest = put_version(store, "digits", b"shared")
    add_version(own, "digits", digest, manifest)
    other_digest, second, manifest = put_version(store, "letters", b"shared")
    add_version(own, "letters", other_digest, manifest)
    let_all_be_old(store)
    assert client.sweep_store("2h").blobs == []
    own.models.delete([ModelReference.parse("digits:1")], "ada")
    assert {blob.digest for blob in client.sweep_store(timedelta(hours=2)).blobs} == first - second
    assert blobs(store) == second


def test_a_version_of_another_cluster_in_the_store_is_not_taken_for_a_deleted_one(store: Store, own: Ledger) -> None:
    digest, _, manifest = put_version(store, "digits")
    add_version(own, "digits", digest, manifest)
    own.models.delete([ModelReference.parse("digits:1")], "ada")
    others, named, _ = put_version(store, "digits of others")
    store.write_version_pointer("digits", 1, others)
    let_all_be_old(store)
    sweep(store, own)
    assert list(store.list_versions()) == [("digits", 1, others)]
    assert blobs(store) == named


def test_an_alias_is_taken_away(client: Client, settings: Settings, store: Store, own: Ledger) -> None:
    digest, _, manifest = put_version(store, "digits")
    add_version(own, "digits", digest, manifest)
    client.models.promote("digits:1", "production")
    done = command_line(settings)("models", "unalias", "digits", "production")
    assert (done.code, done.out) == (0, "digits@production removed; it pointed to digits:1\n")
    assert [move.version for move in client.models.history("digits", "production")] == [1, None]
    assert [(alias, pointer.version) for _, alias, pointer in store.list_aliases()] == [("production", None)]
    with pytest.raises(UnknownModel, match="there is no digits@production"):
        client.models.remove_alias("digits", "production")


@pytest.mark.parametrize("grace", ["1h", timedelta(minutes=1), "soon"])
def test_a_grace_that_endangers_submissions_is_refused(client: Client, grace: str | timedelta) -> None:
    with pytest.raises(InvalidInput, match="grace"):
        client.sweep_store(grace)


def test_pruning_takes_the_blobs_of_blocks_that_nothing_else_names(client: Client, store: Store, own: Ledger) -> None:
    alone, shared, weights = (store.put_blob(content) for content in (b"alone", b"shared", b"weights of digits"))
    fresh = store.put_blob(b"fresh")
    digest, version, manifest = put_version(store, "digits")
    add_version(own, "digits", digest, manifest)
    for blob in (alone, shared, weights, fresh):
        add_block(own, blob, OLD)
    add_block(own, shared, timedelta(days=1))
    let_all_be_old(store)
    store.put_blob(b"fresh")

    assert client.prune("30d", dry_run=True).inputs == 4
    pruned = client.prune("30d")
    assert (pruned.inputs, pruned.blobs) == (4, [alone.digest])
    assert blobs(store) == {shared.digest, fresh.digest, *version}


def test_a_pruned_job_tells_its_producer(client: Client, own: Ledger) -> None:
    job = client.job(done_at(own, datetime.now(UTC) - OLD))
    assert job.record().pruned_at is None
    assert job.results().num_rows == 2
    assert client.prune(timedelta(days=30)).jobs == 1
    with pytest.raises(ResultsPruned, match="were pruned at"):
        job.results()
    with pytest.raises(ResultsPruned, match="were pruned at"):
        job.retry()
    assert client.job(job.id).record().pruned_at is not None
    with pytest.raises(InvalidInput, match="older_than"):
        client.prune("a month")


def test_the_command_line_prunes_and_sweeps(settings: Settings, store: Store, own: Ledger) -> None:
    longshore = command_line(settings)
    job = done_at(own, datetime.now(UTC) - OLD)
    blocking = replace(new_job(1), id=id_at(datetime.now(UTC) - OLD))
    store.put_blob(b"nobody's")
    let_all_be_old(store)

    looked = longshore("results", "prune", "--older-than", "30d", "--dry-run", "--json").fields
    assert (looked["dry_run"], looked["jobs"], looked["kept"]) == (True, 1, {})
    assert longshore("results", str(job), "--json").out.count("\n") == 2
    done = longshore("--json", "results", "prune", "--older-than", "30d").fields
    assert (done["dry_run"], done["jobs"]) == (False, 1)
    shown = longshore("results", str(job))
    assert (shown.code, shown.out) == (2, "")
    assert "were pruned at" in shown.err
    assert longshore("jobs", "show", str(job), "--json").fields["pruned_at"] is not None

    own.submissions.submit([blocking])
    told = longshore("results", "prune", "--older-than", "4w")
    assert (told.code, "0 pruned" in told.out) == (0, True)
    run(own, blocking.id)
    wrong = longshore("results", "prune", "--older-than", "30m")
    assert wrong.code == 2
    assert "older_than: '30m' is not a duration" in wrong.err
    assert longshore("store", "sweep", "--dry-run").out == "would be removed  1 blobs, 8 B\n"
    assert longshore("store", "sweep", "--json").fields["size"] == len(b"nobody's")
    assert blobs(store) == set()


KILLED = """
import os, signal, sys
from longshore.producers import Client
from longshore.shared.fault_point import armed
def kill(name):
    if name == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
with Client() as client, armed(kill):
    client.models.delete("digits:1")
"""


@pytest.mark.parametrize(("moment", "is_deleted"), [("ledger:before_commit", False), ("models:deleted", True)])
def test_a_deletion_that_is_killed_has_happened_or_not(
    client: Client, settings: Settings, store: Store, own: Ledger, moment: str, is_deleted: bool
) -> None:
    digest, named, manifest = put_version(store, "digits")
    add_version(own, "digits", digest, manifest)
    store.write_version_pointer("digits", 1, digest)
    let_all_be_old(store)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, moment], env=command_line(settings).environment, check=False, timeout=TIMEOUT_S
    )
    assert killed.returncode == -signal.SIGKILL
    assert own.models.is_deleted("digits", 1) == is_deleted
    assert len(list(store.list_versions())) == 1

    cleaned = client.clean()
    assert {blob.digest for blob in cleaned.swept.blobs} == (named if is_deleted else set())
    if is_deleted:
        assert list(store.list_versions()) == []
    else:
        client.models.delete("digits:1")
        with pytest.raises(UnknownModel, match=r"digits:1 was deleted by .*; digits has no version"):
            client.models.get("digits:1")


def litter(store: Store, own: Ledger) -> tuple[UUID, set[str]]:
    """Leave something to clean of each sort: a job from long ago with a checkpoint, and blobs that nothing names."""
    job = done_at(own, datetime.now(UTC) - OLD)
    checkpoint, nobodys = store.put_blob(b"checkpoint"), store.put_blob(b"nobody's")
    (Path(store.name) / "tmp").mkdir(exist_ok=True)
    for name in (ABANDONED, UPLOADING):
        (Path(store.name) / "tmp" / name).write_bytes(b"half")
    with own.database.connection() as conn:
        conn.execute(
            "INSERT INTO checkpoints (job_id, step, attempt, epoch, blob, size_bytes) VALUES (%s, 1, 1, 1, %s, 10)",
            [job, checkpoint.digest],
        )
        conn.execute(
            """INSERT INTO workers (name, device, queue, host, pid, families, seen_at)
               SELECT name, 'cpu', 'cpu', 'box', 1, '{mlp}', now() - age
               FROM (VALUES ('gone', interval '3 days'), ('alive', interval '1 second')) AS seen (name, age)"""
        )
    let_all_be_old(store)
    os.utime(Path(store.name) / "tmp" / ABANDONED, (0, 0))
    return job, {checkpoint.digest, nobodys.digest}


def test_a_clean_removes_what_its_dry_run_said(client: Client, store: Store, own: Ledger) -> None:
    job, litters = litter(store, own)
    plan = client.clean("30d", dry_run=True)
    assert plan.pruned is not None
    assert (plan.pruned.jobs, plan.checkpoints, plan.abandoned, plan.workers) == (1, 1, 1, 1)
    assert {blob.digest for blob in plan.swept.blobs} == litters
    assert blobs(store) == litters

    done = client.clean("30d")
    assert done.pruned is not None
    assert (done.pruned.jobs, done.checkpoints, done.abandoned, done.workers) == (1, 1, 1, 1)
    assert done.store_bytes == plan.store_bytes == len(b"checkpointnobody'shalf")
    assert blobs(store) == set()
    assert [path.name for path in (Path(store.name) / "tmp").iterdir()] == [UPLOADING]
    assert [worker.name for worker in own.workers.workers()] == ["alive"]
    assert own.queries.job(job).pruned_at is not None
    assert client.clean("30d", dry_run=True).is_empty


def test_without_an_age_the_results_and_checkpoints_of_jobs_stay(client: Client, store: Store, own: Ledger) -> None:
    job, litters = litter(store, own)
    done = client.clean()
    assert (done.pruned, done.checkpoints, len(done.swept.blobs)) == (None, 0, 1)
    assert len(blobs(store)) == len(litters) - 1
    assert client.job(job).results().num_rows == 2
    client.prune("30d")
    assert client.clean(dry_run=True).checkpoints == 1


def test_a_checkpoint_stays_while_a_training_goes_on_from_it(client: Client, store: Store, own: Ledger) -> None:
    job, _ = litter(store, own)
    extending = replace(new_job(1, kind="train", version=None), spec=f'{{"extends": "{job}"}}')
    own.submissions.submit([extending])
    assert client.clean("30d", dry_run=True).checkpoints == 0


def test_a_checkpoint_stays_if_its_job_is_retried_in_the_same_moment(client: Client, store: Store, own: Ledger) -> None:
    training = replace(new_job(1, kind="train", version=None), id=id_at(datetime.now(UTC) - OLD))
    own.submissions.submit([training])
    attempt, blob = claim(own, training.id), store.put_blob(b"checkpoint")
    own.checkpoints.add(attempt, step=1, epoch=1, blob=blob.digest, size_bytes=blob.size, keep=1)
    own.attempts.fail(attempt, "broken", permanent=True)
    let_all_be_old(store)
    assert client.clean("30d", dry_run=True).checkpoints == 0, "it has failed just now, and can be retried"
    end_at(own, datetime.now(UTC) - OLD, training.id)
    assert client.clean("30d", dry_run=True).checkpoints == 1

    def clean_meanwhile(name: str) -> None:
        if name == "ledger:job_queued_again":
            client.clean("30d")

    with armed(clean_meanwhile):
        own.control.retry(training.id)
    checkpoint = own.checkpoints.newest(training.id)
    assert checkpoint is not None
    assert store.read_blob(checkpoint.blob) == b"checkpoint"


def test_the_command_line_asks_before_it_cleans(settings: Settings, store: Store, own: Ledger) -> None:
    longshore = command_line(settings)
    litter(store, own)
    refused = longshore("clean")
    assert (refused.code, "give --yes to remove, or --dry-run to look" in refused.err) == (2, True)
    looked = longshore("clean", "--dry-run", "--older-than", "30d")
    assert "checkpoints of ended jobs" in looked.out
    done = longshore("clean", "--yes", "--older-than", "30d")
    assert (done.code, "freed in the store  22 B" in done.out) == (0, True)
    assert "there is nothing to remove" in longshore("clean", "--yes", "--older-than", "30d").err
    assert longshore("clean", "--yes", "--grace", "1m").code == 2
