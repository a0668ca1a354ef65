"""Rotary positions with two sets of frequencies: for texts up to some length, and for longer ones.

transformers chooses one set for all tokens that it computes, by the largest position among them. In a batch of many
requests that would depend on the others, and the first part of a long prompt would get the frequencies of a short one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

_Rotary = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


class LongPositions:
    """Gives each request of a batch the frequencies for its length.

    :param module: a decoder. Its rotary positions are replaced, if they have two sets of frequencies.
    """

    def __init__(self, module: nn.Module) -> None:
        #: Tokens of a text up to which it has the first set; ``None``: there is one set.
        self.short: int | None = None
        #: Which tokens of the batch are of longer texts; ``None``: transformers chooses.
        self._long: torch.Tensor | None = None
        for part in module.modules():
            if getattr(part, "rope_type", None) == "longrope":
                self.short = int(part.config.rope_parameters["original_max_position_embeddings"])  # type: ignore[union-attr, index]
                part.forward = self._by_length(part.forward, self.short)

    def is_long(self, tokens: int) -> bool:
        """Whether a text of so many tokens has the second set."""
        return self.short is not None and tokens > self.short

    def select(self, spans: Sequence[tuple[bool, int]]) -> None:
        """Say which tokens of the next batch are of long texts.

        :param spans: for each request, in order, whether its text is long, and how many tokens it has in the batch.
            None: transformers chooses again.
        """
        if self.short is not None:
            self._long = torch.tensor([long for long, count in spans for _ in range(count)]) if spans else None

    def _by_length(self, plain: _Rotary, short: int) -> _Rotary:
        def forward(like: torch.Tensor, position_ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            if self._long is None:
                return plain(like, position_ids)
            long = self._long.to(position_ids.device)
            # A position behind the short ones, which is dropped again, makes transformers choose the second set.
            behind = position_ids.new_full((1, 1), short)
            second = plain(like, torch.cat([position_ids, behind], dim=1))
            first = plain(like, position_ids.clamp(max=short - 1))
            cos, sin = (torch.where(long[None, :, None], b[:, :-1], a) for a, b in zip(first, second, strict=True))
            return cos, sin

        return forward
