"""What every planner needs besides its request."""

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
    #: The name of the user who submits.
    producer: str
    #: Collects the rows that come with the call.
    blocks: InputBlocks
