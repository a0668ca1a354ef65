"""Renews the leases of attempts while they run, and notices when they are lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from uuid import UUID

from longshore.shared.errors import AttemptLost, LongshoreError, ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import UNKNOWN_TIMES, Claim, RowTimes
from longshore.workers.process.draining import Draining
from longshore.workers.process.watchdog.show import Shown

log = logging.getLogger(__name__)

#: A lease is renewed this many times before it would expire.
RENEWALS_PER_LEASE = 4
#: Seconds between two renewals, at most: within it a cancelled job stops, and progress is reported.
MAX_RENEWAL_INTERVAL_S = 1.0


class ShardTimedOut(LongshoreError):
    """A run took longer than its time limit. Raised inside workers only."""

    def __init__(self, limit: float) -> None:
        super().__init__(
            f"the shard ran for longer than {limit:g} s, the time limit of its worker (LONGSHORE_SHARD_TIMEOUT); "
            "make shards smaller (rows_per_shard), or raise the limit"
        )


@dataclass(frozen=True)
class _Computed:
    """Rows that an attempt has computed. Moments are seconds of the monotonic clock."""

    rows: int = 0
    #: When the last batch ended.
    at: float = 0.0
    #: Those of the first batch.
    first_rows: int = 0
    first_at: float = 0.0

    def times(self) -> RowTimes:
        if not self.rows:
            return UNKNOWN_TIMES
        now = time.monotonic()
        return RowTimes(first_rows=self.first_rows, first_age_s=now - self.first_at, age_s=now - self.at)


class Heartbeat:
    """Renews leases in a thread; a context manager around the run.

    :param claims: one attempt, or several that run together.
    :param lease: seconds from a renewal to the loss of an attempt.
    :param shown: what the worker's parent sees of the attempts.
    :param time_limit: seconds that the run can take from :meth:`begin_run` on; ``None`` for no limit.
    """

    def __init__(
        self,
        ledger: Ledger,
        claims: Sequence[Claim],
        lease: float,
        draining: Draining,
        shown: Shown,
        time_limit: float | None = None,
    ) -> None:
        self._ledger = ledger
        self._shown = shown
        self._time_limit = time_limit
        self._ends_at = float("inf")
        self._claims = list(claims)
        self._claims_lock = threading.Lock()
        self._name = claims[0].token if len(claims) == 1 else f"{len(claims)} attempts from {claims[0].token}"
        self._lease = lease
        self._draining = draining
        self._valid_until = time.monotonic() + lease
        self._lost = threading.Event()
        self._stopped = threading.Event()
        self._computed = _Computed()
        self._reported_rows = 0
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def progress(self, rows: int) -> None:
        """Rows computed so far, of a single attempt; the next renewal reports them."""
        if rows == self._computed.rows:
            return
        self._shown.progress()
        now, before = time.monotonic(), self._computed
        first = (before.first_rows, before.first_at) if before.rows else (rows, now)
        self._computed = _Computed(rows, now, *first)

    def add(self, claims: Sequence[Claim]) -> None:
        """Also renew these claims, which were made just now."""
        with self._claims_lock:
            self._claims += claims

    @property
    def rows(self) -> int:
        """Rows computed so far, as :meth:`progress` last set them."""
        return self._computed.rows

    def check(self) -> None:
        """Check the lease, and show that the run goes on; cheap, to be called between batches.

        :raises: as :meth:`check_lease`.
        """
        self._shown.progress()
        self.check_lease()

    def check_lease(self) -> None:
        """Check the lease while other processes compute, which may hang.

        :raises AttemptLost: no attempt is the current one any more, or the lease expired.
        :raises ShardTimedOut: the run took longer than its time limit.
        :raises HandBack: the worker is stopping.
        """
        if self._lost.is_set() or time.monotonic() > self._valid_until:
            raise AttemptLost(f"{self._name}: not the current one any more")
        if time.monotonic() > self._ends_at:
            assert self._time_limit is not None
            raise ShardTimedOut(self._time_limit)
        self._draining.check()

    def begin_run(self) -> None:
        """The attempts run from now on, and not only wait for another one to end."""
        self._shown.running(self._claims)
        if self._time_limit is not None:
            self._ends_at = time.monotonic() + self._time_limit

    def start(self) -> None:
        """Begin to renew; does nothing if it has begun already."""
        if self._thread.ident is None:
            self._thread.start()

    def stop(self) -> None:
        """Stop renewing."""
        self._stopped.set()
        self._thread.join()

    def __enter__(self) -> Heartbeat:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopped.wait(min(self._lease / RENEWALS_PER_LEASE, MAX_RENEWAL_INTERVAL_S)):
            computed = self._computed
            sent = time.monotonic()
            try:
                lost = self._renew(list(self._claims), computed)
            except ServiceUnavailable as error:
                # The lease is still valid for a while: check() raises when it has expired.
                log.warning("%s; the lease of %s was not renewed", error, self._name)
                continue
            if lost:
                self._shown.stopping([claim for claim in self._claims if (claim.job_id, claim.shard) in lost])
            with self._claims_lock:
                self._claims = [claim for claim in self._claims if (claim.job_id, claim.shard) not in lost]
            if not self._claims:
                self._lost.set()
                return
            self._valid_until = sent + self._lease
            self._reported_rows = computed.rows

    def _renew(self, claims: Sequence[Claim], computed: _Computed) -> set[tuple[UUID, int]]:
        """Returns the shards whose attempts are lost."""
        attempts = self._ledger.attempts
        if len(claims) > 1:
            return attempts.renew_many(claims, lease=self._lease)
        [claim] = claims
        changed = computed.rows != self._reported_rows
        current = attempts.renew(claim, lease=self._lease, rows=computed.rows, changed=changed, times=computed.times())
        return set() if current else {(claim.job_id, claim.shard)}
