"""What the jobs of several requests have in common, and the jobs of rows that come with the call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from longshore.producers.planning.inline_rows import InputBlocks
from longshore.producers.planning.job_builder import Draft
from longshore.producers.planning.kept_columns import NOTHING_KEPT, KeptColumns
from longshore.shared.datasets.inline import encode_block
from longshore.shared.datasets.outputs.pattern import OutputPattern
from longshore.shared.ledger.records import NewJob, NewShard
from longshore.shared.ledger.shards.batching import MAX_SMALL_SHARD_ROWS
from longshore.shared.specs.jobs import Input
from longshore.shared.specs.signature import Signature
from longshore.shared.vocabulary import Action


@dataclass(frozen=True)
class Target:
    """What the jobs of some requests have in common: version, options, and what a row of theirs is."""

    draft: Draft
    signature: Signature
    #: The spec as JSON, without its data.
    rest: str
    format: str | None
    #: The batch key of small shards; ``None`` if they are not batched with other jobs.
    batch_key: str | None = None
    #: Columns to store with the results, and the path of the output files.
    kept: KeptColumns = NOTHING_KEPT
    output: OutputPattern | None = None
    #: Whether rows can be tokens in place of texts.
    takes_tokens: bool = False

    def spec_text(self, data: Input) -> str:
        """The spec of a job as JSON; by hand, since thousands of them differ in their data alone."""
        comma = "" if self.rest == "{}" else ","
        return f'{{"data":{data.model_dump_json()}{comma}{self.rest[1:]}'

    @property
    def name(self) -> str:
        """How the version is called in an error, as in ``digits:3``."""
        return f"{self.draft.model}:{self.draft.version}"

    def batch_key_for(self, rows: int) -> str | None:
        """The batch key of a shard of ``rows`` rows; ``None`` for a shard that is too large to be batched."""
        return self.batch_key if rows <= MAX_SMALL_SHARD_ROWS else None


def jobs_of_rows(
    target: Target,
    blocks: InputBlocks,
    table: pa.Table,
    counts: Sequence[int],
    action: Action,
    choose_rows_per_shard: Callable[[int], int],
) -> list[NewJob]:
    """The jobs of the rows of several requests.

    :param counts: rows of each request, in the table's order.
    :param choose_rows_per_shard: from the rows of a job, if the option does not say it.
    """
    options = target.draft.options
    options_content = target.rest.encode() if options.idempotency_key is not None else None
    jobs = []
    start = 0
    for data in blocks.take(table, counts):
        content = b"" if options_content is None else options_content + encode_block(table.slice(start, data.rows))
        step = options.rows_per_shard or choose_rows_per_shard(data.rows)
        shards = [
            NewShard(action=action, start=first, stop=stop, batch_key=target.batch_key_for(stop - first))
            for first in range(0, data.rows, step)
            for stop in (min(first + step, data.rows),)
        ]
        jobs.append(target.draft.job(target.spec_text(data), shards, data.rows, content))
        start += data.rows
    return jobs
