"""Submitting requests: they are planned, committed to the ledger, and then published."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import UUID

from longshore.broker.tickets import pack_messages, tickets_by_message
from longshore.producers.requests import Generate, Infer, Request
from longshore.producers.submission.publisher import Publisher
from longshore.producers.ttl_cache import TtlCache
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.jobs.submission import Submission, tickets_of
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.settings import Settings

if TYPE_CHECKING:
    from longshore.producers.planning.targets import Target
    from longshore.shared.ledger.jobs.submission import Condition
    from longshore.shared.ledger.records import Ticket


class Submitter:
    """Submits the requests of one client. Threads may share one."""

    def __init__(self, ledger: Ledger, settings: Settings, publisher: Publisher) -> None:
        self._ledger = ledger
        self._settings = settings
        self._publisher = publisher
        #: What was looked up for the last requests, so that the next of the same version need not.
        self._targets: TtlCache[Target] = TtlCache()

    def submit(self, requests: Iterable[Request], condition: Condition | None = None) -> list[UUID]:
        """Submit requests in one transaction; see :meth:`Client.submit_many`.

        :param condition: is checked in the transaction.
        :returns: the jobs, in the order of the requests.
        """
        # Brings NumPy and Arrow, which a client that only looks at jobs does not need.
        from longshore.producers.planning.planner import prepare

        prepared = prepare(list(requests), self._ledger, self._settings, self._targets)
        messages = list(pack_messages(tickets_of(prepared.jobs)))
        submissions = self._ledger.submissions
        if len(messages) == 1 and messages[0].batch_key is not None:
            ids = submissions.submit(prepared.jobs, prepared.inputs, condition=condition)
            self._publisher.publish_coalesced(messages[0], set(ids))
        else:
            ids = submissions.submit(prepared.jobs, prepared.inputs, tickets_by_message(messages), condition=condition)
            self._publisher.send(messages)
        return list(ids)

    def submit_apart(self, requests: Sequence[Infer | Generate]) -> list[UUID | Exception]:
        """Submit small requests of several callers, in one transaction if that can be; each as if alone.

        :returns: for each request its job, or the error that it would raise alone.
        """
        from longshore.producers.planning.planner import are_alike, prepare_apart

        if are_alike(requests):
            with suppress(InvalidInput):  # of one of them, for which the others must not fail
                return list(self.submit(requests))
        outcomes = prepare_apart(requests, self._ledger, self._settings, self._targets)
        good = [outcome for outcome in outcomes if isinstance(outcome, Submission)]
        submitted = iter(self._ledger.submissions.submit_apart(good))
        results = [outcome if isinstance(outcome, Exception) else next(submitted) for outcome in outcomes]
        made = {id_ for result in results if not isinstance(result, Exception) for id_ in result}
        self._publish_apart(good, made)
        return [result if isinstance(result, Exception) else result[0] for result in results]

    def _publish_apart(self, submissions: Sequence[Submission], made: set[UUID]) -> None:
        apart: defaultdict[tuple[str, int, str | None], list[Ticket]] = defaultdict(list)
        for ticket in tickets_of([job for submission in submissions for job in submission.jobs]):
            if ticket.job_id in made:  # and not by an earlier request with its idempotency key
                apart[ticket.queue, ticket.priority, ticket.batch_key].append(ticket)
        for (_, _, batch_key), tickets in apart.items():
            if batch_key is None:
                self._publisher.publish(tickets)
            else:
                for message in pack_messages(tickets):
                    self._publisher.publish_coalesced(message, made)
