"""Company: which small shards can share a forward pass, and how many of them are taken together.

A shard that is never tried before and has company may be claimed by a message that names another of its company.
"""

from __future__ import annotations

import hashlib
from typing import Final

#: The most rows of a shard that has company: a larger one gains nothing by it.
SMALL_ROWS: Final = 256
#: The most shards that are claimed together.
GROUP_SHARDS: Final = 512
#: The most rows that they have together, unless it is a single shard.
GROUP_ROWS: Final = 1024


def batch_key_of(digest: str, told: str) -> str:
    """What names a company, 32 characters.

    :param digest: of the version.
    :param told: everything of the job's spec but its data, as JSON; what is not said there is the default.
    """
    return hashlib.sha256(f"{digest}\n{told}".encode()).hexdigest()[:32]


def is_full(shards: int, rows: int) -> bool:
    """Whether others of the company may have been left behind for want of room."""
    return shards >= GROUP_SHARDS or rows + SMALL_ROWS > GROUP_ROWS
