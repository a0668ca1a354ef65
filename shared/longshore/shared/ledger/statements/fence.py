"""The fence: what only the current attempt at a shard passes.

An attempt is current as long as its number is the shard's newest and the shard is running. The condition names the job,
and does not take it from another table, so that Postgres locks no partition but that of the job.
"""

from __future__ import annotations

from typing import Final

#: The condition on one shard, by ``job``, ``shard`` and ``attempt``.
FENCE: Final = "job_id = %(job)s AND index = %(shard)s AND attempt = %(attempt)s AND state = 'running'"

#: No row: the attempt is not current. Until the transaction ends, no other attempt can become current.
CHECK_FENCE: Final = f"SELECT 1 FROM shards WHERE {FENCE} FOR SHARE"
