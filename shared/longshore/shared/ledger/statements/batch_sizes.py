"""Batch sizes that were learned."""

from __future__ import annotations

from typing import Final

READ_BATCH_SIZES: Final = """
    SELECT length, rows, rate, settled FROM batch_sizes WHERE digest = %(digest)s AND device = %(device)s
"""
WRITE_BATCH_SIZE: Final = """
    INSERT INTO batch_sizes (digest, device, length, rows, rate, settled)
    VALUES (%(digest)s, %(device)s, %(length)s, %(rows)s, %(rate)s, %(settled)s)
    ON CONFLICT (digest, device, length) DO UPDATE
    SET rows = excluded.rows, rate = excluded.rate, settled = excluded.settled, measured_at = now()
"""
