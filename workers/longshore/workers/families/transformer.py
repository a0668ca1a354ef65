"""``transformer``: an encoder for sequences of numbers or tokens."""

from __future__ import annotations

import torch
from torch import nn

from longshore.shared.specs.families import TransformerConfig
from longshore.workers.families.base import NetworkFamily
from longshore.workers.families.token_ids import to_ids, without

#: Standard deviation of newly initialised embeddings, as in BERT.
_SPREAD = 0.02


class _Encoder(nn.Module):
    """Maps the vectors of steps, ``(n, length, d_model)``, to ``(n, outputs)``."""

    def __init__(self, config: TransformerConfig, length: int, outputs: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.randn(length, config.d_model) * _SPREAD)
        self.dropout = nn.Dropout(config.dropout)
        layer = nn.TransformerEncoderLayer(
            config.d_model,
            config.nhead,
            config.dim_feedforward,
            config.dropout,
            config.activation,
            batch_first=True,
            norm_first=True,
        )
        norm = nn.LayerNorm(config.d_model)
        self.layers = nn.TransformerEncoder(layer, config.num_layers, norm, enable_nested_tensor=False)
        # The layers are copies with the same weights; initialise each one separately.
        for parameter in self.layers.layers.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        self.head = nn.Linear(config.d_model, outputs)

    def forward(self, steps: torch.Tensor, padding: torch.Tensor | None = None) -> torch.Tensor:
        """:param padding: bool ``(n, length)``: which steps are padding; ``None`` if there is no padding."""
        # Trimmed padding has no positions.
        vectors = self.layers(self.dropout(steps + self.positions[: steps.shape[1]]), src_key_padding_mask=padding)
        if padding is None:
            pooled = vectors.mean(dim=1)
        else:
            real = (~padding).unsqueeze(2)
            pooled = vectors.masked_fill(~real, 0).sum(dim=1) / real.sum(dim=1)
        outputs: torch.Tensor = self.head(pooled)
        return outputs


class _TokenTransformer(nn.Module):
    """Maps rows of token ids, or of ids, mask and token types, to ``(n, outputs)``."""

    def __init__(self, config: TransformerConfig, vocabulary: int, length: int, outputs: int) -> None:
        super().__init__()
        self.length = length
        self.embedding = nn.Embedding(vocabulary, config.d_model)
        nn.init.normal_(self.embedding.weight, std=_SPREAD)
        self.types = nn.Embedding(config.token_types, config.d_model) if config.token_types else None
        if self.types is not None:
            nn.init.normal_(self.types.weight, std=_SPREAD)
        self.encoder = _Encoder(config, length, outputs)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """float32 ``(n, length)``, or ``(n, 3*length)``, to ``(n, outputs)``."""
        ids, wrong = to_ids(rows[:, : self.length], self.embedding.num_embeddings)
        steps = self.embedding(ids)
        padding = ids == 0
        if self.types is not None:
            padding = rows[:, self.length : 2 * self.length] == 0
            types, wrong_types = to_ids(rows[:, 2 * self.length :], self.types.num_embeddings)
            steps, wrong = steps + self.types(types), wrong | wrong_types
        # Attention over nothing is NaN, so a row with only padding runs as one step of padding.
        empty = padding.all(dim=1, keepdim=True)
        padding = torch.cat([padding[:, :1] & ~empty, padding[:, 1:]], dim=1)
        return without(self.encoder(steps, padding), wrong)


def build_transformer(config: TransformerConfig, width: int, outputs: int) -> nn.Module:
    """Sequences to ``(n, outputs)``.

    A row is ``(steps*features)`` numbers, and each step is projected to d_model; or ``(length)`` token ids with 0 as
    padding; or, with token_types, ``(3*length)``: input_ids, attention_mask (1: a token, 0: padding) and
    token_type_ids, one after the other. Positions are learned. Vaswani et al., "Attention is all you need", 2017,
    https://arxiv.org/abs/1706.03762, as encoder (Devlin et al., "BERT", 2018, https://arxiv.org/abs/1810.04805) with
    the norms before each part (https://arxiv.org/abs/2002.04745). Padding does not affect the outputs. The outputs
    of a row with an id outside the vocabulary or a type outside the token types are NaN.

    :raises InvalidInput: the rows do not have ``width``, nhead does not divide d_model, or the configuration does not
        have exactly one of input_shape and vocabulary.
    """
    config.check_width(width)
    length = config.length(width)
    if config.vocabulary is not None:
        return _TokenTransformer(config, config.vocabulary, length, outputs)
    assert config.input_shape is not None
    projection = nn.Linear(config.input_shape[1], config.d_model)
    return nn.Sequential(nn.Unflatten(1, config.input_shape), projection, _Encoder(config, length, outputs))


TRANSFORMER = NetworkFamily("transformer", TransformerConfig, build_transformer)
