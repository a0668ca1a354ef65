"""What the main screens of the command line show: ledgers whose workers are the tests, with ids and ages of our choice.

Ages are such that the texts made of them stay the same for minutes, however slow the machine is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim, NewJob
from longshore.shared.ledger.shards.logs import NewLogPart
from longshore.shared.ledger.workers import PRESENCE_TIMEOUT_S, Presence
from tests.integration.support import claim, commit, new_job

BUSY = Presence(name="cpu:0@tests", device="cpu:0", queue="cpu", host="tests", pid=1, families=["mlp"])
GPU = replace(BUSY, name="cuda:0@gpu-box-7", device="cuda:0", queue="gpu", host="gpu-box-7", pid=2)
IDLE = replace(BUSY, name="cpu:0.2@tests", pid=3)
SILENT = replace(GPU, name="cuda:1@gpu-box-7", device="cuda:1", pid=4)
#: A quarter of the epochs are left, and a day and six hours.
EPOCHS, EPOCHS_DONE, TRAINED_S = 40, 30, 325_800.0
#: So long ago are other things.
HOURS_AGO_S, DAYS_AGO_S = 9000.0, 200_000.0
_LOGGED_AT = datetime(2026, 11, 29, 15, 10, 2, tzinfo=UTC)


def job_id(number: int) -> UUID:
    """An id of our choice; the smaller, the older."""
    return UUID(f"019ac1f2-{0x7A31 + 0x111 * number:04x}-774b-bcce-b302099a8057")


def training(number: int) -> NewJob:
    """A job that trains ``cifar``."""
    spec = f'{{"family": "mlp", "epochs": {EPOCHS}, "devices": 1}}'
    new = new_job(EPOCHS, kind="train", model="cifar", version=None, producer="jo@laptop")
    return replace(new, id=job_id(number), spec=spec)


def inference(number: int, *rows: int, queue: str = "cpu", priority: int = 4, max_row_errors: float = 0) -> NewJob:
    """A job that runs ``sentiment-of-product-reviews:12``."""
    model = "sentiment-of-product-reviews"
    new = new_job(*rows, model=model, version=12, queue=queue, priority=priority, max_row_errors=max_row_errors)
    return replace(new, id=job_id(number), producer="maria@gpu-box-7")


def started(ledger: Ledger, new: NewJob, seconds: float, worker: str = BUSY.name) -> Claim:
    """Submit a job, and let a worker begin with it so long ago."""
    ledger.submissions.submit([new])
    attempt = claim(ledger, new.id, worker=worker)
    move_back(ledger, new.id, seconds)
    return attempt


def move_back(ledger: Ledger, job: UUID, seconds: float) -> None:
    """Make a job so much older that it has been running for so long."""
    with ledger.database.connection() as conn:
        conn.execute(
            """UPDATE jobs SET created_at = created_at - make_interval(secs => %(by)s + 5),
                               started_at = started_at - make_interval(secs => %(by)s) WHERE id = %(job)s""",
            {"by": seconds, "job": job},
        )


def end_took(ledger: Ledger, job: UUID, seconds: float) -> UUID:
    """Make a job that has ended one that took exactly so long, two and a half hours ago."""
    with ledger.database.connection() as conn:
        conn.execute(
            """UPDATE jobs SET finished_at = now() - interval '9000 seconds',
                               started_at = now() - make_interval(secs => 9000 + %(took)s),
                               created_at = now() - make_interval(secs => 9001 + %(took)s) WHERE id = %(job)s""",
            {"took": seconds, "job": job},
        )
    return job


def queued(ledger: Ledger, new: NewJob) -> UUID:
    """Submit and publish a job, hours ago."""
    ledger.submissions.submit([new])
    move_back(ledger, new.id, HOURS_AGO_S)
    with ledger.database.connection() as conn:
        conn.execute("UPDATE shards SET published_at = now(), message_id = job_id WHERE job_id = %s", [new.id])
    return new.id


def trained_for(ledger: Ledger, number: int) -> Claim:
    """A training in its 31st epoch, with metrics of each before."""
    attempt = started(ledger, training(number), TRAINED_S)
    for epoch in range(1, EPOCHS_DONE + 1):
        values = {"train_loss": 2.3 / epoch, "val_loss": 0.4 + 2 / epoch, "val_accuracy": 0.9 - 0.5 / epoch}
        ledger.attempts.record_metrics(attempt, epoch, values)
    ledger.attempts.renew(attempt, lease=600.0, rows=EPOCHS_DONE, changed=True)
    with ledger.database.connection() as conn:
        conn.execute(
            """UPDATE metrics SET recorded_at = now() - make_interval(secs => (%(done)s - step) * %(epoch)s)
               WHERE job_id = %(job)s""",
            {"done": EPOCHS_DONE, "epoch": TRAINED_S / EPOCHS_DONE, "job": attempt.job_id},
        )
    return attempt


def see(ledger: Ledger, *workers: Presence, silent: Presence | None = None) -> None:
    """Let workers report that they are alive, and one that it was."""
    for presence in (*workers, *([] if silent is None else [silent])):
        ledger.workers.see(presence)
    if silent is not None:
        with ledger.database.connection() as conn:
            values = {"age": DAYS_AGO_S, "pid": silent.pid}
            conn.execute(
                "UPDATE workers SET seen_at = now() - make_interval(secs => %(age)s) WHERE pid = %(pid)s", values
            )


def stay_alive(ledger: Ledger) -> None:
    """Let the workers that are alive be so for as long as a screen may take: those seen too far ahead are not."""
    with ledger.database.connection() as conn:
        conn.execute(
            """UPDATE workers SET seen_at = now() + make_interval(secs => %(ahead)s)
               WHERE seen_at > now() - make_interval(secs => %(age)s / 2)""",
            {"ahead": PRESENCE_TIMEOUT_S - 1, "age": DAYS_AGO_S},
        )


def busy_cluster(ledger: Ledger) -> None:
    """A worker that trains, one that runs shards of three jobs, one that is idle, one that is silent, and a queue."""
    see(ledger, BUSY, GPU, IDLE, silent=SILENT)
    trained_for(ledger, 0)
    for number in (1, 2, 3):
        attempt = started(ledger, inference(number, 1_250_000, queue="gpu"), 100_000.0, GPU.name)
        ledger.attempts.renew(attempt, lease=600.0, rows=500_000, changed=True)
    for new in (inference(4, 1000, queue="gpu", priority=7), inference(5, 1, 1), training(6)):
        queued(ledger, new)


def no_worker(ledger: Ledger) -> UUID:
    """A job for a GPU, whose worker is silent."""
    see(ledger, BUSY, silent=SILENT)
    return queued(ledger, inference(0, 1000, queue="gpu"))


def busy_worker(ledger: Ledger) -> UUID:
    """A job whose only worker trains."""
    see(ledger, BUSY)
    trained_for(ledger, 0)
    return queued(ledger, inference(1, 1000, 1000))


def limited(ledger: Ledger) -> UUID:
    """The same, of a producer with a limit."""
    ledger.producer_limits.set("maria@gpu-box-7", 5)
    return busy_worker(ledger)


def running(ledger: Ledger) -> UUID:
    """A training in its 31st epoch."""
    see(ledger, BUSY)
    return trained_for(ledger, 0).job_id


def failed(ledger: Ledger) -> UUID:
    """A job that failed at its second attempt."""
    see(ledger, BUSY)
    attempt = started(ledger, inference(0, 1000), 0)
    ledger.attempts.fail(attempt, "CUDA ran out of memory; use a smaller batch size", permanent=False)
    with ledger.database.connection() as conn:
        conn.execute("UPDATE shards SET not_before = NULL")
    text = "the model is damaged: blob sha256:0000 of sentiment-of-product-reviews:12 has other bytes than its digest"
    ledger.attempts.fail(claim(ledger, attempt.job_id), text, permanent=True)
    return end_took(ledger, attempt.job_id, 65.0)


def failed_rows(ledger: Ledger) -> UUID:
    """A job with rows that could not be computed."""
    see(ledger, BUSY)
    attempt = started(ledger, inference(0, 100, max_row_errors=0), 0)
    errors = {7: "text: null is not a string", 31: "text: 9,120 tokens; the model takes 512 at most, or truncate=True"}
    commit(ledger, attempt, errors)
    return end_took(ledger, attempt.job_id, 8.2)


def cancelled(ledger: Ledger) -> UUID:
    """A training that was cancelled after its 30th epoch."""
    attempt = trained_for(ledger, 0)
    ledger.checkpoints.add(attempt, step=300, epoch=EPOCHS_DONE, blob="sha256:1", size_bytes=1, keep=1)
    ledger.control.cancel(attempt.job_id)
    return end_took(ledger, attempt.job_id, TRAINED_S)


def succeeded(ledger: Ledger) -> UUID:
    """A job that has succeeded."""
    see(ledger, BUSY)
    attempt = started(ledger, inference(0, 1000), 0)
    commit(ledger, attempt)
    return end_took(ledger, attempt.job_id, 12.5)


def logged(ledger: Ledger) -> UUID:
    """A job with the logs of two attempts."""
    first = started(ledger, inference(0, 1000), 0)
    stamp = f"{_LOGGED_AT:%Y-%m-%dT%H:%M:%SZ}"
    name = "infer sentiment-of-product-reviews:12"
    lines = (
        f"INFO start {first.job_id}/0/1: {name}, rows 0 to 1000, batch size 64, attempt 1 of 3, on cpu:0@tests (cpu), "
        "job of maria@gpu-box-7",
        "OUT 加载 the vocabulary of 30,522 words from the store",
        "WARNING 12 of 1000 texts are longer than 512 tokens and were cut; set max_length to keep more of them",
        "ERROR the store does not answer",
    )
    ledger.logs.add(first, [NewLogPart(0, "".join(f"{stamp} {line}\n" for line in lines))])
    ledger.attempts.fail(first, "the store does not answer", permanent=False)
    with ledger.database.connection() as conn:
        conn.execute("UPDATE shards SET not_before = NULL")
    second = claim(ledger, first.job_id)
    line = f"{stamp} INFO done {second.job_id}/0/2: {name}, 1,000 rows in 3.2 s, 312 rows/s\n"
    ledger.logs.add(second, [NewLogPart(0, line)])
    commit(ledger, second)
    return first.job_id


def _command(*words: str, of: Callable[[Ledger], UUID]) -> Callable[[Ledger], tuple[str, ...]]:
    return lambda ledger: (*words, str(of(ledger)))


def _overview(*words: str) -> Callable[[Ledger], tuple[str, ...]]:
    def prepare(ledger: Ledger) -> tuple[str, ...]:
        busy_cluster(ledger)
        return words

    return prepare


@dataclass(frozen=True)
class Scene:
    """A screen."""

    #: Fills the ledger, and returns the words of the command.
    prepare: Callable[[Ledger], tuple[str, ...]]
    #: Whether no line is wider than the terminal. The lines of logs are as long as they are.
    fits: bool = True
    widths: Sequence[int] = (60, 80, 120)
    exit_code: int = 0


def _refused(*words: str) -> Scene:
    """Words with a mistake, where there are three jobs. The message is the same on every terminal."""

    def prepare(ledger: Ledger) -> tuple[str, ...]:
        busy_worker(ledger)
        queued(ledger, training(2))
        return words

    return Scene(prepare, fits=False, widths=(80,), exit_code=2)


SCENES: dict[str, Scene] = {
    "status": Scene(_overview("status")),
    "top": Scene(_overview("top", "--once")),
    "why-no-worker": Scene(_command("jobs", "why", of=no_worker)),
    "why-busy-worker": Scene(_command("jobs", "why", of=busy_worker)),
    "why-limit": Scene(_command("jobs", "why", of=limited)),
    "why-running": Scene(_command("jobs", "why", of=running)),
    "why-failed": Scene(_command("jobs", "why", of=failed)),
    "why-failed-rows": Scene(_command("jobs", "why", of=failed_rows)),
    "why-cancelled": Scene(_command("jobs", "why", of=cancelled)),
    "why-succeeded": Scene(_command("jobs", "why", of=succeeded)),
    "show-queued": Scene(_command("jobs", "show", of=busy_worker)),
    "show-training": Scene(_command("jobs", "show", of=running)),
    "show-failed": Scene(_command("jobs", "show", of=failed)),
    "show-failed-rows": Scene(_command("jobs", "show", of=failed_rows)),
    "unknown-job": _refused("jobs", "show", "019ac1f2-ffff-774b-bcce-b302099a8057"),
    "unknown-start": _refused("jobs", "cancel", "019ac1f3"),
    "ambiguous-start": _refused("jobs", "retry", "019ac1f2"),
    "no-job-id": _refused("jobs", "logs", "cifar"),
    "unknown-model": _refused("models", "show", "cifra:2"),
    "mistyped-option": _refused("jobs", "list", "--stat", "running"),
    "unknown-state": _refused("jobs", "list", "--state", "runing"),
    "unknown-column": _refused("jobs", "list", "--sort", "tok"),
    "logs": Scene(_command("jobs", "logs", of=logged), fits=False),
}
