"""Batch sizes that workers have measured."""

from __future__ import annotations

from typing import Final

READ_BATCH_SIZES: Final = """
    SELECT length, batch_size, rows_per_second, settled
    FROM batch_sizes WHERE digest = %(digest)s AND device = %(device)s
"""
WRITE_BATCH_SIZE: Final = """
    INSERT INTO batch_sizes (digest, device, length, batch_size, rows_per_second, settled)
    VALUES (%(digest)s, %(device)s, %(length)s, %(batch_size)s, %(rows_per_second)s, %(settled)s)
    ON CONFLICT (digest, device, length) DO UPDATE
    SET batch_size = excluded.batch_size, rows_per_second = excluded.rows_per_second,
        settled = excluded.settled, measured_at = now()
"""
