"""Rows of a job that generates text: from the columns of the input to requests, and from completions to outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longshore.workers.generate.engines.base import Sampling


@dataclass(frozen=True, kw_only=True)
class PreparedRow:
    """A row that an engine can run: ``len(samplings)`` requests with the same prompt."""

    tokens: Sequence[int]
    #: One for each text that the row asks for, ``n`` of them. They differ in their seeds.
    samplings: tuple[Sampling, ...]
    #: What the text begins with, because the prompt ends with it.
    prefix: str = ""
