"""How long a deployment takes to go on after a fault is over."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import psycopg

from longshore.producers import Client
from longshore.producers.options.keywords import InferOptions
from longshore.shared.errors import LongshoreError
from longshore.shared.settings import Settings
from tests.chaos.deployment import Deployment
from tests.integration import digits

#: Seconds after which a deployment that does not go on counts as stuck.
STUCK_AFTER_S = 60.0
#: Seconds between two looks.
POLL_INTERVAL_S = 0.1


@dataclass(frozen=True)
class Running:
    """An attempt that was running when the fault was over."""

    job: str
    shard: int
    attempt: int
    lease_until: float


class Recovery:
    """Measures from the end of a fault until what ran then goes on, and a new job of one row has ended."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._image = digits.digits()[0][:1]

    def measure(self) -> float | None:
        """Seconds; ``None`` if it is stuck. Every attempt that was running must have been renewed, ended or repeated,
        and a row that is submitted now must have its result.
        """
        start = time.monotonic()
        running = self._running()
        canary = Canary(self._deployment.settings, self._image)
        while time.monotonic() < start + STUCK_AFTER_S:
            with suppress(psycopg.Error):
                if running:
                    now = set(self._running())
                    running = [each for each in running if each in now]
                if not running and canary.ended.is_set():
                    return time.monotonic() - start
            time.sleep(POLL_INTERVAL_S)
        return None

    def _running(self) -> list[Running]:
        with suppress(psycopg.Error):
            rows = self._deployment.sql(
                "SELECT job_id::text, index, attempt, extract(epoch FROM lease_until)::float8 FROM shards"
                " WHERE state = 'running'"
            )
            return [Running(*row) for row in rows]  # type: ignore[arg-type]
        return []


class Canary(threading.Thread):
    """Submits one row, more urgent than all others, and waits for its result; a thread, as a call may hang."""

    def __init__(self, settings: Settings, image: npt.NDArray[np.float32]) -> None:
        super().__init__(name="canary", daemon=True)
        self.ended = threading.Event()
        self._settings = settings
        self._image = image
        self._key = uuid4().hex
        self.start()

    def run(self) -> None:
        settings = self._settings
        deadline = time.monotonic() + STUCK_AFTER_S
        with Client(
            redis_url=settings.redis_url,
            database_url=settings.database_url,
            store=settings.store,
            producer="canary",
        ) as client:
            while time.monotonic() < deadline:
                with suppress(LongshoreError):
                    options = InferOptions(priority=9, max_attempts=100, idempotency_key=self._key)
                    client.infer("digits", self._image, **options).wait(STUCK_AFTER_S)
                    self.ended.set()
                    return
                time.sleep(POLL_INTERVAL_S)
