"""What is mended after the clock of Postgres was set: the times in the future or past by which shards would wait.

Rows that are locked are skipped: their workers renew, commit or hand back at this moment, and write new times.
"""

from __future__ import annotations

from typing import Final

from longshore.shared.ledger.backoff import MAX_PAUSE_S

READ_CLOCK: Final = "SELECT extract(epoch FROM clock_timestamp())::float8"

#: The smallest step that is mended, in seconds.
MIN_STEP_S: Final = 2.0
#: The longest that a lease which has run out by a step alone goes on, in seconds: longer than workers take to renew it.
MAX_EXTENSION_S: Final = 60.0
#: After a step forward: attempts whose leases have run out by it alone keep what was left. Those that were granted
#: since have run out by themselves: a relay may learn of the step long after it.
EXTEND_LEASES: Final = f"""
    WITH expired AS MATERIALIZED (
        SELECT job_id, index FROM shards
        WHERE state = 'running' AND lease_until < now() AND lease_until >= now() - make_interval(secs => %(step)s)
          AND (leased_at IS NULL OR leased_at <= now() - make_interval(secs => %(step)s - {MIN_STEP_S}))
        ORDER BY job_id, index FOR UPDATE SKIP LOCKED
    )
    UPDATE shards
    SET leased_at = now(),
        lease_until = least(lease_until + make_interval(secs => %(step)s), now() + (lease_until - leased_at),
                            now() + make_interval(secs => {MAX_EXTENSION_S}))
    FROM expired WHERE shards.job_id = expired.job_id AND shards.index = expired.index
"""
#: After a step back: leases that were granted before it, and thus in the future, begin now. Nobody needs to have seen
#: the step: a clock can be set forward and back again while no relay looks. Only the longest leases are looked at, as
#: many as ``limit``; NULL looks at all.
SHORTEN_LEASES: Final = f"""
    WITH longest AS MATERIALIZED (
        SELECT job_id, index FROM shards WHERE state = 'running' ORDER BY lease_until DESC LIMIT %(limit)s
    ), ahead AS MATERIALIZED (
        SELECT job_id, index FROM longest JOIN shards USING (job_id, index)
        WHERE state = 'running' AND leased_at > now() + make_interval(secs => {MIN_STEP_S})
        ORDER BY job_id, index FOR UPDATE OF shards SKIP LOCKED
    )
    UPDATE shards SET leased_at = now(), lease_until = now() + (lease_until - leased_at)
    FROM ahead WHERE shards.job_id = ahead.job_id AND shards.index = ahead.index
"""
#: What is missing has to be missing for the whole grace by the new time.
LOOK_AGAIN: Final = """
    WITH missing AS MATERIALIZED (
        SELECT job_id, index FROM shards WHERE missing_since IS NOT NULL AND state IN ('queued', 'running')
        ORDER BY job_id, index FOR UPDATE SKIP LOCKED
    )
    UPDATE shards SET missing_since = now()
    FROM missing WHERE shards.job_id = missing.job_id AND shards.index = missing.index
"""
_LATEST: Final = f"now() + make_interval(secs => {MAX_PAUSE_S})"
#: Queued shards that were published in the future, or would wait for a time beyond the longest pause.
FORGET_FUTURE: Final = f"""
    WITH ahead AS MATERIALIZED (
        SELECT job_id, index FROM shards
        WHERE state = 'queued'
          AND (published_at > now() OR not_before > {_LATEST})
        LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    )
    UPDATE shards
    SET published_at = CASE WHEN published_at > now() THEN now() ELSE published_at END,
        not_before = CASE WHEN not_before > {_LATEST} THEN {_LATEST} ELSE not_before END
    FROM ahead WHERE shards.job_id = ahead.job_id AND shards.index = ahead.index
"""
