"""A producer: a process that submits jobs, and writes down what it asked for and what it was told.

    python -m tests.chaos.producer JOURNAL SEED ROLE [ROWS_FILE ROWS OUTPUTS]

Its journal is the history that the checker compares with Postgres. A line is written before each call, with all that is
needed to judge its effects, and another when the call has returned. The process may be killed at any moment; a line
that was written stays, because it is in the memory of the kernel by then.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from uuid import uuid4

from longshore.producers import Client, Infer, Job
from longshore.shared.errors import LongshoreError, ServiceUnavailable
from tests.integration import digits

#: Attempts at one shard: a job must outlive every fault that hits it.
MAX_ATTEMPTS = 100
#: Jobs of one producer that may be on their way. It waits before it submits more.
MAX_PENDING = {"small": 1500, "large": 4, "training": 3}
#: Seconds to wait for the oldest of them.
PENDING_TIMEOUT_S = 20.0

_stopping = False


class Journal:
    """The history of one producer: one JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, **line: object) -> None:
        os.write(self._file, json.dumps({"at": time.time(), **line}).encode() + b"\n")


class Producer:
    """Submits jobs of one role until SIGTERM.

    :param rows_file: a Parquet file with ``rows`` rows: row ``i`` is image ``i % 1797``.
    """

    def __init__(self, journal: Journal, seed: int, role: str, rows_file: Path, rows: int, outputs: Path) -> None:
        self._journal = journal
        self._random = random.Random(seed)
        self._role = role
        self._rows_file, self._rows, self._outputs = rows_file, rows, outputs
        self._images, self._labels = digits.digits()
        self._pending: list[Job] = []
        self._client = Client(producer=f"chaos-{role}")

    def run(self) -> None:
        """Submit until SIGTERM, then return."""
        step: Callable[[], None] = {"small": self._small, "large": self._large, "training": self._training}[self._role]
        while not _stopping:
            try:
                step()
                self._limit()
            except ServiceUnavailable as error:
                self._journal.write(event="unavailable", error=str(error))
                time.sleep(0.2)
        self._client.close()

    def _call(self, submit: Callable[[], Sequence[Job]], **about: object) -> list[Job]:
        """Submit; ``about`` says what, and is enough to judge the jobs by."""
        call = uuid4().hex
        self._journal.write(event="call", call=call, **about)
        try:
            jobs = list(submit())
        except LongshoreError as error:
            self._journal.write(event="error", call=call, kind=type(error).__name__, error=str(error))
            raise
        self._journal.write(event="acknowledged", call=call, jobs=[str(job.id) for job in jobs])
        self._pending += jobs
        return jobs

    def _small(self) -> None:
        """One job or many of one to a few rows, most with a key; some are submitted again, some cancelled."""
        count = self._random.choice((1, 1, 1, 10, 100, 300))
        firsts = [self._random.randrange(len(self._images) - 8) for _ in range(count)]
        sizes = [self._random.choice((1, 1, 1, 2, 8)) for _ in range(count)]
        keys = [uuid4().hex for _ in range(count)]
        requests = [
            Infer(
                "digits",
                self._images[first : first + size],
                max_attempts=MAX_ATTEMPTS,
                idempotency_key=key,
                priority=self._random.choice((4, 4, 4, 6)),
            )
            for first, size, key in zip(firsts, sizes, keys, strict=True)
        ]
        about = {"shape": "rows", "firsts": firsts, "sizes": sizes, "keys": keys}
        jobs = self._repeated(lambda: self._client.submit_many(requests), **about)
        if jobs and self._random.random() < 0.02:
            self._cancel(self._random.choice(jobs))

    def _large(self) -> None:
        """A file of many rows, into the table or into files."""
        key = uuid4().hex
        shard = self._rows // self._random.choice((2, 4, 8))
        about: dict[str, object] = {"shape": "file", "rows": self._rows, "keys": [key]}
        if self._random.random() < 0.3:
            output = self._outputs / key / f"*.{self._random.choice(('parquet', 'jsonl'))}"
            jobs = self._repeated(
                lambda: [
                    self._client.infer(
                        "digits",
                        self._rows_file,
                        output=str(output),
                        rows_per_shard=shard,
                        max_attempts=MAX_ATTEMPTS,
                        idempotency_key=key,
                    )
                ],
                **about,
                output=str(output),
            )
        else:
            jobs = self._repeated(
                lambda: [
                    self._client.infer(
                        "digits", self._rows_file, rows_per_shard=shard, max_attempts=MAX_ATTEMPTS, idempotency_key=key
                    )
                ],
                **about,
            )
        if jobs and self._random.random() < 0.1:
            time.sleep(self._random.random())
            self._cancel(jobs[0])

    def _training(self) -> None:
        """A training, a chain after one, or a search."""
        name = f"model-{uuid4().hex[:12]}"
        key = uuid4().hex
        data = digits.table(self._images[:600], self._labels[:600])
        choice = self._random.random()
        if choice < 0.2:
            self._repeated(
                lambda: [
                    self._client.tune(
                        name,
                        "linear",
                        data,
                        "label",
                        {"learning_rate": [0.1, 0.01, 0.001]},
                        trials=3,
                        epochs=1,
                        max_attempts=MAX_ATTEMPTS,
                        idempotency_key=key,
                    )
                ],
                shape="tune",
                model=name,
                keys=[key],
            )
            return
        trained = self._repeated(
            lambda: [
                self._client.train(
                    name, "linear", data, "label", epochs=3, max_attempts=MAX_ATTEMPTS, idempotency_key=key
                )
            ],
            shape="train",
            model=name,
            keys=[key],
        )
        if choice < 0.6 and trained:
            keys = [uuid4().hex, uuid4().hex]
            evaluated = self._repeated(
                lambda: [trained[0].then.evaluate(data, "label", max_attempts=MAX_ATTEMPTS, idempotency_key=keys[0])],
                shape="evaluate",
                model=name,
                keys=keys[:1],
            )
            if evaluated:
                self._repeated(
                    lambda: [
                        evaluated[0].then.promote("production", max_attempts=MAX_ATTEMPTS, idempotency_key=keys[1])
                    ],
                    shape="promote",
                    model=name,
                    keys=keys[1:],
                )

    def _repeated(self, submit: Callable[[], Sequence[Job]], **about: object) -> list[Job]:
        """Call again with the same keys while the services are away, as the error advises."""
        while True:
            try:
                return self._call(submit, **about)
            except ServiceUnavailable:
                if _stopping:
                    return []
                time.sleep(0.2)

    def _cancel(self, job: Job) -> None:
        self._journal.write(event="cancel", job=str(job.id))
        self._journal.write(event="cancelled", job=str(job.id), returned=job.cancel())

    def _limit(self) -> None:
        """Wait for the oldest jobs if many are on their way, and write down how they ended."""
        while len(self._pending) > MAX_PENDING[self._role] and not _stopping:
            oldest = self._pending[: max(1, len(self._pending) // 2)]
            try:
                self._client.wait(oldest, PENDING_TIMEOUT_S)
            except LongshoreError:  # too early, or a service is away: look again
                continue
            ended = oldest[:: max(1, len(oldest) // 10)]
            self._journal.write(event="seen", states={str(job.id): str(job.state.value) for job in ended})
            self._pending = self._pending[len(oldest) :]


def main() -> None:
    """Run until SIGTERM."""
    signal.signal(signal.SIGTERM, _stop)
    journal, seed, role, rows_file, rows, outputs = sys.argv[1:]
    # A second life must not repeat what the first has done.
    again = Path(journal).stat().st_size if Path(journal).exists() else 0
    Producer(Journal(Path(journal)), hash((int(seed), again)), role, Path(rows_file), int(rows), Path(outputs)).run()


def _stop(number: int, frame: FrameType | None) -> None:
    global _stopping
    _stopping = True


if __name__ == "__main__":
    main()
