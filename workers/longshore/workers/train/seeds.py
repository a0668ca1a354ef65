"""Seeds made of a job's seed and of what is drawn with them, so that nothing must be remembered between two draws."""

from __future__ import annotations

import hashlib


def derive_seed(what: str, *numbers: int) -> int:
    """A seed of 63 bits.

    :param what: keeps draws for different ends apart.
    :param numbers: the job's seed first, then where in the run it is: the epoch, the step.
    """
    digest = hashlib.blake2b(f"{what} {' '.join(map(str, numbers))}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1
