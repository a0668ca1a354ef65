"""The precision of a training: float32, or mixed with a 16-bit type.

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
    """Runs forward and backward passes in a precision.

    :param name: ``auto`` and ``fp32`` use float32 throughout; ``bf16`` and ``fp16`` compute matrix products in that
        type and keep the weights in float32. ``fp16`` scales losses up, so that small gradients are not lost.
    :raises InvalidInput: the device does not support the precision.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        if name == "fp16" and device.type != "cuda":
            raise InvalidInput("precision", f"fp16 is for GPUs, and this worker's device is {device}; use bf16 or fp32")
        self._device = device.type
        self._type = _TYPES.get(name)
        self._scaler = torch.amp.GradScaler(device.type) if name == "fp16" else None

    def context(self) -> AbstractContextManager[object]:
        """The context of the forward pass and the loss."""
        return nullcontext() if self._type is None else torch.autocast(self._device, dtype=self._type)

    def backward(self, loss: torch.Tensor) -> None:
        """Accumulate the gradients of a loss."""
        torch.autograd.backward(loss if self._scaler is None else self._scaler.scale(loss))

    def step(self, optimizer: torch.optim.Optimizer, network: nn.Module, clip: float | None) -> None:
        """Make one optimizer step.

        :param clip: the norm that the gradients are clipped to. https://arxiv.org/abs/1211.5063
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
        """The state of the loss scaling."""
        return None if self._scaler is None else dict(self._scaler.state_dict())

    def load_state_dict(self, state: object) -> None:
        """Restore a state of :meth:`state_dict`."""
        if self._scaler is not None and isinstance(state, dict):
            self._scaler.load_state_dict(state)
