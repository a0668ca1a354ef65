"""How the next tokens of a batch are chosen."""

from __future__ import annotations

from transformers import LogitsProcessorList
from transformers.generation.continuous_batching.cb_logits_processors import ContinuousBatchingLogitsProcessorList


class Sampler(ContinuousBatchingLogitsProcessorList):
    """Chooses tokens."""

    def __init__(self) -> None:
        super().__init__(LogitsProcessorList())
