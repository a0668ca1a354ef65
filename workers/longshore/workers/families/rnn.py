"""``rnn``: a recurrent network for sequences of numbers or tokens."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from longshore.shared.specs.families import RnnConfig
from longshore.workers.families.base import NetworkFamily
from longshore.workers.families.layers import fully_connected
from longshore.workers.families.token_ids import to_ids, without

_CELLS: dict[str, type[nn.RNN] | type[nn.GRU] | type[nn.LSTM]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


class _Recurrent(nn.Module):
    """Computes ``(n, states)``: the last state of the top layer, or all its states pooled, of all directions."""

    def __init__(self, config: RnnConfig, features: int) -> None:
        super().__init__()
        self.cell = _CELLS[config.cell](
            features,
            config.hidden_size,
            config.num_layers,
            batch_first=True,
            bidirectional=config.bidirectional,
            # Dropout is between layers; PyTorch warns if there is only one layer.
            dropout=config.dropout if config.num_layers > 1 else 0.0,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.directions = 2 if config.bidirectional else 1
        self.pooling = config.pooling

    def forward(self, steps: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        """``(n, steps, features)`` to ``(n, states)``.

        :param lengths: int64 ``(n,)``, at least 1: the steps of each row without padding; ``None`` without padding.
        """
        with _without_bfloat16_lstm(steps.device):
            if lengths is None:
                states, state = self.cell(steps)
            else:
                # Packed, so that the network never processes padding, in either direction.
                packed = pack_padded_sequence(steps, lengths.cpu(), batch_first=True, enforce_sorted=False)
                states, state = self.cell(packed)
        if self.pooling == "last":
            last: torch.Tensor = state[0] if isinstance(state, tuple) else state
            pooled = last[-self.directions :].transpose(0, 1).flatten(1)
        else:
            pooled = self._pooled(states, lengths)
        dropped: torch.Tensor = self.dropout(pooled)
        return dropped

    def _pooled(self, states: torch.Tensor | PackedSequence, lengths: torch.Tensor | None) -> torch.Tensor:
        """Pool ``(n, steps, states)`` to ``(n, states)``, without the padding."""
        nothing = 0.0 if self.pooling == "mean" else float("-inf")
        if isinstance(states, PackedSequence):
            states, _ = pad_packed_sequence(states, batch_first=True, padding_value=nothing)
        if self.pooling == "max":
            return states.amax(dim=1)
        return states.mean(dim=1) if lengths is None else states.sum(dim=1) / lengths[:, None]


def _without_bfloat16_lstm(device: torch.device) -> AbstractContextManager[object]:
    """Compute the cell in float32 on CPUs without AVX-512: oneDNN has no bfloat16 LSTM for them and raises."""
    if device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
        return nullcontext()
    if torch.get_autocast_dtype("cpu") != torch.bfloat16 or torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return nullcontext()
    return torch.autocast("cpu", enabled=False)


class _TokenRnn(nn.Module):
    """Embeds token ids and maps them to ``(n, outputs)``."""

    def __init__(self, config: RnnConfig, vocabulary: int, head: nn.Module) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, config.embedding, padding_idx=0)
        if config.embedding_std != 1:
            with torch.no_grad():
                self.embedding.weight.mul_(config.embedding_std)
        self.dropout = nn.Dropout(config.dropout)
        self.recurrent = _Recurrent(config, config.embedding)
        self.head = head

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Token ids, float32 ``(n, length)``, to ``(n, outputs)``."""
        ids, wrong = to_ids(rows, self.embedding.num_embeddings)
        places = torch.arange(1, ids.shape[1] + 1, device=ids.device)
        # A row with only padding runs as one step of padding.
        lengths = torch.where(ids != 0, places, 1).amax(dim=1)
        state = self.recurrent(self.dropout(self.embedding(ids)), lengths)
        return without(self.head(state), wrong)


def build_rnn(config: RnnConfig, width: int, outputs: int) -> nn.Module:
    """``(n, steps*features)``, read as ``(n, steps, features)``, or token ids ``(n, length)``, to ``(n, outputs)``.

    Token ids are embedded first. Recurrent layers (https://docs.pytorch.org/docs/stable/nn.html#recurrent-layers) are
    followed by fully connected layers on the last state, or on the mean or maximum of all states. LSTM: Hochreiter and
    Schmidhuber, "Long short-term memory", 1997, https://doi.org/10.1162/neco.1997.9.8.1735; GRU: https://arxiv.org/abs/1406.1078.
    Tokens with id 0 at the end of a row are padding and do not affect the outputs. The outputs of a row with an id
    outside the vocabulary are NaN.

    :raises InvalidInput: steps*features is not ``width``, or the configuration does not have exactly one of
        input_shape and vocabulary.
    """
    config.check_width(width)
    states = config.hidden_size * (2 if config.bidirectional else 1)
    head = nn.Sequential(*fully_connected(states, config.hidden, outputs, config.activation, config.dropout))
    if config.vocabulary is not None:
        return _TokenRnn(config, config.vocabulary, head)
    assert config.input_shape is not None
    return nn.Sequential(nn.Unflatten(1, config.input_shape), _Recurrent(config, config.input_shape[1]), head)


RNN = NetworkFamily("rnn", RnnConfig, build_rnn)
