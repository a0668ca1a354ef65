"""Reading the outcomes of the small jobs of many callers at once."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from longshore.shared.errors import ResultsPruned, UnknownJob, WaitTimeout
from longshore.shared.ledger.queries import Outcome, Queries


def read_outcomes(queries: Queries, jobs: Sequence[UUID]) -> list[Outcome | Exception]:
    """For each job how it has ended, or the error to raise for it."""
    outcomes = queries.outcomes(jobs)
    others = [id_ for id_ in jobs if id_ not in outcomes]
    going_on = queries.not_ended(others) if others else set()

    def result(id_: UUID) -> Outcome | Exception:
        outcome = outcomes.get(id_)
        if outcome is None:
            return (
                WaitTimeout(f"job {id_} has not ended")
                if id_ in going_on
                else UnknownJob("job", f"there is no job {id_}")
            )
        if outcome.pruned:
            return ResultsPruned("job", f"the results of job {id_} were removed")
        return outcome

    return [result(id_) for id_ in jobs]
