"""What a message in Redis says: the names of shards, and one line for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from longshore.shared.ledger.batch_key import GROUP_ROWS, GROUP_SHARDS
from longshore.shared.ledger.records import Ticket

#: Every task is ``longshore.<what the shard does>``.
TASK_PREFIX = "longshore."


@dataclass(frozen=True)
class Message:
    """One Celery message: shards that one worker takes together, each with its own state and results.

    Small inference shards of the same version share a message, because a message costs the broker and the worker more
    than a row costs the model. All other shards have one of their own.
    """

    tickets: tuple[Ticket, ...]
    #: The Celery task's id, by which Flower shows it.
    id: UUID = field(default_factory=uuid4)
    #: What others wait for that have no message of their own; see :mod:`longshore.broker.coalescing`.
    wake: str | None = None

    @property
    def task(self) -> str:
        """The name of the Celery task."""
        return TASK_PREFIX + self.tickets[0].action

    @property
    def names(self) -> list[list[str | int]]:
        """The arguments: (job, shard) of each."""
        return [[str(ticket.job_id), ticket.shard] for ticket in self.tickets]

    @property
    def batch_key(self) -> str | None:
        """What all of its shards have in common with others that can run with them."""
        first = self.tickets[0].batch_key
        return first if all(ticket.batch_key == first and not ticket.attempt for ticket in self.tickets) else None

    @property
    def label(self) -> str:
        """``digits:3 rows 0-4096``, ``digits:3 64 jobs``, ``train digits``: names and numbers, no user data."""
        first = self.tickets[0]
        name = first.model if first.version is None else f"{first.model}:{first.version}"
        if first.action != "infer":
            return f"{first.action} {name}"
        if len(self.tickets) > 1:
            return f"{name} {len(self.tickets)} shards"
        return f"{name} rows {first.start}-{first.stop}"


def parse_names(names: Sequence[Sequence[str | int]]) -> list[tuple[UUID, int]]:
    """The arguments of a message, back to names of shards.

    :raises ValueError: they are not what :attr:`Message.names` makes.
    """
    return [(UUID(str(job)), int(shard)) for job, shard in names]


def group(tickets: Iterable[Ticket]) -> Iterator[Message]:
    """Put tickets into messages, in their order."""
    held: list[Ticket] = []
    rows = 0
    for ticket in tickets:
        size = ticket.stop - ticket.start
        if held and not (_alike(held[0], ticket) and len(held) < GROUP_SHARDS and rows + size <= GROUP_ROWS):
            yield Message(tuple(held))
            held, rows = [], 0
        held.append(ticket)
        rows += size
    if held:
        yield Message(tuple(held))


def carried(messages: Sequence[Message]) -> list[tuple[UUID, Sequence[Ticket]]]:
    """What the ledger is told of messages: the id of each, and its tickets."""
    return [(message.id, message.tickets) for message in messages]


def _alike(one: Ticket, other: Ticket) -> bool:
    # A shard that was tried before may be what ended its worker: it must not take others with it again.
    if one.attempt or other.attempt:
        return False
    return one.action == "infer" == other.action and (one.queue, one.priority, one.model, one.version) == (
        other.queue,
        other.priority,
        other.model,
        other.version,
    )
