"""The sizes that a submission and its results may have. What is larger is refused at once, with the limit."""

from __future__ import annotations

from typing import Final

from longshore.shared.errors import InvalidInput

#: Characters of a producer's name. It is part of an index, whose entries have at most 2,700 bytes.
MAX_PRODUCER_CHARS: Final = 200
#: Bytes of a job's options as JSON.
MAX_SPEC_BYTES: Final = 1 << 20
#: Shards of a job, at its submission or from the planning of its input.
MAX_SHARDS: Final = 1_000_000
#: Bytes of the rows that are passed in memory with one request.
MAX_INLINE_BYTES: Final = 1 << 30
#: Bytes of one row's result as JSON, in the table ``results``. Postgres holds no value of more than 256 MiB.
MAX_RESULT_BYTES: Final = 64 << 20
#: Bytes of one row's key as JSON, in the tables ``results`` and ``row_errors``: an index takes no more than 2,700.
MAX_KEY_BYTES: Final = 2048


def check_producer(name: str) -> str:
    """:raises InvalidInput: the name of a producer is empty or too long."""
    if not name or len(name) > MAX_PRODUCER_CHARS:
        raise InvalidInput("producer", f"{len(name):,} characters; must have 1 to {MAX_PRODUCER_CHARS}")
    return name


def check_job(spec: str, shards: int) -> None:
    """:raises InvalidInput: a job has too many options or shards."""
    if len(spec) > MAX_SPEC_BYTES:
        raise InvalidInput(
            "options", f"{len(spec):,} bytes as JSON, and at most {MAX_SPEC_BYTES:,} are stored; name fewer columns"
        )
    check_shards(shards)


def check_shards(shards: int) -> None:
    """:raises InvalidInput: a job has too many shards."""
    if shards > MAX_SHARDS:
        raise InvalidInput("rows_per_shard", f"makes {shards:,} shards, and a job has at most {MAX_SHARDS:,}")


def check_inline(size: int) -> None:
    """:raises InvalidInput: the rows that are passed in memory have too many bytes."""
    if size > MAX_INLINE_BYTES:
        raise InvalidInput(
            "data",
            f"{size:,} bytes of rows in memory, and at most {MAX_INLINE_BYTES:,} are stored with a job; write them to "
            "a file that the workers can read",
        )
