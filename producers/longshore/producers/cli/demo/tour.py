"""The steps of the demonstration, each told in a line."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO
from uuid import UUID

from longshore.producers.cli.demo.data import Digits, write_digits
from longshore.producers.cli.output import to_json
from longshore.producers.cli.views.addresses import FLOWER_USER
from longshore.producers.cli.views.json_documents import measured
from longshore.producers.client import Client
from longshore.shared.ledger.database import Connection, Database

if TYPE_CHECKING:
    from longshore.producers.cli.demo.home import Place
    from longshore.producers.job import Job

MODEL, ALIAS = "digits", "production"
#: Seconds a job of this size never needs.
PATIENCE = 300.0
SOME_ROWS = "SELECT row, output FROM results WHERE job_id = '{job}' ORDER BY row LIMIT 5"
#: A row without a result counts as wrong.
ACCURACY = """\
SELECT avg(coalesce((output->>'label' = truth.label)::int, 0))
FROM unnest(%(labels)s::text[]) WITH ORDINALITY AS truth (label, place)
LEFT JOIN results ON results.row = place - 1 AND results.job_id = '{job}'"""


@dataclass(frozen=True)
class Summary:
    """What came out of it."""

    model: str
    alias: str
    train_job: UUID
    infer_job: UUID
    train_rows: int
    #: Held-out images, none of which was trained on.
    rows: int
    #: The share of them that was recognised, as Postgres computed it from the results.
    accuracy: float
    flower_url: str | None
    seconds: float


class Tour:
    """Goes through the steps.

    :param stream: where they are told.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._started = time.monotonic()

    def say(self, text: str = "") -> None:
        """Tell people something, now."""
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def take(self, place: Place) -> Summary:
        """Train, promote, infer, and look at the results.

        :raises JobFailed: a job failed.
        :raises WaitTimeout: a job does not end.
        """
        status = place.status
        self.say(f"Cluster   Redis at {status.redis}, Postgres at {status.postgres}, store in {status.store}")
        digits = write_digits(place.data)
        self.say(f"Data      {digits.train_rows:,} images to train on: {digits.train}")
        self.say(f"          {len(digits.labels):,} images held out:    {digits.held_out}")
        with Client(home=place.home) as client:
            trained, version = self._train(client, digits)
            promoted = client.models.promote(version, ALIAS)
            self.say(f"Promote   {promoted.model}@{ALIAS} is {version} now")
            inferred = self._infer(client, digits)
            accuracy = self._look(client.settings.database_url, inferred.id, digits.labels)
        if status.flower_url:
            self.say(f"Flower    {status.flower_url} shows the workers, to the user {FLOWER_USER}")
        return Summary(
            model=version,
            alias=f"{MODEL}@{ALIAS}",
            train_job=trained.id,
            infer_job=inferred.id,
            train_rows=digits.train_rows,
            rows=len(digits.labels),
            accuracy=accuracy,
            flower_url=status.flower_url,
            seconds=round(time.monotonic() - self._started, 1),
        )

    def _train(self, client: Client, digits: Digits) -> tuple[Job, str]:
        self.say(f"Train     an mlp for {MODEL}, 30 epochs ...")
        job = client.train(
            MODEL, "mlp", str(digits.train), "label", epochs=30, batch_size=64, config={"hidden": [128]}
        ).wait(timeout=PATIENCE)
        outcome = job.record().outcome or {}
        version = f"{MODEL}:{outcome['version']}"
        self.say(f"          {version} after {job.progress.seconds:.1f} s: {measured(outcome.get('metrics'))}")
        return job, version

    def _infer(self, client: Client, digits: Digits) -> Job:
        job = client.infer(f"{MODEL}@{ALIAS}", str(digits.held_out)).wait(timeout=PATIENCE)
        self.say(f"Infer     {job.progress.done:,} rows in {job.progress.seconds:.2f} s, as job {job.id}")
        return job

    def _look(self, database_url: str, job: UUID, labels: Sequence[str]) -> float:
        database = Database(database_url, "longshore demo")
        try:
            with database.connection() as conn:
                self._show_rows(conn, SOME_ROWS.format(job=job))
                return self._show_accuracy(conn, ACCURACY.format(job=job), labels)
        finally:
            database.close()

    def _show_rows(self, conn: Connection, statement: str) -> None:
        self.say("Results   in Postgres, for anyone who knows SQL:\n")
        self.say(f"  {statement};\n")
        for row, output in conn.execute(statement):
            self.say(f"    {row} | {to_json(output)}")

    def _show_accuracy(self, conn: Connection, statement: str, labels: Sequence[str]) -> float:
        self.say("\n  " + statement.replace("\n", "\n  ") + ";\n")
        found = conn.execute(statement, {"labels": list(labels)}).fetchone()
        assert found is not None  # an aggregate gives a row
        accuracy = float(found[0])
        self.say(f"    {accuracy:.4f} of the held-out images are recognised\n")
        return accuracy
