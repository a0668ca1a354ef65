"""Keeping attempts' leases while they run, and noticing when they are lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from types import TracebackType

from longshore.shared.errors import AttemptLost, ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim
from longshore.workers.process.draining import Draining

log = logging.getLogger("longshore.worker")

#: Leases are renewed this many times before they would run out.
RENEWALS = 4
#: And at least this often, in seconds: a cancelled job stops within it, and progress is reported.
LONGEST_PAUSE = 1.0


class Heartbeat:
    """A thread that renews leases, as a context manager around the run.

    :param claims: one attempt, or several that run together.
    :param lease: seconds from a renewal to the loss of an attempt.
    """

    def __init__(self, ledger: Ledger, claims: Sequence[Claim], lease: float, draining: Draining) -> None:
        self._ledger = ledger
        self._claims = list(claims)
        self._changing = threading.Lock()
        self._name = claims[0].token if len(claims) == 1 else f"{len(claims)} attempts from {claims[0].token}"
        self._lease = lease
        self._draining = draining
        self._kept_until = time.monotonic() + lease
        self._lost = threading.Event()
        self._over = threading.Event()
        self._rows = 0
        self._told = 0
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def progress(self, rows: int) -> None:
        """Rows computed so far, of a single attempt; the next renewal reports them."""
        self._rows = rows

    def add(self, claims: Sequence[Claim]) -> None:
        """Renew these too, which were claimed just now."""
        with self._changing:
            self._claims += claims

    @property
    def rows(self) -> int:
        """What was last reported by :meth:`progress`."""
        return self._rows

    def check(self) -> None:
        """Cheap; to be called between batches.

        :raises AttemptLost: no attempt is the current one any more, or could be renewed in time.
        :raises HandBack: the worker is stopping.
        """
        if self._lost.is_set() or time.monotonic() > self._kept_until:
            raise AttemptLost(f"{self._name}: not the current one any more")
        self._draining.check()

    def start(self) -> None:
        """Begin to renew; does nothing where that was done before."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        """Renew no more."""
        self._over.set()
        self._thread.join()

    def __enter__(self) -> Heartbeat:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._over.wait(min(self._lease / RENEWALS, LONGEST_PAUSE)):
            rows = self._rows
            sent = time.monotonic()
            try:
                lost = {claim.token for claim in list(self._claims) if not self._renew(claim, rows)}
            except ServiceUnavailable as error:
                # The lease still stands for a while: check() gives up when it has run out.
                log.warning("%s; the lease of %s was not renewed", error, self._name)
                continue
            with self._changing:
                self._claims = [claim for claim in self._claims if claim.token not in lost]
            if not self._claims:
                self._lost.set()
                return
            self._kept_until = sent + self._lease
            self._told = rows

    def _renew(self, claim: Claim, rows: int) -> bool:
        return self._ledger.attempts.renew(claim, lease=self._lease, rows=rows, changed=rows != self._told)
