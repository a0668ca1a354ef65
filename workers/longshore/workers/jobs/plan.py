"""Runs the planning shard: counts the rows of an input and divides it into shards."""

from __future__ import annotations

from longshore.shared.datasets.open import open_source
from longshore.shared.errors import DataError
from longshore.shared.ledger.records import Claim, NewShard, Ticket
from longshore.shared.specs.jobs import FileInput
from longshore.workers.context import WorkerContext
from longshore.workers.process.heartbeat import Heartbeat


def run_planning(context: WorkerContext, claim: Claim, beat: Heartbeat) -> None:
    """Commit the shards of an input and publish their tickets.

    :raises DataError: the input is not what it was at submission.
    """
    data = FileInput.model_validate(claim.spec["data"])
    segments = open_source(data).segments(claim.rows_per_shard)
    if not segments:
        raise DataError(f"{data.uri}: has no rows")
    shards = [
        NewShard(
            action=claim.kind, start=segment.start, stop=segment.stop, offset=segment.offset, length=segment.length
        )
        for segment in segments
    ]
    beat.check()
    context.ledger.attempts.plan(claim, shards, segments[-1].stop)
    context.publish(
        [
            Ticket(
                *(claim.job_id, claim.shard + 1 + number, shard.action, claim.queue, claim.priority),
                *(shard.start, shard.stop, claim.model, claim.version),
            )
            for number, shard in enumerate(shards)
        ]
    )
