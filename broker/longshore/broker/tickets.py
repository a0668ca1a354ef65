"""What a message in Redis contains: the ids of shards, and one line for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from longshore.shared.ledger.records import Ticket
from longshore.shared.ledger.shards.batching import MAX_BATCH_ROWS, MAX_BATCH_SHARDS
from longshore.shared.vocabulary import Action

#: The name of a Celery task is this and the action of the shard: ``longshore.infer``.
TASK_PREFIX = "longshore."


@dataclass(frozen=True)
class Message:
    """One Celery message: shards that one worker takes together, each with its own state and results.

    Small inference shards of the same version share a message, because a message costs the broker and the worker more
    than a row costs the model. Any other shard has a message of its own.
    """

    tickets: tuple[Ticket, ...]
    #: The Celery task's id, by which Flower shows it.
    id: UUID = field(default_factory=uuid4)
    #: Set if the message also stands for shards that have no message; see :mod:`longshore.broker.coalescing`.
    coalescing_key: str | None = None

    @property
    def task_name(self) -> str:
        """The name of the Celery task."""
        return TASK_PREFIX + self.tickets[0].action

    @property
    def shard_ids(self) -> list[list[str | int]]:
        """The task's arguments: ``[job id, shard index]`` of each ticket."""
        return [[str(ticket.job_id), ticket.shard] for ticket in self.tickets]

    @property
    def batch_key(self) -> str | None:
        """The batch key of all its shards; ``None`` if they differ, or if one was tried before."""
        first = self.tickets[0].batch_key
        return first if all(ticket.batch_key == first and not ticket.attempt for ticket in self.tickets) else None

    @property
    def label(self) -> str:
        """``JOB digits:3 rows 0-4096``, ``JOB train digits``, ``digits:3 64 shards of 12 jobs``: names and numbers, no
        user data.
        """
        first = self.tickets[0]
        name = first.model if first.version is None else f"{first.model}:{first.version}"
        jobs = {ticket.job_id for ticket in self.tickets}
        if len(jobs) > 1:
            return f"{name} {len(self.tickets)} shards of {len(jobs)} jobs"
        if first.action != Action.INFER:
            return f"{first.job_id} {first.action} {name}"
        if len(self.tickets) > 1:
            return f"{first.job_id} {name} {len(self.tickets)} shards"
        return f"{first.job_id} {name} rows {first.start}-{first.stop}"


def parse_shard_ids(shard_ids: Sequence[Sequence[str | int]]) -> list[tuple[UUID, int]]:
    """The inverse of :attr:`Message.shard_ids`: (job id, shard index) of each.

    :raises ValueError: ``shard_ids`` has another form.
    """
    return [(UUID(str(job)), int(shard)) for job, shard in shard_ids]


def pack_messages(tickets: Iterable[Ticket]) -> Iterator[Message]:
    """Put tickets into as few messages as allowed, in their order."""
    packed: list[Ticket] = []
    rows = 0
    for ticket in tickets:
        size = ticket.stop - ticket.start
        fits = len(packed) < MAX_BATCH_SHARDS and rows + size <= MAX_BATCH_ROWS
        if packed and not (fits and _may_share(packed[0], ticket)):
            yield Message(tuple(packed))
            packed, rows = [], 0
        packed.append(ticket)
        rows += size
    if packed:
        yield Message(tuple(packed))


def tickets_by_message(messages: Sequence[Message]) -> list[tuple[UUID, Sequence[Ticket]]]:
    """The id of each message with its tickets, as the ledger records them."""
    return [(message.id, message.tickets) for message in messages]


def _may_share(one: Ticket, other: Ticket) -> bool:
    """Whether two tickets may share a message."""
    # A shard that was tried before may be what killed its worker: it must not take others with it again.
    if one.attempt or other.attempt:
        return False
    return one.action == Action.INFER == other.action and (one.queue, one.priority, one.model, one.version) == (
        other.queue,
        other.priority,
        other.model,
        other.version,
    )
