"""Workers, as they report that they are running."""

from __future__ import annotations

from typing import Final

SEE_WORKER: Final = """
    INSERT INTO workers (name, device, queue, host, pid, families)
    VALUES (%(name)s, %(device)s, %(queue)s, %(host)s, %(pid)s, %(families)s)
    ON CONFLICT (name) DO UPDATE
    SET device = excluded.device, queue = excluded.queue, host = excluded.host, seen_at = now(), pid = excluded.pid,
        families = excluded.families,
        started_at = CASE WHEN workers.pid = excluded.pid THEN workers.started_at ELSE now() END
"""
FORGET_WORKER: Final = "DELETE FROM workers WHERE name = %(name)s AND pid = %(pid)s AND host = %(host)s"
#: Workers that are gone for good. The last one that had some families stays, so that they stay known.
_SILENT: Final = """
    workers.seen_at < now() - make_interval(secs => %(age)s) AND EXISTS (
        SELECT FROM workers AS later WHERE later.seen_at > workers.seen_at AND later.families @> workers.families
    )
"""
FORGET_SILENT_WORKERS: Final = f"DELETE FROM workers WHERE {_SILENT}"
COUNT_SILENT_WORKERS: Final = f"SELECT count(*) FROM workers WHERE {_SILENT}"
#: A worker that was seen in the future has not reported since the clock was set back.
_ALIVE: Final = """
    seen_at BETWEEN now() - make_interval(secs => %(timeout)s) AND now() + make_interval(secs => %(timeout)s)
"""
LIST_WORKERS: Final = f"""
    SELECT name, device, queue, host, pid, families, started_at, seen_at, {_ALIVE} AS alive
    FROM workers ORDER BY name
"""
LIVE_QUEUES: Final = f"SELECT DISTINCT queue FROM workers WHERE {_ALIVE}"
KNOWN_FAMILIES: Final = "SELECT DISTINCT unnest(families) FROM workers"
