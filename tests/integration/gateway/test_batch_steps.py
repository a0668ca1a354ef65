"""A gateway that dies at any step of a batch: another one takes over, and nothing is lost or done twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator

import psycopg
import pytest

from longshore.producers import Client
from longshore.producers.gateway.batches.steps import Submitted, Wait, next_step
from longshore.producers.gateway.settings import GatewaySettings
from longshore.shared.fault_point import armed
from longshore.shared.ledger.gateway.batches import BatchRecord
from longshore.shared.ledger.gateway.files import FileRecord, NewFile, new_file_id
from longshore.shared.ledger.roles.rights import Role
from longshore.shared.store.blobs import blob_path
from longshore.shared.store.store import Store
from tests.integration.cluster import Cluster
from tests.integration.gateway.batch_calls import EMBEDDINGS, embedding_lines
from tests.integration.logins import as_role
from tests.text_models import save_sentence
from tests.waiting import TIMEOUT_S

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
    file = NewFile(new_file_id(), PRODUCER, "batch", "input", store.put_blob("\n".join(lines).encode()))
    client.ledger.files.add(file)
    return client.ledger.batches.add(PRODUCER, EMBEDDINGS, file.id, "24h", 86400)


def drive(client: Client, store: Store, batch: BatchRecord, name: str, on_step: Callable[[], object] = int) -> None:
    """Drive a batch to its end, as a gateway does."""
    ledger = client.ledger
    assert (batch.id, PRODUCER) in ledger.batches.take(name, 60.0, 10)
    held = ledger.batches.held(PRODUCER, batch.id, name)
    while True:
        now = ledger.batches.find(PRODUCER, batch.id)
        assert now is not None
        step = next_step(now, held, OPTIONS, store, go_on)
        if step is None:
            return
        outcome = step(client)
        on_step()
        if isinstance(outcome, Wait):
            client.wait([client.job(job) for job in outcome.jobs], TIMEOUT_S)
        elif not isinstance(outcome, Submitted) and not outcome:
            return


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
        now = client.ledger.batches.find(PRODUCER, batch.id)
        assert now is not None
        if now.state not in ("completed", "cancelled"):
            expire_lease(cluster, batch)
            drive(client, store, batch, "second", cancelling(client, batch) if cancelled else int)
        check_end(client, store, cluster, batch, "cancelled" if cancelled else "completed", point)


def expire_lease(cluster: Cluster, batch: BatchRecord) -> None:
    """As time does."""
    with psycopg.connect(cluster.settings.database_url) as conn:
        conn.execute("UPDATE batches SET lease_until = now() - interval '1 s' WHERE id = %s", (batch.id,))


def check_end(client: Client, store: Store, cluster: Cluster, batch: BatchRecord, state: str, point: str) -> None:
    """Every line is in one of the files once, and every job and every file is there once."""
    ended = client.ledger.batches.find(PRODUCER, batch.id)
    assert ended is not None
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
    with psycopg.connect(cluster.settings.database_url) as conn:
        jobs = conn.execute(
            "SELECT idempotency_key FROM jobs WHERE idempotency_key LIKE %s", (f"{batch.id}/%",)
        ).fetchall()
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
    ended = client.ledger.batches.find(PRODUCER, batch.id)
    assert ended is not None
    assert {found(client, str(ended.output_file_id)).digest} <= left
    assert len(named - left) == 4  # the plan, the lines of two jobs, and the bad line


def test_a_batch_whose_file_is_damaged_fails(client: Client, store: Store, cluster: Cluster) -> None:
    file = NewFile(new_file_id(), PRODUCER, "batch", "input", store.put_blob(b"something\n"))
    client.ledger.files.add(file)
    (cluster.folder / "store" / blob_path(file.blob.digest)).write_bytes(b"different!")
    batch = client.ledger.batches.add(PRODUCER, EMBEDDINGS, file.id, "24h", 86400)
    drive(client, store, batch, "first")
    ended = client.ledger.batches.find(PRODUCER, batch.id)
    assert ended is not None
    assert ended.errors is not None
    assert (ended.state, ended.errors[0]["code"]) == ("failed", "store_damaged")
