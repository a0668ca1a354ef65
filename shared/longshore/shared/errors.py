"""The exceptions of Longshore.

LongshoreError
├── InvalidInput            an argument or option is wrong (exit code 2)
│   ├── UnknownModel
│   ├── UnknownJob
│   ├── AmbiguousJob        the start of an id is that of several jobs
│   ├── UnknownWebhook
│   ├── VersionInUse
│   ├── ResultsPruned
│   └── QueueFull           the producer has as many jobs as it may have
├── ServiceUnavailable      Redis, Postgres, the store or the home cannot be reached (exit code 3)
│   ├── NoCluster
│   ├── LedgerBusy
│   └── SubmissionUncertain
├── LedgerRefused           Postgres refused a statement of Longshore (exit code 1)
├── HomeError               the embedded home cannot be used in its current state (exit code 3)
├── JobFailed               a job that was waited for did not succeed (exit code 1)
├── WaitTimeout             a job that was waited for has not ended yet (exit code 1)
├── NotPromoted             the condition of a promotion is false (exit code 1)
├── AliasMoved              somebody else moved an alias in the same moment (exit code 1)
├── CorruptBlob             bytes in the store do not match their digest
│   └── MissingBlob         they are missing, or damaged, though the store can be reached
├── DataError               data that was readable at submission cannot be read now
│   └── MissingData         a file is missing, though its folder can be reached
└── AttemptLost             an attempt at a shard is no longer the current one (inside workers)
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID


class LongshoreError(Exception):
    """The base class of all exceptions of Longshore."""

    #: The exit code of the command line when it ends with this error.
    exit_code = 1


class InvalidInput(LongshoreError):
    """Change the named field as the message says and call again; nothing was queued.

    :param field: the argument or option that is wrong, as the caller wrote it (``data``, ``batch_size``).
    :param reason: what is wrong with the value, and what to do.
    """

    exit_code = 2

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class UnknownModel(InvalidInput):
    """Check the name, version or alias with ``longshore models list``. Nothing was queued."""


class UnknownJob(InvalidInput):
    """Check the id with ``longshore jobs list``."""


class AmbiguousJob(InvalidInput):
    """Write more of the id: what was given is the start of several, which the message lists."""


class UnknownWebhook(InvalidInput):
    """Check the id with ``longshore webhooks list``."""


class VersionInUse(InvalidInput):
    """Free the version as the message says, and delete it again. Nothing was deleted."""


class ResultsPruned(InvalidInput):
    """Submit the job's data again: its results were removed because they were too old."""


class QueueFull(InvalidInput):
    """Wait until some of the producer's jobs have ended, or cancel some, and submit again. Nothing was queued."""


class ServiceUnavailable(LongshoreError):
    """Start the named service or correct its address, then call again. Submitted jobs are not lost."""

    exit_code = 3


class NoCluster(ServiceUnavailable):
    """Start a cluster with ``longshore up``, or set the ``LONGSHORE_*`` variables to the addresses of one."""


class LedgerBusy(ServiceUnavailable):
    """Call again when the named table is no longer in use. Work that was done so far is not lost."""


class SubmissionUncertain(ServiceUnavailable):
    """Ask for the jobs with ``client.job(id)`` before you submit them again: they may have been submitted.

    :param jobs: the ids that the jobs have if they were submitted: all of them, or none.
    """

    def __init__(self, message: str, jobs: Sequence[UUID]) -> None:
        super().__init__(message)
        self.jobs = list(jobs)


class LedgerRefused(LongshoreError):
    """Run ``longshore migrate`` with the release that is in use; if that does not help, report the message."""


class HomeError(LongshoreError):
    """Repair the home folder or choose another one, as the message says. Its content was not changed."""

    exit_code = 3


class JobFailed(LongshoreError):
    """See ``job.errors()`` for the cause; ``job.retry()`` runs the failed shards again."""


class WaitTimeout(LongshoreError):
    """Wait again: the job continues to run."""


class NotPromoted(LongshoreError):
    """Promote another version, or relax the condition. The alias was not changed."""


class AliasMoved(LongshoreError):
    """Look at ``longshore models history``, and roll back again if that is still wanted. The alias was not changed."""


class CorruptBlob(LongshoreError):
    """Restore the named blob from a backup, or train or import the version again."""


class MissingBlob(CorruptBlob):
    """Restore the named blob from a backup. A worker looks again before it ends a job with this error."""


class DataError(LongshoreError):
    """Correct the named file; if it was changed after submission, submit the job again."""


class MissingData(DataError):
    """Put the named file back, or submit the job again. A worker looks again before it ends a job with this error."""


class AttemptLost(LongshoreError):
    """Stop and write nothing: a newer attempt runs the shard, or the job was cancelled."""
