"""What every planner needs in addition to its request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from longshore.producers.planning.inline_rows import InputBlocks
from longshore.producers.planning.queues import QueueChoice
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.store.store import Store


@dataclass(frozen=True)
class PlanningContext:
    """The cluster that the jobs of one call are planned for."""

    ledger: Ledger
    queues: QueueChoice
    #: The name of the producer that submits.
    producer: str
    #: Collects the rows that are passed in memory.
    blocks: InputBlocks
    #: Opens the store.
    store: Callable[[], Store]
