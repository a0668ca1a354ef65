"""What every planner needs in addition to its request."""

from __future__ import annotations

from dataclasses import dataclass

from longshore.producers.planning.inline_rows import InputBlocks
from longshore.producers.planning.queues import QueueChoice
from longshore.shared.ledger.ledger import Ledger


@dataclass(frozen=True)
class PlanningContext:
    """The cluster that the jobs of one call are planned for."""

    ledger: Ledger
    queues: QueueChoice
    #: The name of the producer that submits.
    producer: str
    #: Collects the rows that are passed in memory.
    blocks: InputBlocks
