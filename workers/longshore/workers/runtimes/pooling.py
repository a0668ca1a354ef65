"""Pools the vectors of the tokens of a text into its embedding.

https://sbert.net/docs/package_reference/sentence_transformer/models.html#pooling
"""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from longshore.shared.model_formats.huggingface.sentence import SentenceConfig


def embed(vectors: torch.Tensor, real: torch.Tensor | None, sentence: SentenceConfig) -> torch.Tensor:
    """Compute embeddings, ``(k, width)``.

    :param vectors: the vectors of the tokens, ``(k, longest, width)``.
    :param real: true for tokens, false for padding, ``(k, longest)``; ``None`` if there is no padding.
    """
    if sentence.pooling == "cls":
        pooled = vectors[:, 0]
    elif sentence.pooling == "max":
        masked = vectors if real is None else vectors.masked_fill(~real[..., None], float("-inf"))
        pooled = masked.amax(dim=1)
    elif real is None:
        pooled = vectors.mean(dim=1)
    else:
        weights = real[..., None].to(vectors.dtype)
        pooled = (vectors * weights).sum(dim=1) / weights.sum(dim=1)
    scaled = normalize(pooled, dim=1) if sentence.normalize else pooled
    return scaled if sentence.dimensions is None else scaled[:, : sentence.dimensions]
