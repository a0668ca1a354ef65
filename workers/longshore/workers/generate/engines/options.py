"""How a worker opens an engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

#: What an engine computes in. ``auto``: float32 on a CPU, the type of the weights on a GPU.
EngineDtype: TypeAlias = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """What a worker chooses. Greedy results depend on none of it but ``dtype`` and ``quantization``."""

    dtype: EngineDtype = "auto"
    #: Bytes for keys and values. ``None``: by ``memory_share`` on a GPU, and up to 1 GiB on a CPU.
    cache_bytes: int | None = None
    #: The part of the device's memory that weights and cache may take together, above 0 and at most 1. GPUs only.
    memory_share: float = 0.85
    #: Whether requests with equal beginnings share keys and values.
    prefix_caching: bool = True
    #: Tokens whose keys and values lie together. Equal beginnings are shared in steps of so many. ``None``: chosen by
    #: the engine.
    page_size: int | None = None
    #: Requests that one step computes, at most. ``None``: chosen by the engine.
    max_requests: int | None = None
    #: Bytes for LoRA adapters. Those that no request uses are dropped when there is no more room.
    adapter_bytes: int = 1 << 30
    #: Devices that share the weights.
    tensor_parallel: int = 1
    #: GPUs that the worker has.
    devices: int = 1
    #: How the engine quantizes the weights, by its own name for it. ``None``: as they are.
    quantization: str | None = None

    @classmethod
    def of_worker(
        cls, cache_bytes: int | None, memory_share: float | None, max_requests: int | None, devices: int = 1
    ) -> EngineOptions:
        """What the settings of a worker say; ``None`` where they say nothing."""
        options = cls(cache_bytes=cache_bytes, max_requests=max_requests, devices=devices)
        return options if memory_share is None else replace(options, memory_share=memory_share)


DEFAULT_OPTIONS: Final = EngineOptions()
