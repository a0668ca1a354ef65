"""Finding a job by the start of its id, and shortening ids so that their starts can be used.

Ids are UUIDv7: the first 13 characters are the millisecond of the submission. Jobs that were submitted together share
them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from longshore.producers.reporting.human import age_text
from longshore.shared.errors import AmbiguousJob, InvalidInput, UnknownJob

if TYPE_CHECKING:
    from longshore.shared.ledger.ledger import Ledger
    from longshore.shared.ledger.records import JobRecord

#: Stands for the newest job of this producer.
LAST = "@last"
#: Characters of the shortest start of an id that is accepted, and that is shown: a shorter one would soon be that of
#: another job, too.
MIN_PREFIX, MIN_SHOWN = 4, 13
#: Candidates that an error lists, at most.
MAX_CANDIDATES = 10
_DIGITS = 32
_PREFIX = re.compile(r"[0-9a-f]{1,32}")
_EXAMPLE = "01890a5d-ac96-774b-bcce-b302099a8057"


def find_job(ledger: Ledger, text: str | UUID, producer: str) -> UUID:
    """The id of a job.

    :param text: the id; the start of it, of at least four characters; or ``@last``, the newest job of ``producer``.
    :raises UnknownJob: there is no such job. A whole id is not looked up.
    :raises AmbiguousJob: several ids start like this; the message lists them.
    """
    if isinstance(text, UUID):
        return text
    if text == LAST:
        newest = ledger.queries.newest_of(producer)
        if newest is None:
            raise UnknownJob("job", f"{LAST}: {producer} has submitted no job; longshore jobs list shows those of all")
        return newest
    try:
        return UUID(text)
    except ValueError:
        pass
    digits = text.lower().replace("-", "")
    if not _PREFIX.fullmatch(digits):
        raise UnknownJob(
            "job", f"{text!r} is not a job id; write an id such as {_EXAMPLE}, the start of one, or {LAST}"
        )
    if len(digits) < MIN_PREFIX:
        raise UnknownJob("job", f"{text!r} is too short; write at least {MIN_PREFIX} characters of the id, or {LAST}")
    matches = ledger.queries.jobs_between(
        UUID(digits.ljust(_DIGITS, "0")), UUID(digits.ljust(_DIGITS, "f")), MAX_CANDIDATES + 1
    )
    if not matches:
        raise UnknownJob("job", f"no job has an id that starts with {text}; see longshore jobs list")
    if len(matches) > 1:
        raise AmbiguousJob("job", _ambiguous(ledger, text, matches))
    return matches[0].id


def find_jobs(ledger: Ledger, texts: Sequence[str], producer: str) -> list[UUID]:
    """Like :func:`find_job`, for several; each job once, in the order given.

    :raises InvalidInput: the list is empty.
    """
    if not texts:
        raise InvalidInput("job", "write at least one job id")
    return list(dict.fromkeys(find_job(ledger, text, producer) for text in texts))


def short_ids(ledger: Ledger, jobs: Sequence[UUID]) -> dict[UUID, str]:
    """The start of each id, long enough to be that of no other job now. All have the same length.

    :param jobs: a job that does not exist keeps its whole id.
    """
    neighbours = ledger.queries.neighbours(list(jobs))
    shared = [_shared(str(job), str(other)) for job, others in neighbours.items() for other in others]
    length = max([MIN_SHOWN, *(count + 1 for count in shared)])
    return {job: str(job)[:length] if job in neighbours else str(job) for job in jobs}


def _shared(one: str, other: str) -> int:
    """How many characters two ids have in common at their start. The next one is never a dash: they differ in it."""
    return next(index for index, (a, b) in enumerate(zip(one, other, strict=True)) if a != b)


def _ambiguous(ledger: Ledger, text: str, matches: Sequence[JobRecord]) -> str:
    shown = matches[:MAX_CANDIDATES]
    ids = short_ids(ledger, [record.id for record in shown])
    lines = [
        f"  {ids[record.id]}  {record.kind} {record.model}, {record.state}, {age_text(record.created_at)} ago"
        for record in shown
    ]
    count = f"more than {MAX_CANDIDATES}" if len(matches) > MAX_CANDIDATES else str(len(matches))
    return "\n".join([f"{text} is the start of {count} ids; write more of it:", *lines])
