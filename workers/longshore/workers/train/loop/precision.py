"""What a training computes in: float32, or mixed with a type of half the size.

https://docs.pytorch.org/docs/stable/amp.html
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn

from longshore.shared.errors import InvalidInput
from longshore.workers.train.checkpoint.state_file import State

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """The context of a forward pass, and what is done with its loss.

    :param name: ``auto`` and ``fp32`` are float32 throughout; ``bf16`` and ``fp16`` compute matrix products so, and
        keep the weights in float32. With ``fp16`` losses are scaled up, so that small gradients are not lost.
    :raises InvalidInput: the device cannot.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        if name == "fp16" and device.type != "cuda":
            raise InvalidInput("precision", f"fp16 is for GPUs, and this worker's device is {device}; use bf16 or fp32")
        self._device = device.type
        self._type = _TYPES.get(name)
        self._scaler = torch.amp.GradScaler(device.type) if name == "fp16" else None

    def context(self) -> AbstractContextManager[object]:
        """For the forward pass and the loss."""
        return nullcontext() if self._type is None else torch.autocast(self._device, dtype=self._type)

    def backward(self, loss: torch.Tensor) -> None:
        """Add up the gradients of a loss."""
        torch.autograd.backward(loss if self._scaler is None else self._scaler.scale(loss))

    def step(self, optimizer: torch.optim.Optimizer, network: nn.Module, clip: float | None) -> None:
        """One step of the optimizer.

        :param clip: the norm that all gradients together are scaled down to. https://arxiv.org/abs/1211.5063
        """
        if self._scaler is not None:
            self._scaler.unscale_(optimizer)
        if clip is not None:
            nn.utils.clip_grad_norm_(network.parameters(), clip)
        if self._scaler is None:
            optimizer.step()
        else:
            self._scaler.step(optimizer)
            self._scaler.update()

    def state_dict(self) -> State:
        """How far losses are scaled."""
        return None if self._scaler is None else dict(self._scaler.state_dict())

    def load_state_dict(self, state: object) -> None:
        """The other way round."""
        if self._scaler is not None and isinstance(state, dict):
            self._scaler.load_state_dict(state)
