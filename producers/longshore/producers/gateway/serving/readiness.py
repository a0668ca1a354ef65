"""Readiness: whether what the gateway needs answers, each within a limit."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from longshore.broker.redis_address import parse_redis_url
from longshore.broker.redis_errors import redis_errors
from longshore.shared.errors import LongshoreError, ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.schema_revision import find_missing_migrations
from longshore.shared.settings import Settings
from longshore.shared.store.open import open_folder

_OK: Final = "ok"


class Readiness:
    """Asks Postgres, Redis and the store. Callers at the same time share the answers.

    :param ledger: of the gateway.
    :param timeout_s: seconds for each of them.
    """

    def __init__(self, settings: Settings, ledger: Ledger, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._checks: Mapping[str, Callable[[], str | None]] = {
            "postgres": lambda: find_missing_migrations(ledger.queries.schema_revision()),
            "redis": lambda: _check_redis(settings.redis_url),
            "store": lambda: _check_store(settings.store),
        }
        self._running: dict[str, asyncio.Future[str]] = {}

    async def check(self) -> dict[str, str]:
        """For each service ``ok``, or what is wrong with it, without addresses."""
        results = await asyncio.gather(*(self._answer(name) for name in self._checks))
        return dict(zip(self._checks, results, strict=True))

    async def _answer(self, name: str) -> str:
        running = self._running.get(name)
        if running is None or running.done():
            running = self._running[name] = _in_thread(self._checks[name])
        try:
            # A check that hangs is not started again, so that no threads pile up.
            return await asyncio.wait_for(asyncio.shield(running), self._timeout_s)
        except TimeoutError:
            return f"does not answer within {self._timeout_s:g} s"


def _in_thread(check: Callable[[], str | None]) -> asyncio.Future[str]:
    """Run a check in a thread that does not hold up the end of the process.

    :param check: returns what is wrong, if it knows.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str] = loop.create_future()

    def run() -> None:
        try:
            result = check() or _OK
        except (LongshoreError, OSError):
            result = "cannot be reached or used"
        # The gateway may have ended meanwhile.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(answer.set_result, result)

    threading.Thread(target=run, name="longshore-ready", daemon=True).start()
    return answer


def _check_redis(url: str) -> None:
    with redis_errors(), parse_redis_url(url).client() as client:
        client.ping()


def _check_store(url: str) -> None:
    folder = open_folder(url)
    if folder.path is None:
        folder.size("ready")
        return
    # The first write makes the folder of a new store.
    existing = folder.path if folder.path.exists() else folder.path.parent
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ServiceUnavailable(f"store {folder.name}: no folder that can be written")
