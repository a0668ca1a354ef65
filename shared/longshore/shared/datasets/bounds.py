"""How much memory a small file may ask for: headers and compression can claim any size without storing it."""

from __future__ import annotations

from typing import Final

#: The largest row that is read. In a text file, an unclosed quote is more likely beyond it than a longer row.
MAX_ROW_BYTES: Final = 256 << 20
#: The most bytes to which one record batch of an Arrow IPC file, or one column of it, may expand.
MAX_BATCH_BYTES: Final = 4 << 30
#: The most columns of a file.
MAX_COLUMNS: Final = 100_000
#: The most files in an archive; what is kept of each takes some 300 bytes.
MAX_MEMBERS: Final = 10_000_000


class TooLarge(ValueError):
    """Something is larger than is read."""


def check_row(what: str, size: float) -> None:
    """:raises TooLarge: a row is larger than :data:`MAX_ROW_BYTES`; ``what`` says of what."""
    if size > MAX_ROW_BYTES:
        raise TooLarge(
            f"{what} has rows of {size:,.0f} bytes, and at most {MAX_ROW_BYTES:,} are read; split each row into several"
        )


def check_batch(what: str, size: int) -> None:
    """:raises TooLarge: a record batch expands to more than :data:`MAX_BATCH_BYTES`; ``what`` says which."""
    if size > MAX_BATCH_BYTES:
        raise TooLarge(
            f"{what} expands to {size:,} bytes, and at most {MAX_BATCH_BYTES:,} are read; write batches of fewer rows"
        )


def rows_at_once(batch_rows: int, row_bytes: int) -> int:
    """How many rows, at most ``batch_rows``, are read at a time: as many as one row may have bytes, and at least 1."""
    return max(1, min(batch_rows, MAX_ROW_BYTES // max(row_bytes, 1)))
