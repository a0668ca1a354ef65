"""The lines that say when a run began and how it ended, in the log of the worker and in that of the attempt."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence

from longshore.broker.logs import with_fields
from longshore.shared.ledger.records import Claim
from longshore.shared.specs.families import TREES
from longshore.shared.vocabulary import JobKind
from longshore.workers.process.settings import WorkerSettings


class RunLines:
    """Writes the two lines of a run: of one attempt, or of several that run together.

    :param log: where they go.
    :param claims: at least one; several have the same version.
    """

    def __init__(self, log: logging.Logger, claims: Sequence[Claim], worker: WorkerSettings) -> None:
        self._log = log
        self._claims = claims
        self._began_at = time.monotonic()
        first = claims[0]
        self._model = first.model if first.version is None else f"{first.model}:{first.version}"
        self._unit = "epochs" if first.kind == JobKind.TRAIN else "rows"
        if len(claims) > 1:
            # The jobs are named by the result of the Celery task, and would make a line of hundreds of ids here.
            log.info("start a batch of %d shards: %s %s", len(claims), first.action, self._model)
            return
        size = None if first.spec.get("family") in TREES else first.spec.get("batch_size")
        log.info(
            "start %s: %s %s, %s %d to %d%s, attempt %d of %d, on %s (%s), job of %s",
            *(first.token, first.action, self._model, self._unit, first.start, first.stop),
            "" if size is None else f", batch size {size}",
            *(first.attempt, first.attempt_limit, worker.name, worker.device, first.producer),
            extra=with_fields(self._fields()),
        )

    def done(self, rows: int) -> None:
        """It was committed.

        :param rows: rows, or epochs, that were computed; 0 if they are not counted.
        """
        seconds = time.monotonic() - self._began_at
        first = self._claims[0]
        what = f"done {first.token}" if len(self._claims) == 1 else f"done a batch of {len(self._claims)} shards"
        amount = f"{rows:,} {self._unit.removesuffix('s') if rows == 1 else self._unit} in " if rows else ""
        rate = rows / seconds if seconds > 0 else 0.0
        speed = f", {f'{rate:,.0f}' if rate >= 10 else f'{rate:.2g}'} {self._unit}/s" if rows else ""
        numbers = {"seconds": round(seconds, 3), **({self._unit: rows} if rows else {})}
        self._log.info(
            *("%s: %s %s, %s%.2f s%s", what, first.action, self._model, amount, seconds, speed),
            extra=with_fields({**self._fields(), **numbers}),
        )

    def _fields(self) -> Mapping[str, str | int | float]:
        first = self._claims[0]
        shared = {"action": first.action, "model": self._model}
        if len(self._claims) > 1:
            return {**shared, "shards": len(self._claims)}
        return {"job": str(first.job_id), "shard": first.shard, "attempt": first.attempt, **shared}
