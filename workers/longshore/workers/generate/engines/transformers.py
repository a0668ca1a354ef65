"""The engine on the library transformers: continuous batching with pages of keys and values, on CPUs and GPUs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from transformers.generation.continuous_batching.utils import find_head_dim, find_num_key_value_heads

from longshore.workers.generate.engines.base import Completion, EngineFinish, EngineRequest, Step
from longshore.workers.generate.engines.batching import Batcher
from longshore.workers.generate.engines.sampling import Sampler
from longshore.workers.generate.engines.settings import EngineSettings
from longshore.workers.generate.engines.stop_texts import StopTexts
from longshore.workers.generate.engines.weights import load_decoder, load_tokens
from longshore.workers.generate.version import LanguageModel

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

#: Tokens whose keys and values lie together, and that requests with equal beginnings share.
PAGE_SIZE = 32
#: Requests and tokens of a step on a CPU, at most.
MAX_REQUESTS = 64
MAX_TOKENS = 512
#: Bytes of keys and values on a CPU, at most.
CPU_CACHE_BYTES = 1 << 30


@dataclass
class _Running:
    """A request, and what it has so far."""

    request: EngineRequest
    stop: StopTexts | None
    tokens: list[int] = field(default_factory=list)
    cached_tokens: int = 0


class TransformersEngine:
    """An :class:`~longshore.workers.generate.engines.base.Engine`.

    :param module: a decoder. It belongs to the engine from now on.
    """

    def __init__(
        self, model: LanguageModel, module: PreTrainedModel, tokenizer: Tokenizer, settings: EngineSettings
    ) -> None:
        self.max_model_len = model.max_model_len
        self._ends = frozenset(model.end_tokens)
        self._tokenizer = tokenizer
        requests = settings.max_requests or MAX_REQUESTS
        self._sampler = Sampler()
        self._batcher = Batcher(
            module,
            self._sampler,
            page_size=PAGE_SIZE,
            blocks=_blocks(model, module, settings, requests),
            max_tokens=max(MAX_TOKENS, requests),
            max_requests=requests,
            prefix_caching=settings.prefix_caching,
        )
        self.capacity = 2 * requests
        self.nbytes = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
        self.nbytes += self._batcher.cache.cache_tensor.nbytes
        self._running: dict[str, _Running] = {}
        self._failures: dict[int, str] = {}

    @property
    def unfinished(self) -> int:
        """See :attr:`Engine.unfinished`."""
        return len(self._running) + len(self._failures)

    def add(self, request: EngineRequest) -> None:
        """See :meth:`Engine.add`."""
        needed, room = len(request.tokens) + request.sampling.max_tokens, self._batcher.max_request_tokens
        if needed > room:
            self._failures[request.id] = (
                f"its prompt of {len(request.tokens)} tokens and max_tokens {request.sampling.max_tokens} need room "
                f"for {needed} tokens, but the cache of the engine has room for {room}; ask for fewer tokens, or give "
                "the worker more memory for the cache"
            )
            return
        key = str(request.id)
        stop = StopTexts(self._tokenizer, request.sampling) if request.sampling.stop else None
        self._running[key] = _Running(request, stop)
        self._batcher.add(key, request.tokens)

    @torch.inference_mode()
    def step(self) -> Step:
        """See :meth:`Engine.step`."""
        step = Step(failures=self._failures)
        self._failures = {}
        requests = self._batcher.schedule()
        if not requests:
            return step
        for each in requests:
            if not self._running[each.state.request_id].tokens:
                step.prompt_tokens += each.query_length
        self._batcher.compute()
        ended = []
        for each in requests:
            if not each.has_new_token:
                continue
            key = each.state.request_id
            running = self._running[key]
            step.generated_tokens += 1
            completion = self._take(running, each.state.generated_tokens[-1])
            if completion is not None:
                step.completions.append(completion)
                ended.append(key)
        self._end(ended)
        return step

    def cancel(self, ids: Collection[int]) -> None:
        """See :meth:`Engine.cancel`."""
        for each in ids:
            self._failures.pop(each, None)
        self._end([key for key in map(str, ids) if key in self._running])

    def close(self) -> None:
        """See :meth:`Engine.close`."""
        self._running.clear()
        del self._batcher, self._sampler
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _take(self, running: _Running, token: int) -> Completion | None:
        """Add a token to a text. Returns the text if it has ended."""
        sampling = running.request.sampling
        if token in self._ends and len(running.tokens) >= sampling.min_tokens:
            return self._complete(running, "stop", None)
        running.tokens.append(token)
        if running.stop is not None and len(running.tokens) > sampling.min_tokens:
            text = running.stop.cut(running.tokens)
            if text is not None:
                return self._complete(running, "stop", text)
        if len(running.tokens) >= sampling.max_tokens:
            return self._complete(running, "length", None)
        return None

    def _complete(self, running: _Running, finish: EngineFinish, text: str | None) -> Completion:
        if text is None:
            text = self._tokenizer.decode(running.tokens, skip_special_tokens=True)
        return Completion(
            id=running.request.id,
            tokens=tuple(running.tokens),
            text=text,
            finish=finish,
            cached_tokens=running.cached_tokens,
        )

    def _end(self, keys: list[str]) -> None:
        for key in keys:
            del self._running[key]
        if keys:
            self._batcher.end(keys)


def open_engine(model: LanguageModel, device: torch.device, settings: EngineSettings) -> TransformersEngine:
    """See :data:`~longshore.workers.generate.engines.open.Opener`."""
    module = load_decoder(model.folder, device, settings.dtype)
    return TransformersEngine(model, module, load_tokens(model.folder), settings)


def _blocks(model: LanguageModel, module: PreTrainedModel, settings: EngineSettings, requests: int) -> int:
    """Pages of keys and values that the cache has."""
    config = module.config.get_text_config()
    token = 2 * find_num_key_value_heads(config) * find_head_dim(config) * config.num_hidden_layers
    page = PAGE_SIZE * token * module.dtype.itemsize
    useful = (requests + 4) * -(-model.max_model_len // PAGE_SIZE)
    fitting: int = (settings.cache_bytes or CPU_CACHE_BYTES) // page
    return max(1, min(fitting, useful))
