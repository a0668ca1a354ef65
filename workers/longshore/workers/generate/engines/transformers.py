"""The engine on the library transformers: continuous batching with pages of keys and values, on CPUs and GPUs."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from longshore.shared.errors import InvalidInput
from longshore.workers.generate.engines.adapters import AdapterPool
from longshore.workers.generate.engines.base import (
    Completion,
    EngineFinish,
    EngineRequest,
    EngineStep,
    TokenLogprob,
)
from longshore.workers.generate.engines.batching import Batcher
from longshore.workers.generate.engines.cache_size import cache_blocks
from longshore.workers.generate.engines.options import EngineOptions
from longshore.workers.generate.engines.rotary import LongPositions
from longshore.workers.generate.engines.sampling import BatchSampler, RequestSampler
from longshore.workers.generate.engines.stop_texts import StopTexts
from longshore.workers.generate.engines.trial import try_engine
from longshore.workers.generate.engines.vocabulary import unknown_token
from longshore.workers.generate.engines.weights import load_decoder, load_tokens
from longshore.workers.generate.version import LanguageModel

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel
    from transformers.generation.continuous_batching.requests import FutureRequestState

    from longshore.workers.generate.constraints import ConstraintCompiler

#: Tokens whose keys and values lie together, and that requests with equal beginnings share.
PAGE_SIZE = 32
#: Requests and tokens of a step, at most, by the type of the device. On CPUs, twice as many were 7 % faster, and made
#: each step twice as long.
MAX_REQUESTS = {"cpu": 64, "cuda": 256}
MAX_TOKENS = {"cpu": 512, "cuda": 2048}


@dataclass
class _Running:
    """A request, and what it has so far."""

    request: EngineRequest
    sampler: RequestSampler
    stop: StopTexts | None
    #: Whether its rotary positions are those of a long text.
    long: bool
    tokens: list[int] = field(default_factory=list)
    logprobs: list[TokenLogprob] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Tokens of prompt and text."""
        return len(self.request.tokens) + len(self.tokens)

    @property
    def pages(self) -> str | None:
        """Requests share pages of keys and values if this is equal; ``None``: with those of the model alone."""
        adapter = "" if self.request.adapter is None else self.request.adapter.key
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
        # A tokenizer can have tokens that the network does not.
        self._ends = frozenset(token for token in model.end_tokens if token < self._vocabulary)
        self._tokenizer = tokenizer
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
        self._waiting: deque[tuple[EngineRequest, RequestSampler]] = deque()
        self._compiler: ConstraintCompiler | None = None
        self._failures: dict[int, str] = {}

    @property
    def unfinished(self) -> int:
        """See :attr:`Engine.unfinished`."""
        return len(self._running) + len(self._waiting) + len(self._failures)

    def add(self, request: EngineRequest) -> None:
        """See :meth:`Engine.add`."""
        sampler = self._make_sampler(request)
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
            self._waiting.append((request, sampler))
        else:
            self._start(request, sampler)

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
            each.query_length for each, running in zip(requests, batch, strict=True) if not running.tokens
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
            if self._advance(running, each.state.generated_tokens[-1], step):
                ended.append(each.state.request_id)
            elif not running.long and self._positions.is_long(running.length):
                running.long = True  # as in transformers, its keys are computed again with the other frequencies
                tokens = [*running.request.tokens, *running.tokens]
                self._batcher.restart(each.state.request_id, tokens, running.pages)
        self._end(ended)
        return step

    def cancel(self, ids: Collection[int]) -> None:
        """See :meth:`Engine.cancel`."""
        gone = set(ids)
        for each in gone:
            self._failures.pop(each, None)
        self._waiting = deque(each for each in self._waiting if each[0].id not in gone)
        self._end([key for key in map(str, gone) if key in self._running])

    def close(self) -> None:
        """See :meth:`Engine.close`."""
        self._running.clear()
        del self._batcher, self._sampler, self._adapters
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _make_sampler(self, request: EngineRequest) -> RequestSampler:
        """:raises InvalidInput: the constraint cannot be compiled."""
        ends, constraint = sorted(self._ends), request.sampling.constraint
        if constraint is None:
            return RequestSampler(request.sampling, request.tokens, ends)
        from longshore.workers.generate.constraints import ConstraintCompiler

        if self._compiler is None:
            self._compiler = ConstraintCompiler(self._tokenizer, self._vocabulary, ends)
        matcher = self._compiler.matcher(constraint)
        return RequestSampler(request.sampling, request.tokens, ends, matcher, self._compiler.mask_length)

    def _start(self, request: EngineRequest, sampler: RequestSampler) -> None:
        """Begin a request that has its adapter."""
        key = str(request.id)
        stop = StopTexts(self._tokenizer, request.sampling) if request.sampling.stop else None
        running = _Running(request, sampler, stop, self._positions.is_long(len(request.tokens)))
        self._running[key] = running
        self._sampler.requests[key] = sampler
        self._batcher.add(key, request.tokens, running.pages)

    def _start_waiting(self, step: EngineStep) -> None:
        while self._waiting:
            request, sampler = self._waiting[0]
            try:
                if request.adapter is not None and not self._adapters.acquire(request.adapter):
                    return
                self._start(request, sampler)
            except InvalidInput as error:
                step.failures[request.id] = str(error)
            self._waiting.popleft()

    def _select_adapters(self, requests: list[FutureRequestState], batch: list[_Running]) -> None:
        """Say which tokens of the batch, and which of those that give logits, are for which adapter."""
        if not any(running.request.adapter for running in batch):
            self._adapters.select(())
            return
        keys = [None if running.request.adapter is None else running.request.adapter.key for running in batch]
        self._adapters.select(
            [(key, each.query_length) for key, each in zip(keys, requests, strict=True)], self._batcher.logit_positions
        )

    def _advance(self, running: _Running, token: int, step: EngineStep) -> bool:
        """Give a request its next token. Returns whether it has ended."""
        request, sampling = running.request, running.request.sampling
        if running.sampler.failure is not None:
            step.failures[request.id] = running.sampler.failure
            return True
        step.generated_tokens += 1
        text: str | None = None
        finish: EngineFinish | None = None
        if token in self._ends:
            finish = "stop"
        else:
            running.tokens.append(token)
            if running.sampler.logprob is not None:
                running.logprobs.append(running.sampler.logprob)
            if running.stop is not None and len(running.tokens) > sampling.min_tokens:
                text = running.stop.cut(running.tokens)
            if text is not None:
                finish = "stop"
            elif len(running.tokens) >= sampling.max_tokens:
                finish = "length"
        if finish is None:
            return False
        step.completions.append(self._complete(running, finish, text))
        return True

    def _complete(self, running: _Running, finish: EngineFinish, text: str | None) -> Completion:
        if text is None:
            text = self._tokenizer.decode(running.tokens, skip_special_tokens=True)
        request = running.request
        return Completion(
            id=request.id,
            tokens=tuple(running.tokens),
            text=text,
            finish=finish,
            cached_tokens=self._batcher.cached_tokens(str(request.id)),
            logprobs=None if request.sampling.logprobs is None else tuple(running.logprobs),
        )

    def _end(self, keys: list[str]) -> None:
        for key in keys:
            adapter = self._running.pop(key).request.adapter
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
