"""Which jobs are listed, as people write it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from longshore.shared.durations import parse_duration
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.jobs.filter import JobFilter
from longshore.shared.references import ModelReference
from longshore.shared.vocabulary import JobKind, State

if TYPE_CHECKING:
    from longshore.shared.ledger.ledger import Ledger


def job_filter(
    ledger: Ledger,
    *,
    states: Iterable[str] = (),
    kinds: Iterable[str] = (),
    model: str | None = None,
    producer: str | None = None,
    since: str | timedelta | None = None,
    before: UUID | None = None,
) -> JobFilter:
    """A filter of jobs.

    :param model: ``digits`` for all of its jobs; ``digits:3`` or ``digits@production`` for those that have run or made
        that version.
    :param since: only jobs of at most this age, as in ``30m``, ``2h`` or ``7d``.
    :param before: only jobs that were submitted before this one.
    :raises InvalidInput: a value is wrong; names the argument.
    :raises UnknownModel: there is no such alias.
    """
    reference = None if model is None else ModelReference.parse(model)
    version = None if reference is None else reference.version
    if reference is not None and reference.alias is not None:
        version = ledger.models.resolve(reference).version
    return JobFilter(
        states=frozenset(State(each) for each in _checked("state", states, list(State))),
        kinds=frozenset(_checked("kind", kinds, list(JobKind))),
        model=None if reference is None else reference.name,
        version=version,
        producer=producer,
        since=None if since is None else datetime.now(UTC) - parse_duration(since, "since", short=True),
        before=before,
    )


def _checked(field: str, values: Iterable[str], known: list[str]) -> list[str]:
    values = list(values)
    for value in values:
        if value not in known:
            raise InvalidInput(field, f"{value!r}: one of {', '.join(known)}")
    return values
