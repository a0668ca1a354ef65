"""The tokens of a job that generates text: how many, and how fast."""

from __future__ import annotations

from dataclasses import dataclass

from longshore.producers.reporting.progress import Progress, rate_text
from longshore.shared.ledger.records import JobRecord


@dataclass(frozen=True)
class TokenUsage:
    """The tokens of all rows that are done."""

    prompt: int
    completion: int
    #: Tokens of prompts that were not computed, because an earlier prompt began with them.
    cached: int

    def __str__(self) -> str:
        cached = f" ({self.cached:,} cached)" if self.cached else ""
        return f"{self.prompt:,} in{cached}, {self.completion:,} out"


def token_usage(record: JobRecord) -> TokenUsage | None:
    """The tokens of a job; ``None`` if it has none yet, or does not generate text."""
    if record.usage is None:
        return None
    return TokenUsage(
        record.usage.get("prompt_tokens", 0),
        record.usage.get("completion_tokens", 0),
        record.usage.get("cached_tokens", 0),
    )


def speed_text(progress: Progress, kind: str) -> str:
    """The speed of a job, such as ``1,234 rows/s`` or ``3.2 rows/s, 512 tokens/s in, 104 out``; empty if unknown."""
    tokens = progress.token_rates
    return ", ".join(text for text in (rate_text(progress.rate, kind), "" if tokens is None else str(tokens)) if text)
