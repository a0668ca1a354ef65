"""Rows of token ids, float32 as all rows are."""

from __future__ import annotations

import torch


def to_ids(rows: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids that can be looked up in a table of ``count``, and which rows hold others.

    An id outside of a table ends a whole CUDA process, so that it must never be looked up.

    :param rows: float32 ``(n, length)``.
    :returns: int64 ``(n, length)``, and bool ``(n, 1)``: the row has an id that is none.
    """
    ids = rows.long()
    wrong = ((rows != ids) | (ids < 0) | (ids >= count)).any(dim=1, keepdim=True)
    return ids.clamp(0, count - 1), wrong


def without(outputs: torch.Tensor, wrong: torch.Tensor) -> torch.Tensor:
    """``outputs`` with NaN in the ``wrong`` rows: inference makes each an error of its row, training ends."""
    return outputs.masked_fill(wrong, float("nan"))
