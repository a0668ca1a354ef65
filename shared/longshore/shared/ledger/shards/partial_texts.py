"""What texts have that are being generated, so that the next attempt at their shard goes on with them.

Only the current attempt writes. They are removed with the commit of their row. Those of a shard that has ended without
success stay until its job is pruned: a retry goes on with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from longshore.shared.fault_point import fault_point
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database, records
from longshore.shared.ledger.postgres.repeating import repeat_read, repeat_rolled_back
from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.shards.transitions import claim_keys, row_range


@dataclass(frozen=True, kw_only=True)
class TextPiece:
    """Some tokens of a text. Parts of one text follow each other without a gap."""

    #: The number of the row in the job.
    row: int
    #: Which of the texts of the row, from 0.
    index: int
    #: Tokens of the text before these.
    start: int
    tokens: Sequence[int]
    #: Of the tokens, as a JSON text; ``None`` if they were not asked for.
    logprobs: str | None = None


@repeat_rolled_back
def save_texts(database: Database, parts: Sequence[tuple[Claim, TextPiece]]) -> set[tuple[UUID, int]]:
    """Save parts of texts in one transaction. Each replaces what is saved of its text from its start on.

    :returns: the shards whose attempt is not the current one any more: of these nothing is written.
    """
    with database.transaction() as conn:
        claims = list({(claim.job_id, claim.shard): claim for claim, _ in parts}.values())
        current = set(conn.execute(statements.batching.LOCK_CURRENT, claim_keys(claims)).fetchall())
        fault_point("ledger:texts_fenced")
        kept = [(claim.job_id, part) for claim, part in parts if (claim.job_id, claim.shard) in current]
        if kept:
            _write(conn, kept)
    return {(claim.job_id, claim.shard) for claim in claims} - current


@repeat_read
def list_texts(database: Database, claim: Claim) -> list[TextPiece]:
    """What is saved of the texts of a shard, by row, index and start."""
    with database.connection() as conn:
        return records(conn, TextPiece).execute(statements.shards.partial_texts.LIST_TEXTS, row_range(claim)).fetchall()


def _write(conn: Connection, parts: Sequence[tuple[UUID, TextPiece]]) -> None:
    values = {
        "jobs": [job for job, _ in parts],
        "rows": [part.row for _, part in parts],
        "indexes": [part.index for _, part in parts],
        "starts": [part.start for _, part in parts],
    }
    conn.execute(statements.shards.partial_texts.DELETE_TEXT_ENDS, values)
    with conn.cursor().copy(statements.shards.partial_texts.COPY_TEXTS) as copy:
        copy.set_types(["uuid", "int8", "int4", "int4", "int4[]", "text"])
        for job, part in parts:
            copy.write_row((job, part.row, part.index, part.start, list(part.tokens), part.logprobs))
