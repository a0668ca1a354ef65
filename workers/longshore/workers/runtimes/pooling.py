"""Pools the vectors of the tokens of a text into its embedding.

https://sbert.net/docs/package_reference/sentence_transformer/modules.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import gelu, normalize, relu

from longshore.shared.model_formats.huggingface.sentence import SentenceConfig
from longshore.shared.model_formats.huggingface.sentence_modules import ActivationName, DenseConfig, PoolingMode
from longshore.workers.families.weights import fill, read_weights

_ACTIVATIONS: Mapping[ActivationName, Callable[[torch.Tensor], torch.Tensor]] = {
    "Tanh": torch.tanh,
    "Identity": lambda vectors: vectors,
    "ReLU": relu,
    "GELU": gelu,
}
#: The least divisor of a mean, as in the library: without tokens beside those of the prompt, a mean is 0.
_LEAST = 1e-9


class Dense(nn.Module):
    """A layer of sentence-transformers that turns vectors into other ones."""

    def __init__(self, config: DenseConfig) -> None:
        super().__init__()
        self.linear = nn.Linear(config.inputs, config.outputs, bias=config.bias)
        if "residual.weight" in config.shapes:
            self.residual = nn.Linear(config.inputs, config.outputs, bias=False)
        self._config = config

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """``(k, inputs)`` to ``(k, outputs)``."""
        put = _ACTIVATIONS[self._config.activation](self.linear(vectors))
        if not self._config.residual:
            return put
        return put + (self.residual(vectors) if self._config.inputs != self._config.outputs else vectors)


class Normalize(nn.Module):
    """Scales vectors to Euclidean length 1."""

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """``(k, width)``, as it gets them."""
        return normalize(vectors, dim=1)


class SentenceHead(nn.Module):
    """Computes the embeddings of texts from the vectors of their tokens, in float32.

    :param prompt_tokens: how many tokens of every text are those of the prompt, with the special ones before it.
    """

    def __init__(self, sentence: SentenceConfig, prompt_tokens: int) -> None:
        super().__init__()
        self._modes = sentence.pooling.modes
        self._skipped = 0 if sentence.pooling.include_prompt else prompt_tokens
        self._dimensions = sentence.dimensions
        self.layers = nn.Sequential(
            *(Dense(layer) if isinstance(layer, DenseConfig) else Normalize() for layer in sentence.layers)
        )

    def forward(self, vectors: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
        """Compute embeddings, ``(k, width)``.

        :param vectors: the vectors of the tokens, ``(k, longest, width)``.
        :param real: true for tokens, false for padding, ``(k, longest)``; ``None`` if there is no padding.
        """
        counted = real
        if self._skipped:
            counted = torch.ones(vectors.shape[:2], dtype=torch.bool, device=vectors.device) if real is None else real
            counted = counted & (torch.arange(vectors.shape[1], device=vectors.device) >= self._skipped)
        vectors = vectors.float()
        pooled = torch.cat([_pool(vectors, counted, mode) for mode in self._modes], dim=1)
        embeddings: torch.Tensor = self.layers(pooled)
        return embeddings if self._dimensions is None else embeddings[:, : self._dimensions]


def load_sentence_head(sentence: SentenceConfig, files: Mapping[str, Path], prompt_tokens: int) -> SentenceHead:
    """Build the head on the CPU, and fill its layers.

    :param files: local files by their path in the folder.
    :raises CorruptBlob: the weights of a layer cannot be read, or do not fit.
    """
    head = SentenceHead(sentence, prompt_tokens)
    for module, layer in zip(head.layers, sentence.layers, strict=True):
        if isinstance(layer, DenseConfig):
            tensors = read_weights(files[layer.weights]).items()
            fill(
                module, {name: each.float() if each.is_floating_point() else each for name, each in tensors}, layer.name
            )
    return head.eval()


def _pool(vectors: torch.Tensor, counted: torch.Tensor | None, mode: PoolingMode) -> torch.Tensor:
    """One vector for each text, ``(k, width)``.

    :param counted: true for tokens that count, ``(k, longest)``; ``None``: all of them.
    """
    rows = torch.arange(len(vectors), device=vectors.device)
    if mode == "cls":
        return vectors[:, 0] if counted is None else vectors[rows, counted.int().argmax(dim=1)]
    if mode == "max":
        return (vectors if counted is None else vectors.masked_fill(~counted[..., None], float("-inf"))).amax(dim=1)
    if mode == "lasttoken":
        if counted is None:
            return vectors[:, -1]
        last = counted.shape[1] - 1 - counted.int().flip(1).argmax(dim=1)
        # Without tokens that count it is 0, as in the library.
        return vectors[rows, last] * counted.any(dim=1, keepdim=True)
    if mode == "mean" and counted is None:
        return vectors.mean(dim=1)
    weights = torch.ones(vectors.shape[:2], device=vectors.device) if counted is None else counted.float()
    if mode == "weightedmean":
        weights = weights * torch.arange(1, vectors.shape[1] + 1, device=vectors.device)
    total = weights.sum(dim=1, keepdim=True).clamp(min=_LEAST)
    divisor = total.sqrt() if mode == "mean_sqrt_len_tokens" else total
    return (vectors * weights[..., None]).sum(dim=1) / divisor
