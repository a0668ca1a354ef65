"""Converts rows of token ids, which are float32 like all rows."""

from __future__ import annotations

import torch


def to_ids(rows: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Convert to ids that are safe to look up in a table of ``count`` entries, and mark rows with other ids.

    Looking up an id outside the table breaks the whole CUDA process.

    :param rows: float32 ``(n, length)``.
    :returns: int64 ``(n, length)``, and bool ``(n, 1)``: whether the row has an invalid id.
    """
    ids = rows.long()
    wrong = ((rows != ids) | (ids < 0) | (ids >= count)).any(dim=1, keepdim=True)
    return ids.clamp(0, count - 1), wrong


def without(outputs: torch.Tensor, wrong: torch.Tensor) -> torch.Tensor:
    """``outputs`` with NaN in the ``wrong`` rows: inference reports an error for each of them, and training fails."""
    return outputs.masked_fill(wrong, float("nan"))
