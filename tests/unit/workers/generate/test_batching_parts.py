"""The parts of transformers that the engine uses and that are not public: a release that changes one fails here."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
from transformers import ContinuousBatchingConfig
from transformers.generation.continuous_batching.cache import PagedAttentionCache
from transformers.generation.continuous_batching.cache_allocators import (
    CacheAllocator,
    FullAttentionCacheAllocator,
    SlidingAttentionCacheAllocator,
)
from transformers.generation.continuous_batching.cb_logits_processors import ContinuousBatchingLogitsProcessorList
from transformers.generation.continuous_batching.continuous_api import ContinuousBatchProcessor
from transformers.generation.continuous_batching.distributed import DistributedHelper
from transformers.generation.continuous_batching.input_outputs import ContinuousBatchingIOs
from transformers.generation.continuous_batching.model_runner import ModelRunner
from transformers.generation.continuous_batching.requests import FutureRequestState, RequestState
from transformers.generation.continuous_batching.scheduler import FIFOScheduler

#: What the engine calls or replaces, and the arguments that it gives or gets.
USED: tuple[tuple[Callable[..., object], tuple[str, ...]], ...] = (
    (PagedAttentionCache.search_prefix_match, ("request_id", "prompt_ids")),
    (PagedAttentionCache.mark_complete_blocks, ("state", "complete_blocks")),
    (PagedAttentionCache.update, ("key_states", "value_states", "layer_idx", "kwargs")),
    (PagedAttentionCache.can_store_request_tokens, ("state", "request_len", "dry_run")),
    (CacheAllocator.mark_complete_blocks, ("request_id", "token_ids", "new_new_blocks")),
    (FullAttentionCacheAllocator.get_cache_for_block_table, ("layer_idx",)),
    (FullAttentionCacheAllocator.get_seqlen_k, ("past_length", "query_length")),
    (SlidingAttentionCacheAllocator.get_seqlen_k, ("past_length", "query_length")),
    (
        ContinuousBatchingLogitsProcessorList.prepare_tensor_args,
        ("requests_in_batch", "arg_storage"),
    ),
    (ContinuousBatchingLogitsProcessorList.__call__, ("input_ids", "scores", "logits_processor_args")),
    (ContinuousBatchProcessor.prepare_next_batch, ()),
    (ContinuousBatchProcessor._generation_step, ("model",)),
    (ContinuousBatchProcessor.update_batch, ()),
    (ContinuousBatchingIOs.get_model_kwargs, ("use_padding",)),
    (ModelRunner.supports_logits_to_keep, ("model",)),
    (FIFOScheduler.add_waiting_request, ("state",)),
    (FIFOScheduler.set_request_cancellation, ("request_id",)),
    (FIFOScheduler.clear_cancelled_requests, ()),
    (FIFOScheduler.has_pending_requests, ()),
    (FIFOScheduler.__init__, ("cache", "safety_margin", "max_requests_per_batch")),
    (DistributedHelper.__init__, ("device_mesh", "cpu_group_timeout", "tp_plan")),
    (FutureRequestState.__init__, ("state", "has_new_token", "complete_blocks", "query_length")),
)


@pytest.mark.parametrize(("part", "parameters"), USED, ids=[part.__qualname__ for part, _ in USED])
def test_the_engine_knows_the_arguments(part: Callable[..., object], parameters: tuple[str, ...]) -> None:
    names = [name for name in inspect.signature(part).parameters if name != "self"]
    assert tuple(names) == parameters


def test_the_engine_knows_the_settings_and_the_state() -> None:
    assert {
        "page_size",
        "num_blocks",
        "max_batch_tokens",
        "max_requests_per_batch",
        "max_blocks_per_request",
        "max_memory_percent",
        "allow_block_sharing",
        "use_async_batching",
        "use_cuda_graph",
        "auto_switch_to_flash",
        "seed",
    } <= set(inspect.signature(ContinuousBatchingConfig).parameters)
    state = RequestState(request_id="1", initial_tokens=[4, 5], max_new_tokens=None, eos_token_id=None)
    assert state.generated_tokens == []
    assert state.position_offset == 0
