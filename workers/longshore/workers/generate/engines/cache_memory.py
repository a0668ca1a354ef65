"""Host memory for keys and values, which is taken as requests need it."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class ZerosOnDemand(TorchFunctionMode):
    """While it is entered, ``torch.zeros`` of bytes on a CPU does not write them: the system gives pages of zeros when
    they are first used. The cache of transformers is made by it, and most of it may never be used.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Called for every function of torch."""
        kwargs = kwargs or {}
        if func is torch.zeros and kwargs.get("dtype") is torch.uint8 and _is_cpu(kwargs.get("device")):
            [size] = args
            return torch.frombuffer(mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), dtype=torch.uint8)
        return func(*args, **kwargs)


def _is_cpu(device: torch.device | str | None) -> bool:
    return device is not None and torch.device(device).type == "cpu"
