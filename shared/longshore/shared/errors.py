"""Every error Longshore raises on purpose.

LongshoreError
├── InvalidInput            what was asked for cannot be done as given (exit code 2)
│   ├── UnknownModel
│   ├── UnknownJob
│   └── ResultsPruned
├── ServiceUnavailable      Redis, Postgres, the store or the home cannot be reached (exit code 3)
│   ├── NoCluster
│   └── LedgerBusy
├── HomeError               the embedded home cannot be used as it is (exit code 3)
├── JobFailed               a job one waited for did not succeed (exit code 1)
├── WaitTimeout             a job one waited for has not ended yet (exit code 1)
├── NotPromoted             the condition of a promotion is false (exit code 1)
├── CorruptBlob             bytes in the store are not what their digest says
├── DataError               data that was readable at submission cannot be read now
└── AttemptLost             an attempt at a shard is not the current one any more (inside workers)
"""

from __future__ import annotations


class LongshoreError(Exception):
    """The root: catch it to catch everything Longshore raises on purpose."""

    #: What the command line ends with when this error reaches it.
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
    """Check the name, version or alias with ``longshore models list``; nothing was queued."""


class UnknownJob(InvalidInput):
    """Check the id with ``longshore jobs list``."""


class ResultsPruned(InvalidInput):
    """Submit the job's data again: its results were removed because of their age."""


class ServiceUnavailable(LongshoreError):
    """Start the named service or correct its address, then call again; nothing that was submitted is lost."""

    exit_code = 3


class NoCluster(ServiceUnavailable):
    """Start a cluster with ``longshore up``, or point ``LONGSHORE_*`` at one."""


class LedgerBusy(ServiceUnavailable):
    """Call again when those who use the named table are done; what was done so far is kept."""


class HomeError(LongshoreError):
    """Mend or choose another home folder as the message says; what it holds is left untouched."""

    exit_code = 3


class JobFailed(LongshoreError):
    """Look at ``job.errors()``; ``job.retry()`` runs what did not succeed."""


class WaitTimeout(LongshoreError):
    """Wait again: the job goes on."""


class NotPromoted(LongshoreError):
    """Promote another version, or ask for less; the alias points where it did."""


class CorruptBlob(LongshoreError):
    """Restore the named blob from a backup, or train or import the version again."""


class DataError(LongshoreError):
    """Mend the named file; if it was changed after submission, submit again."""


class AttemptLost(LongshoreError):
    """Stop and write nothing: a newer attempt has the shard, or the job was cancelled."""
