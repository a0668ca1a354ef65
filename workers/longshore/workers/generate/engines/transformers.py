"""The engine on the library transformers: continuous batching with pages of keys and values, on CPUs and GPUs."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from longshore.shared.errors import InvalidInput
from longshore.workers.generate.engines.adapters import AdapterPool
from longshore.workers.generate.engines.base import BegunText, EngineRequest, EngineStep
from longshore.workers.generate.engines.batching import Batcher
from longshore.workers.generate.engines.cache_size import cache_blocks
from longshore.workers.generate.engines.options import EngineOptions
from longshore.workers.generate.engines.rotary import LongPositions
from longshore.workers.generate.engines.running import RunningText, TextRules
from longshore.workers.generate.engines.sampling import BatchSampler
from longshore.workers.generate.engines.trial import try_engine
from longshore.workers.generate.engines.vocabulary import unknown_token
from longshore.workers.generate.engines.weights import load_decoder, load_tokens
from longshore.workers.generate.version import LanguageModel

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel
    from transformers.generation.continuous_batching.requests import FutureRequestState

#: Tokens whose keys and values lie together, and that requests with equal beginnings share.
PAGE_SIZE = 32
#: Requests and tokens of a step, at most, by the type of the device. On CPUs, twice as many were 7 % faster, and made
#: each step twice as long.
MAX_REQUESTS = {"cpu": 64, "cuda": 256}
MAX_TOKENS = {"cpu": 512, "cuda": 2048}


@dataclass
class _Running:
    """A text, and which pages it uses."""

    text: RunningText
    #: Whether its rotary positions are those of a long text.
    long: bool

    @property
    def pages(self) -> str | None:
        """Requests share pages of keys and values if this is equal; ``None``: with those of the model alone."""
        adapter = "" if self.text.request.adapter is None else self.text.request.adapter.key
        return f"{adapter}/long" if self.long else adapter or None


class TransformersEngine:
    """An :class:`~longshore.workers.generate.engines.base.Engine`.

    :param module: a decoder. It belongs to the engine from now on.
    """

    def __init__(
        self,
        model: LanguageModel,
        module: PreTrainedModel,
        tokenizer: Tokenizer,
        options: EngineOptions,
    ) -> None:
        self.max_model_len = model.max_model_len
        self._vocabulary = int(module.config.get_text_config().vocab_size)
        self._rules = TextRules(tokenizer, self._vocabulary, model.end_tokens)
        self._adapters = AdapterPool(module, options.adapter_bytes)
        self._positions = LongPositions(module)
        kind = module.device.type
        requests = options.max_requests or MAX_REQUESTS.get(kind, MAX_REQUESTS["cpu"])
        page_size = options.page_size or PAGE_SIZE
        self._sampler = BatchSampler()
        self._batcher = Batcher(
            module,
            self._sampler,
            page_size=page_size,
            blocks=cache_blocks(module, model.max_model_len, options, page_size, requests),
            max_tokens=max(MAX_TOKENS.get(kind, MAX_TOKENS["cpu"]), requests),
            max_requests=requests,
            prefix_caching=options.prefix_caching,
        )
        # As many wait as run, so that there is always one to take the place of one that ends.
        self.capacity = 2 * requests
        self.nbytes = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
        self.nbytes += self._batcher.cache.cache_tensor.nbytes
        self._running: dict[str, _Running] = {}
        #: Wait for memory for their adapters.
        self._waiting: deque[RunningText] = deque()
        self._failures: dict[int, str] = {}

    @property
    def unfinished(self) -> int:
        """See :attr:`Engine.unfinished`."""
        return len(self._running) + len(self._waiting) + len(self._failures)

    def add(self, request: EngineRequest) -> None:
        """See :meth:`Engine.add`."""
        text = self._rules.begin(request, request.tokens)
        needed, room = len(request.tokens) + request.sampling.max_tokens, self._batcher.max_request_tokens
        if fault := unknown_token(request.tokens, self._vocabulary):
            self._failures[request.id] = fault
        elif needed > room:
            self._failures[request.id] = (
                f"its prompt of {len(request.tokens)} tokens and max_tokens {request.sampling.max_tokens} need room "
                f"for {needed} tokens, but the cache of the engine has room for {room}; ask for fewer tokens, or give "
                "the worker more memory for the cache"
            )
        elif request.adapter is not None and (self._waiting or not self._adapters.acquire(request.adapter)):
            self._waiting.append(text)
        else:
            self._start(text)

    @torch.inference_mode()
    def step(self) -> EngineStep:
        """See :meth:`Engine.step`."""
        step = EngineStep(failures=self._failures)
        self._failures = {}
        self._start_waiting(step)
        requests = self._batcher.schedule()
        if not requests:
            return step
        batch = [self._running[each.state.request_id] for each in requests]
        step.prompt_tokens = sum(
            each.query_length for each, running in zip(requests, batch, strict=True) if not running.text.started
        )
        self._select_adapters(requests, batch)
        self._positions.select(
            [(running.long, each.query_length) for each, running in zip(requests, batch, strict=True)]
        )
        self._batcher.compute()
        self._positions.select(())
        ended = []
        for each, running in zip(requests, batch, strict=True):
            if not each.has_new_token:
                continue
            key, text = each.state.request_id, running.text
            if self._rules.advance(text, each.state.generated_tokens[-1], step, self._batcher.cached_tokens(key)):
                ended.append(key)
            elif not running.long and self._positions.is_long(text.length):
                running.long = True  # as in transformers, its keys are computed again with the other frequencies
                self._batcher.restart(key, [*text.request.tokens, *text.tokens], running.pages)
        self._end(ended)
        return step

    def texts(self, ids: Collection[int]) -> dict[int, BegunText]:
        """See :meth:`Engine.texts`."""
        running = ((id_, self._running.get(str(id_))) for id_ in ids)
        return {id_: each.text.so_far for id_, each in running if each is not None and each.text.tokens}

    def cancel(self, ids: Collection[int]) -> None:
        """See :meth:`Engine.cancel`."""
        gone = set(ids)
        for each in gone:
            self._failures.pop(each, None)
        self._waiting = deque(each for each in self._waiting if each.request.id not in gone)
        self._end([key for key in map(str, gone) if key in self._running])

    def close(self) -> None:
        """See :meth:`Engine.close`."""
        self._running.clear()
        del self._batcher, self._sampler, self._adapters
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _start(self, text: RunningText) -> None:
        """Begin a request that has its adapter."""
        key = str(text.request.id)
        running = _Running(text, self._positions.is_long(text.length))
        self._running[key] = running
        self._sampler.requests[key] = text.sampler
        self._batcher.add(key, [*text.request.tokens, *text.tokens], running.pages)

    def _start_waiting(self, step: EngineStep) -> None:
        while self._waiting:
            text = self._waiting[0]
            request = text.request
            try:
                if request.adapter is not None and not self._adapters.acquire(request.adapter):
                    return
                self._start(text)
            except InvalidInput as error:
                step.failures[request.id] = str(error)
            self._waiting.popleft()

    def _select_adapters(self, requests: list[FutureRequestState], batch: list[_Running]) -> None:
        """Say which tokens of the batch, and which of those that give logits, are for which adapter."""
        if not any(running.text.request.adapter for running in batch):
            self._adapters.select(())
            return
        adapters = [running.text.request.adapter for running in batch]
        keys = [None if adapter is None else adapter.key for adapter in adapters]
        self._adapters.select(
            [(key, each.query_length) for key, each in zip(keys, requests, strict=True)], self._batcher.logit_positions
        )

    def _end(self, keys: list[str]) -> None:
        for key in keys:
            adapter = self._running.pop(key).text.request.adapter
            if adapter is not None:
                self._adapters.release(adapter.key)
            del self._sampler.requests[key]
        if keys:
            self._batcher.end(keys)


def open_engine(model: LanguageModel, device: torch.device, options: EngineOptions) -> TransformersEngine:
    """See :data:`~longshore.workers.generate.engines.open.Opener`."""
    for name, value in (("quantization", options.quantization), ("tensor_parallel", options.tensor_parallel)):
        if value not in (None, 1):
            raise InvalidInput(name, f"{value}: the engine transformers does not have it; use vllm, or leave it out")
    module = load_decoder(model.folder, device, options.dtype)
    plain = module.config._attn_implementation
    try:
        engine = TransformersEngine(model, module, load_tokens(model.folder), options)
        try_engine(engine, module, plain)
    except (MemoryError, NotImplementedError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise InvalidInput(
            "engine", f"the engine transformers cannot run a {module.config.model_type}: {error}"
        ) from error
    return engine
