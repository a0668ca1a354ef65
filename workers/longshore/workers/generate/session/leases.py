"""Renews the leases of the shards of a session, all in one statement, and notices which are lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Sequence
from types import TracebackType
from uuid import UUID

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim
from longshore.workers.process.heartbeat import MAX_RENEWAL_INTERVAL_S, RENEWALS_PER_LEASE
from longshore.workers.process.watchdog.show import Shown

log = logging.getLogger(__name__)


class Leases:
    """The leases of attempts that come and go. A thread renews them; a context manager around the session.

    :param lease: seconds from a renewal to the loss of an attempt.
    :param shown: what the worker's parent sees of the attempts.
    """

    def __init__(self, ledger: Ledger, lease: float, shown: Shown) -> None:
        self._ledger = ledger
        self._lease = lease
        self._shown = shown
        self._claims: dict[tuple[UUID, int], Claim] = {}
        self._lost: set[tuple[UUID, int]] = set()
        self._valid_until = time.monotonic() + lease
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)

    def add(self, claims: Sequence[Claim]) -> None:
        """Also renew these, which were claimed just now."""
        with self._lock:
            if not self._claims:
                self._valid_until = time.monotonic() + self._lease
            self._claims |= {(claim.job_id, claim.shard): claim for claim in claims}

    def remove(self, claim: Claim) -> None:
        """The attempt has ended."""
        with self._lock:
            self._claims.pop((claim.job_id, claim.shard), None)
            self._lost.discard((claim.job_id, claim.shard))

    @property
    def expired(self) -> bool:
        """Whether nothing was renewed for so long that every attempt counts as lost."""
        return time.monotonic() > self._valid_until

    def take_lost(self, names: Collection[tuple[UUID, int]]) -> set[tuple[UUID, int]]:
        """Which of these shards have lost their attempt, each once.

        :param names: the job and the index of each.
        """
        with self._lock:
            lost = {name for name in self._lost if name in names}
            self._lost -= lost
        return lost

    def __enter__(self) -> Leases:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(min(self._lease / RENEWALS_PER_LEASE, MAX_RENEWAL_INTERVAL_S)):
            with self._lock:
                claims = list(self._claims.values())
            if claims:
                self._renew(claims)

    def _renew(self, claims: Sequence[Claim]) -> None:
        sent = time.monotonic()
        try:
            lost = self._ledger.attempts.renew_many(claims, lease=self._lease)
        except ServiceUnavailable as error:
            log.warning("%s; the leases of %d attempts were not renewed", error, len(claims))
            return
        with self._lock:
            self._valid_until = sent + self._lease
            # Not those that have ended meanwhile.
            lost &= self._claims.keys()
            gone = [self._claims.pop(name) for name in lost]
            self._lost |= lost
        if gone:
            self._shown.stopping(gone)
