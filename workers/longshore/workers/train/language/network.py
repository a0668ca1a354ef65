"""The network of a language model for the training loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

#: How far the outputs of texts in one block may be from those of the texts alone, against their spread.
_TOLERANCES = {torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.02}


class CausalNetwork(nn.Module):
    """A model of transformers, from blocks to logits: int64 ``(n, 2, width)`` to ``(n, width, vocabulary)``.

    Its state is what the training changes: checkpoints of an adapter do not have the weights of its base.

    :param packing: whether a block has several texts, each with positions from 0. No text then attends to another one,
        which transformers sees from the positions.
    """

    def __init__(self, model: nn.Module, *, packing: bool) -> None:
        super().__init__()
        self.model = model
        self.packing = packing

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The logits of the token after each position."""
        positions = {"position_ids": inputs[:, 1]} if self.packing else {}
        logits: torch.Tensor = self.model(input_ids=inputs[:, 0], use_cache=False, **positions).logits
        return logits

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """The parameters that are trained."""
        trained = {name for name, each in self.named_parameters(remove_duplicate=False) if each.requires_grad}
        whole: dict[str, Any] = super().state_dict(*args, **kwargs)
        return {name: tensor for name, tensor in whole.items() if name in trained}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load a state of :meth:`state_dict`.

        :raises RuntimeError: it is that of another network.
        """
        if strict and state_dict.keys() != self.state_dict().keys():
            raise RuntimeError("the state is that of another network")
        return super().load_state_dict(state_dict, strict=False, assign=assign)


@torch.no_grad()
def keeps_texts_apart(network: CausalNetwork, vocabulary: int) -> bool:
    """Compare two texts in one block with each of them alone: some architectures let one attend to the other one."""
    draw = torch.Generator().manual_seed(0)
    texts = [torch.randint(vocabulary, (length,), generator=draw) for length in (7, 5)]
    parameter = next(network.parameters())
    network.eval()

    def logits(parts: list[torch.Tensor]) -> torch.Tensor:
        positions = torch.cat([torch.arange(len(part)) for part in parts])
        inputs = torch.stack([torch.cat(parts), positions])[None].to(parameter.device)
        outputs: torch.Tensor = network(inputs)
        return outputs[0].float()

    together, alone = logits(texts), torch.cat([logits([text]) for text in texts])
    difference = float((together - alone).abs().max() / alone.std().clamp_min(1e-12))
    return difference <= _TOLERANCES.get(parameter.dtype, 0.1)
