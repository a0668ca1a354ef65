"""The steps of the demo. Each prints a line."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO
from uuid import UUID

from longshore.producers.cli.demo.data import Digits, write_digits
from longshore.producers.cli.views.addresses import FLOWER_USER
from longshore.producers.cli.views.short_values import metrics_text
from longshore.producers.client import Client
from longshore.producers.documents.json_text import to_json
from longshore.shared.ledger.database import Connection, Database
from longshore.shared.ledger.statements.queries import ACCURACY_QUERY, SAMPLE_ROWS_QUERY

if TYPE_CHECKING:
    from longshore.producers.cli.demo.home import DemoCluster
    from longshore.producers.job import Job

MODEL, ALIAS = "digits", "production"
#: Seconds; far more than a job of this size needs.
JOB_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Summary:
    """The results of the demo."""

    model: str
    alias: str
    train_job: UUID
    infer_job: UUID
    train_rows: int
    #: The number of held-out images, which are not used for training.
    rows: int
    #: The fraction of them that was classified correctly, computed by Postgres from the results.
    accuracy: float
    flower_url: str | None
    seconds: float


class Tour:
    """Runs the steps of the demo.

    :param stream: the output for people.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._started = time.monotonic()

    def say(self, text: str = "") -> None:
        """Print a line at once."""
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def run(self, cluster: DemoCluster) -> Summary:
        """Train, promote, infer, and look at the results.

        :raises JobFailed: a job failed.
        :raises WaitTimeout: a job did not end in time.
        """
        status = cluster.status
        self.say(f"Cluster   Redis at {status.redis}, Postgres at {status.postgres}, store in {status.store}")
        digits = write_digits(cluster.data)
        self.say(f"Data      {digits.train_rows:,} images for training: {digits.train}")
        self.say(f"          {len(digits.labels):,} images held out:     {digits.held_out}")
        with Client(home=cluster.home) as client:
            trained, version = self._train(client, digits)
            promoted = client.models.promote(version, ALIAS)
            self.say(f"Promote   {promoted.model}@{ALIAS} now points to {version}")
            inferred = self._infer(client, digits)
            accuracy = self._evaluate(client.settings.database_url, inferred.id, digits.labels)
        if status.flower_url:
            self.say(f"Flower    {status.flower_url} shows the workers (user {FLOWER_USER})")
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
        self.say(f"Train     an MLP as {MODEL}, 30 epochs ...")
        job = client.train(
            MODEL, "mlp", str(digits.train), "label", epochs=30, batch_size=64, config={"hidden": [128]}
        ).wait(timeout=JOB_TIMEOUT_S)
        outcome = job.record().outcome or {}
        version = f"{MODEL}:{outcome['version']}"
        self.say(f"          {version} after {job.progress.seconds:.1f} s: {metrics_text(outcome.get('metrics'))}")
        return job, version

    def _infer(self, client: Client, digits: Digits) -> Job:
        job = client.infer(f"{MODEL}@{ALIAS}", str(digits.held_out)).wait(timeout=JOB_TIMEOUT_S)
        self.say(f"Infer     {job.progress.done:,} rows in {job.progress.seconds:.2f} s, as job {job.id}")
        return job

    def _evaluate(self, database_url: str, job: UUID, labels: Sequence[str]) -> float:
        database = Database(database_url, "longshore demo")
        try:
            with database.connection() as conn:
                self._show_rows(conn, SAMPLE_ROWS_QUERY.format(job=job))
                return self._show_accuracy(conn, ACCURACY_QUERY.format(job=job), labels)
        finally:
            database.close()

    def _show_rows(self, conn: Connection, statement: str) -> None:
        self.say("Results   in Postgres, where you can query them with SQL:\n")
        self.say(f"  {statement};\n")
        for row, output in conn.execute(statement):
            self.say(f"    {row} | {to_json(output)}")

    def _show_accuracy(self, conn: Connection, statement: str, labels: Sequence[str]) -> float:
        self.say("\n  " + statement.replace("\n", "\n  ") + ";\n")
        row = conn.execute(statement, {"labels": list(labels)}).fetchone()
        assert row is not None  # an aggregate always returns a row
        accuracy = float(row[0])
        self.say(f"    {accuracy:.4f} of the held-out images are classified correctly\n")
        return accuracy
