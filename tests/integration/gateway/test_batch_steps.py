"""A gateway that dies at any step of a batch: another one takes over, and nothing is lost or done twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import LiteralString
from uuid import UUID

import psycopg
import pytest

from longshore.producers import Client
from longshore.producers.gateway.batches.steps import MAX_TRIES, Again, Outcome, Submitted, Wait, next_step
from longshore.producers.gateway.settings import GatewaySettings
from longshore.shared.errors import ServiceUnavailable
from longshore.shared.fault_point import armed
from longshore.shared.ledger.gateway.batches import BatchRecord, HeldBatch
from longshore.shared.ledger.gateway.files import FileRecord, NewUpload, new_file_id
from longshore.shared.ledger.roles.rights import Role
from longshore.shared.store.blobs import blob_path
from longshore.shared.store.store import Store
from tests.integration.cluster import Cluster
from tests.integration.gateway.batch_calls import EMBEDDINGS, embedding_lines
from tests.integration.logins import as_role
from tests.integration.support import new_job
from tests.text_models import save_sentence
from tests.waiting import TIMEOUT_S, wait_until

PRODUCER = "search-team"
OPTIONS = GatewaySettings()


class Killed(BaseException):
    """The gateway died here."""


@pytest.fixture(scope="module")
def client(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """With the login of a gateway. There are encoder:1 and encoder:2."""
    folder = tmp_path_factory.mktemp("models")
    with cluster.client() as importing:
        for name, pooling in (("mean", "mean"), ("cls", "cls")):
            (folder / name).mkdir()
            save_sentence(folder / name, pooling=pooling)
            importing.models.import_(folder / name, "encoder")
    settings = as_role(cluster.settings, Role.GATEWAY)
    with Client(
        redis_url=settings.redis_url, database_url=settings.database_url, store=settings.store, producer=PRODUCER
    ) as client:
        yield client


@pytest.fixture(scope="module")
def store(cluster: Cluster) -> Store:
    return Store(cluster.settings.store)


def new_batch(client: Client, store: Store) -> BatchRecord:
    """Four lines for two versions, and one that cannot be run."""
    lines = [*embedding_lines(2, "encoder:1"), "no JSON", *embedding_lines(4, "encoder:2")[2:]]
    file = NewUpload(new_file_id(), PRODUCER, "batch", "input", store.put_blob("\n".join(lines).encode()))
    client.ledger.files.add(file)
    return client.ledger.batches.add(PRODUCER, EMBEDDINGS, file.id, "24h", 86400)


def drive(
    client: Client,
    store: Store,
    batch: BatchRecord,
    name: str,
    on_step: Callable[[], object] = int,
    on_pause: Callable[[], object] = int,
) -> None:
    """Drive a batch to its end, as a gateway does."""
    ledger = client.ledger
    # One whose jobs run is not taken before they have ended.
    wait_until(lambda: (batch.id, PRODUCER) in ledger.batches.take(name, 60.0, 10), "the turn of the batch")
    held = ledger.batches.held(PRODUCER, batch.id, name)
    while True:
        now = read(client, batch)
        step = next_step(now, held, OPTIONS, store, go_on)
        if step is None:
            return
        outcome = step(client)
        on_step()
        if isinstance(outcome, Wait):
            client.wait([client.job(job) for job in now.jobs or () if job is not None], TIMEOUT_S)
        elif isinstance(outcome, Again):
            held.release(outcome.seconds, failed=True)
            assert (batch.id, PRODUCER) not in ledger.batches.take("another", 60.0, 10)
            on_pause()
            assert (batch.id, PRODUCER) in ledger.batches.take(name, 60.0, 10)
        elif not isinstance(outcome, Submitted) and not outcome:
            return


def read(client: Client, batch: BatchRecord) -> BatchRecord:
    """A batch as it is now."""
    now = client.ledger.batches.find(PRODUCER, batch.id)
    assert now is not None
    return now


def go_on() -> None:
    """The gateway does not stop."""


def points_passed(client: Client, store: Store, cancelled: bool) -> list[str]:
    """The fault points of a batch, each once."""
    passed: list[str] = []
    batch = new_batch(client, store)
    with armed(passed.append):
        drive(client, store, batch, "first", cancelling(client, batch) if cancelled else int)
    return sorted({point for point in passed if point.startswith("batch:")})


def cancelling(client: Client, batch: BatchRecord) -> Callable[[], object]:
    """Cancels the batch after its first step."""
    return lambda: client.ledger.batches.cancel(PRODUCER, batch.id)


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_gateway_may_die_at_any_point(client: Client, store: Store, cluster: Cluster, cancelled: bool) -> None:
    points = points_passed(client, store, cancelled)
    assert len(points) >= (7 if cancelled else 10)
    for point in points:
        batch = new_batch(client, store)

        def die(name: str, point: str = point) -> None:
            if name == point:
                raise Killed

        with armed(die), pytest.raises(Killed):
            drive(client, store, batch, "first", cancelling(client, batch) if cancelled else int)
        if read(client, batch).state not in ("completed", "cancelled"):
            expire_lease(cluster, batch)
            drive(client, store, batch, "second", cancelling(client, batch) if cancelled else int)
        check_end(client, store, cluster, batch, "cancelled" if cancelled else "completed", point)


def change(cluster: Cluster, batch: BatchRecord, assignment: LiteralString) -> None:
    """As time does, or another gateway."""
    with psycopg.connect(cluster.settings.database_url) as conn:
        conn.execute(f"UPDATE batches SET {assignment} WHERE id = %s", (batch.id,))


def expire_lease(cluster: Cluster, batch: BatchRecord) -> None:
    """As time does."""
    change(cluster, batch, "lease_until = now() - interval '1 s'")


def check_end(client: Client, store: Store, cluster: Cluster, batch: BatchRecord, state: str, point: str) -> None:
    """Every line is in one of the files once, and every job and every file is there once."""
    ended = read(client, batch)
    assert ended.state == state, point
    entries = []
    for id_ in (ended.output_file_id, ended.error_file_id):
        if id_ is not None:
            file = found(client, id_)
            entries += [json.loads(line) for line in store.read_blob(file.digest).splitlines()]
    assert Counter(entry["custom_id"] for entry in entries) == {"e0": 1, "e1": 1, "e2": 1, "e3": 1, None: 1}, point
    assert len({entry["id"] for entry in entries}) == 5
    assert (ended.total, ended.completed + ended.failed) == (5, 5)
    assert state == "cancelled" or ended.completed == 4
    jobs = jobs_of(cluster, batch)
    with psycopg.connect(cluster.settings.database_url) as conn:
        files = conn.execute("SELECT id FROM files WHERE filename LIKE %s", (f"{batch.id}%",)).fetchall()
    assert len(jobs) == 2 or state == "cancelled", point
    assert len(files) == sum(id_ is not None for id_ in (ended.output_file_id, ended.error_file_id)), point


def found(client: Client, id: str) -> FileRecord:
    """A file that must be there."""
    file = client.ledger.files.find(PRODUCER, id)
    assert file is not None
    return file


def test_a_gateway_that_has_lost_its_lease_changes_nothing(client: Client, store: Store, cluster: Cluster) -> None:
    batch = new_batch(client, store)
    client.ledger.batches.take("slow", 60.0, 10)
    slow = client.ledger.batches.held(PRODUCER, batch.id, "slow")
    expire_lease(cluster, batch)
    drive(client, store, batch, "quick")
    step = next_step(batch, slow, OPTIONS, store, go_on)
    assert step is not None
    assert step(client) is False
    check_end(client, store, cluster, batch, "completed", "late")


def test_what_a_batch_needs_is_not_swept(client: Client, store: Store, cluster: Cluster) -> None:
    batch = new_batch(client, store)
    named: set[str] = set()
    drive(client, store, batch, "first", lambda: named.update(cluster.ledger.queries.named_blobs()))
    with psycopg.connect(cluster.settings.database_url) as conn:
        assert conn.execute("SELECT blobs FROM batches WHERE id = %s", (batch.id,)).fetchone() == ([],)
    left = cluster.ledger.queries.named_blobs()
    ended = read(client, batch)
    assert {found(client, str(ended.output_file_id)).digest} <= left
    assert len(named - left) == 4  # the plan, the lines of two jobs, and the bad line


def test_what_the_store_has_lost_fails_the_batch(client: Client, store: Store, cluster: Cluster) -> None:
    file = NewUpload(new_file_id(), PRODUCER, "batch", "input", store.put_blob(b"something\n"))
    client.ledger.files.add(file)
    (cluster.folder / "store" / blob_path(file.blob.digest)).write_bytes(b"different!")
    damaged = client.ledger.batches.add(PRODUCER, EMBEDDINGS, file.id, "24h", 86400)
    lost = new_batch(client, store)

    def lose() -> None:
        plan = read(client, lost).plan
        if plan is not None:
            (cluster.folder / "store" / blob_path(plan)).unlink(missing_ok=True)

    for batch, on_step in ((damaged, int), (lost, lose)):
        expire_lease(cluster, batch)
        drive(client, store, batch, "first", on_step, lambda batch=batch: expire_lease(cluster, batch))  # type: ignore[misc]
        ended = read(client, batch)
        assert ended.errors is not None
        assert (ended.state, ended.errors[0]["code"]) == ("failed", "store_damaged")


def test_a_step_that_always_fails_ends_the_batch_and_its_jobs(client: Client, store: Store, cluster: Cluster) -> None:
    batch, tries = new_batch(client, store), list[str]()

    def fail(point: str) -> None:
        if point == "batch:jobs_submitted":
            if not tries:  # one that does not end by itself
                cluster.ledger.submissions.submit([new_job(1, producer=PRODUCER, queue="gpu", key=f"{batch.id}/2")])
            tries.append(point)
            raise ServiceUnavailable("an outage") if len(tries) < 3 else RuntimeError("a bug")

    def drive_on() -> None:
        drive(client, store, batch, "first", on_pause=lambda: expire_lease(cluster, batch))

    with armed(fail):
        for _ in range(2):
            with pytest.raises(ServiceUnavailable):
                drive_on()
            expire_lease(cluster, batch)
        drive_on()
    ended = read(client, batch)
    assert ended.errors is not None
    assert (ended.state, ended.errors[0]["code"]) == ("failed", "internal_error")
    assert "a bug" in str(ended.errors[0]["message"])
    assert len(tries) == MAX_TRIES + 2
    assert client.ledger.queries.not_ended(list(jobs_of(cluster, batch))) == set()


def jobs_of(cluster: Cluster, batch: BatchRecord) -> set[UUID]:
    """The jobs that were submitted."""
    with psycopg.connect(cluster.settings.database_url) as conn:
        found = conn.execute("SELECT id FROM jobs WHERE idempotency_key LIKE %s", (f"{batch.id}/%",))
        return {id_ for (id_,) in found}


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_gateway_that_was_frozen_does_no_harm(
    client: Client, store: Store, cluster: Cluster, cancelled: bool
) -> None:
    """Between its look at the batch and its job, another gateway takes the batch, and the batch ends."""
    batch, met = new_batch(client, store), list[str]()

    def freeze(point: str) -> None:
        if point == "batch:submitting" and not met:
            met.append(point)
            expire_lease(cluster, batch)
            if cancelled:
                client.ledger.batches.cancel(PRODUCER, batch.id)
            drive(client, store, batch, "quick")

    with armed(freeze):
        drive(client, store, batch, "frozen")
    assert met
    check_end(client, store, cluster, batch, "cancelled" if cancelled else "completed", "frozen")
    assert len(jobs_of(cluster, batch)) == (0 if cancelled else 2)


def test_lines_say_why_they_were_not_run(client: Client, store: Store, cluster: Cluster) -> None:
    """No gateway has run meanwhile: the jobs tell it."""
    for statement, codes, state in (
        ("SELECT", {"job_failed"}, "completed"),
        ("UPDATE jobs SET expired = true WHERE id = ANY(%s)", {"batch_expired"}, "expired"),
    ):
        batch = new_batch(client, store)
        client.ledger.batches.take("first", 60.0, 10)
        held = client.ledger.batches.held(PRODUCER, batch.id, "first")
        jobs = cluster.ledger.submissions.submit([new_job(2, producer=PRODUCER, queue="gpu") for _ in range(2)])
        run_step(client, store, batch, held)
        held.set_jobs(jobs, [None, None])
        for job in jobs:
            client.ledger.control.cancel(job, "its owner has cancelled it")
        with psycopg.connect(cluster.settings.database_url) as conn:
            conn.execute(statement, (jobs,) if "%s" in statement else ())
        change(cluster, batch, "expires_at = created_at, lease_until = now() - interval '1 s'")
        drive(client, store, batch, "second")
        assert read(client, batch).state == state
        assert error_codes(client, store, batch) == {"invalid_json_line", *codes}


def run_step(client: Client, store: Store, batch: BatchRecord, held: HeldBatch) -> Outcome:
    """The next step of a batch."""
    step = next_step(read(client, batch), held, OPTIONS, store, go_on)
    assert step is not None
    return step(client)


def error_codes(client: Client, store: Store, batch: BatchRecord) -> set[str]:
    """Those in the error file, which has all five lines."""
    file = found(client, str(read(client, batch).error_file_id))
    entries = [json.loads(line) for line in store.read_blob(file.digest).splitlines()]
    assert len(entries) == 5
    return {entry["error"]["code"] for entry in entries}


def test_lines_that_were_never_read_are_in_the_error_file(client: Client, store: Store, cluster: Cluster) -> None:
    late, cancelled = new_batch(client, store), new_batch(client, store)
    change(cluster, late, "expires_at = created_at")
    client.ledger.batches.cancel(PRODUCER, cancelled.id)
    for batch, state in ((late, "expired"), (cancelled, "cancelled")):
        drive(client, store, batch, "first")
        assert read(client, batch).state == state
        assert error_codes(client, store, batch) == {"invalid_json_line", f"batch_{state}"}
        assert jobs_of(cluster, batch) == set()
        expire_lease(cluster, cancelled)


def test_waiting_batches_cost_nothing_and_producers_take_turns(client: Client, cluster: Cluster) -> None:
    ledger = cluster.ledger
    job = ledger.submissions.submit([new_job(1, producer="many", queue="gpu")])[0]
    many = [ledger.batches.add("many", EMBEDDINGS, "file-none", "24h", 86400) for _ in range(5)]
    for batch in many[:3]:
        change(cluster, batch, "state = 'in_progress', jobs = ARRAY[(SELECT id FROM jobs WHERE producer = 'many')]")
    few = ledger.batches.add("few", EMBEDDINGS, "file-none", "24h", 86400)
    take = client.ledger.batches.take
    assert set(take("first", 60.0, 2)) == {(many[3].id, "many"), (few.id, "few")}
    assert take("first", 60.0, 10) == [(many[4].id, "many")]
    change(cluster, many[0], "expires_at = now()")
    ledger.batches.cancel("many", many[1].id)
    assert set(take("first", 60.0, 10)) == {(many[0].id, "many"), (many[1].id, "many")}
    ledger.control.cancel(job)
    assert take("first", 60.0, 10) == [(many[2].id, "many")]
    for batch in (*many, few):
        change(cluster, batch, "state = 'failed'")
