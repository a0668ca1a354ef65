"""When a delivery is tried again."""

from __future__ import annotations

import random
from typing import Final

_MINUTE: Final = 60.0
_HOUR: Final = 60 * _MINUTE
#: Seconds after each try that failed; together 75 hours and 35 minutes. After the tenth try a delivery has failed.
PAUSES_S: Final = (
    *(5.0, 5 * _MINUTE, 30 * _MINUTE),
    *(2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR),
)
MAX_TRIES: Final = len(PAUSES_S) + 1
#: By which fraction a pause is shorter or longer, so that what has failed together does not come again together.
JITTER: Final = 0.1


def pause_after(attempt: int) -> float | None:
    """Seconds to the next try after so many have failed; ``None`` if there is no other."""
    return None if attempt >= MAX_TRIES else PAUSES_S[attempt - 1] * random.uniform(1 - JITTER, 1 + JITTER)
