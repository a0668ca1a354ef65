"""What a ticket shows of a shard, for every statement that returns tickets."""

from __future__ import annotations

from typing import Final

#: In the order of the fields of :class:`~longshore.shared.ledger.records.Ticket`.
TICKET_COLUMNS: Final = """
    shards.job_id, shards.index AS shard, shards.action, shards.queue, shards.priority, shards.start, shards.stop,
    jobs.model, jobs.version, shards.attempt
"""
