"""Continuous batching of transformers, driven step by step by its caller.

transformers runs it in a thread of its own, with queues. Here the thread of the engine calls its parts in the same
order: schedule, forward, update. The parts are not public; a test states which of them are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from transformers import ContinuousBatchingConfig, GenerationConfig
from transformers.generation.continuous_batching.cb_logits_processors import ContinuousBatchingLogitsProcessorList
from transformers.generation.continuous_batching.continuous_api import (
    BackgroundThreadStatus,
    ContinuousBatchProcessor,
    OutputRouter,
)
from transformers.generation.continuous_batching.distributed import DistributedHelper
from transformers.generation.continuous_batching.input_outputs import ContinuousBatchingIOs
from transformers.generation.continuous_batching.requests import FutureRequestState, RequestState
from transformers.generation.continuous_batching.scheduler import FIFOScheduler

from longshore.workers.generate.engines.attention.paged_attention import (
    ATTENTION,
    AttentionPlan,
    PageSpan,
    PlannedCache,
)
from longshore.workers.generate.engines.cache_memory import ZerosOnDemand

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: The part of the cache that must be free for a prompt to start, so that running requests have room to grow.
_SAFETY_MARGIN = 0.05


class Batcher:
    """Computes one token of each request that has room, at each step.

    :param module: the model. Its attention is replaced.
    :param sampler: called with the logits of the next tokens; the most probable of what it returns are chosen.
    :param blocks: pages of keys and values, ``page_size`` tokens each.
    :param max_tokens: tokens of a step.
    :param max_requests: requests of a step.
    """

    def __init__(
        self,
        module: PreTrainedModel,
        sampler: ContinuousBatchingLogitsProcessorList,
        *,
        page_size: int,
        blocks: int,
        max_tokens: int,
        max_requests: int,
        prefix_caching: bool,
    ) -> None:
        module.set_attn_implementation(ATTENTION)
        self._module = module
        text = module.config.get_text_config()
        config = ContinuousBatchingConfig(
            page_size=page_size,
            num_blocks=blocks,
            max_batch_tokens=max_tokens,
            max_requests_per_batch=max_requests,
            max_blocks_per_request=0,
            max_memory_percent=1.0,
            allow_block_sharing=prefix_caching,
            use_async_batching=False,
            use_cuda_graph=(False, False),
            auto_switch_to_flash=False,
            seed=0,
        )
        alone = DistributedHelper(device_mesh=None, cpu_group_timeout=None)
        self.cache = _open_cache(module, config, alone)
        self.cache.open(text.vocab_size)
        self._scheduler = FIFOScheduler(self.cache, _SAFETY_MARGIN, max_requests)
        self._processor = ContinuousBatchProcessor(
            cache=self.cache,
            config=text,
            generation_config=GenerationConfig(do_sample=False),  # type: ignore[no-untyped-call]
            continuous_batching_config=config,
            logit_processor=sampler,
            input_queue=None,
            cancel_queue=None,
            output_router=OutputRouter(),
            background_thread_status=BackgroundThreadStatus(),
            model_device=module.device,
            model_dtype=module.dtype,
            scheduler=self._scheduler,
            distributed_helper=alone,
        )
        if not isinstance(self._processor.inputs_and_outputs, ContinuousBatchingIOs):
            raise TypeError("batches are computed one after the other")
        self._inputs = self._processor.inputs_and_outputs
        self.max_request_tokens = self._count_storable()

    @property
    def logit_positions(self) -> list[int] | None:
        """For which tokens of the scheduled batch the network computes logits; ``None``: for all."""
        if not self._processor.model_runner.supports_logits_to_keep(self._module):
            return None
        positions: list[int] = self._inputs.get_model_kwargs()["logits_indices"].tolist()
        return positions

    def add(self, key: str, tokens: Sequence[int], adapter: str | None = None) -> None:
        """Take a request. It runs until :meth:`end`.

        :param adapter: the key of its adapter; ``None``: the model alone.
        """
        self.cache.register(key, adapter)
        self._scheduler.add_waiting_request(
            RequestState(request_id=key, initial_tokens=list(tokens), max_new_tokens=None, eos_token_id=None)
        )

    def end(self, keys: Sequence[str]) -> None:
        """Free the room of requests, whether they run or wait."""
        for key in keys:
            self._scheduler.set_request_cancellation(key)
        self._scheduler.clear_cancelled_requests()
        self._scheduler.block_new_requests = False
        for key in keys:
            self.cache.forget(key)

    def restart(self, key: str, tokens: Sequence[int], adapter: str | None) -> None:
        """Compute a running request again from its beginning.

        :param tokens: its prompt, and what it has of its text.
        """
        cached = self.cached_tokens(key)
        self.end([key])
        self.add(key, tokens, adapter)
        self.cache.matched[key] = cached

    def schedule(self) -> list[FutureRequestState]:
        """Choose the requests of the next step, in the order in which their tokens lie in the batch.

        :raises RuntimeError: there are requests, and none of them can run.
        """
        if not self._processor.prepare_next_batch():
            if self._scheduler.has_pending_requests():
                raise RuntimeError("no request fits into the cache")
            return []
        requests = self._inputs.requests_in_batch
        self.cache.plans = {kind: self._plan(requests, kind) for kind in self.cache.cache_allocators}
        return requests

    def compute(self) -> None:
        """Run the network over the scheduled requests, and give each its next token, if its prompt is done."""
        self._processor._generation_step(self._module)
        self._processor.update_batch()

    def cached_tokens(self, key: str) -> int:
        """Tokens of the prompt of a request that were in the cache when it started."""
        return self.cache.matched.get(key, 0)

    def _plan(self, requests: list[FutureRequestState], kind: str) -> AttentionPlan:
        allocator = self.cache.cache_allocators[kind]
        spans, query_start, key_start = [], 0, 0
        for request in requests:
            length = request.query_length
            keys = allocator.get_seqlen_k(request.state.position_offset - length, length)
            # The page of the new token is not complete, so it is shared with nobody.
            pages = allocator.block_table[request.state.request_id][: (keys - 1) // allocator.tokens_per_page]
            spans.append(PageSpan(query_start, length, key_start, keys, pages))
            query_start, key_start = query_start + length, key_start + keys
        window: int | None = getattr(allocator, "sliding_window", None)
        count = self._inputs.true_read_sizes[allocator.index]
        # A window is a ring that new keys overwrite, so its keys are copied before they are written.
        places = self._inputs.read_index_storage[allocator.index, :count] if count and window is None else None
        return AttentionPlan(spans, window, places, self._module.device, allocator.tokens_per_page)

    def _count_storable(self) -> int:
        """Tokens of a request that has the cache for itself, at most."""
        state = RequestState(request_id="", initial_tokens=[])
        low, high = 0, self.cache.max_tokens_read
        while low < high:
            middle = (low + high + 1) // 2
            if self.cache.can_store_request_tokens(state, middle, dry_run=True):
                low = middle
            else:
                high = middle - 1
        return low


def _open_cache(
    module: PreTrainedModel, config: ContinuousBatchingConfig, distributed: DistributedHelper
) -> PlannedCache:
    """A cache of ``config.num_blocks`` pages, or of fewer if transformers estimates that they do not fit.

    :raises MemoryError: there is room for no page.
    """
    while True:
        try:
            with ZerosOnDemand():
                return PlannedCache(
                    config=module.config.get_text_config(),
                    continuous_batching_config=config,
                    device=module.device,
                    distributed_helper=distributed,
                    dtype=module.dtype,
                    model_supports_logits_to_keep=True,
                )
        except MemoryError:  # before memory was taken
            if not config.num_blocks or config.num_blocks < 2:
                raise
            config.num_blocks = config.num_blocks * 3 // 4
