"""The engine for encoders with decoders, such as T5 and BART, on the library transformers.

Requests run in batches: the next batch begins when the last request of the one before has ended. Requests that end
earlier, and those that are cancelled, leave their batch at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from transformers import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from longshore.shared.errors import InvalidInput
from longshore.workers.generate.engines.base import BegunText, EngineRequest, EngineStep
from longshore.workers.generate.engines.options import EngineOptions
from longshore.workers.generate.engines.running import RunningText, TextRules
from longshore.workers.generate.engines.sampling import BatchSampler, RequestSampler
from longshore.workers.generate.engines.vocabulary import unknown_token
from longshore.workers.generate.engines.weights import load_network, load_tokens
from longshore.workers.generate.version import LanguageModel

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedModel

#: Requests of a batch, at most.
MAX_REQUESTS: Final = 32


@dataclass
class _Batch:
    """Requests that run, and what the network keeps of them, row by row."""

    requests: list[RunningText]
    #: What the encoder computed, ``(requests, tokens, width)``, and which tokens are none, ``(requests, tokens)``.
    encoded: torch.Tensor
    mask: torch.Tensor
    cache: EncoderDecoderCache
    #: What the decoder reads next, ``(requests, tokens)``.
    next: torch.Tensor

    def keep(self, rows: Sequence[int]) -> None:
        """Drop the other rows."""
        index = torch.tensor(rows, device=self.encoded.device)
        self.requests = [self.requests[row] for row in rows]
        self.encoded, self.mask, self.next = self.encoded[index], self.mask[index], self.next[index]
        self.cache.batch_select_indices(index)


class _Sampler(BatchSampler):
    """Chooses the tokens of a batch that continuous batching does not know."""

    def choose(self, rows: Sequence[RequestSampler], logits: torch.Tensor) -> list[int]:
        """The next token of each row. ``logits``, ``(rows, vocabulary)``, are changed."""
        self._rows = list(rows)
        tokens: list[int] = self(logits, logits, logits).argmax(1).tolist()
        return tokens


class Seq2SeqEngine:
    """An :class:`~longshore.workers.generate.engines.base.Engine`.

    :param module: an encoder with a decoder. It belongs to the engine from now on.
    """

    def __init__(
        self, model: LanguageModel, module: PreTrainedModel, tokenizer: Tokenizer, options: EngineOptions
    ) -> None:
        self.max_model_len = model.max_model_len
        self._requests = options.max_requests or MAX_REQUESTS
        self.capacity = 2 * self._requests
        self.nbytes = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
        self._module = module
        self._vocabulary = int(module.config.vocab_size)
        self._rules = TextRules(tokenizer, self._vocabulary, model.end_tokens)
        self._beginning = decoder_beginning(module)
        self._pad = int(getattr(module.config, "pad_token_id", None) or 0)
        self._positions: int | None = getattr(module.config, "max_position_embeddings", None)
        self._sampler = _Sampler()
        self._waiting: deque[RunningText] = deque()
        self._batch: _Batch | None = None
        self._failures: dict[int, str] = {}

    @property
    def unfinished(self) -> int:
        """See :attr:`Engine.unfinished`."""
        running = 0 if self._batch is None else len(self._batch.requests)
        return running + len(self._waiting) + len(self._failures)

    def add(self, request: EngineRequest) -> None:
        """See :meth:`Engine.add`."""
        if request.adapter is not None:
            raise InvalidInput("model", "adapters of an encoder with a decoder are not supported; use the base")
        if fault := unknown_token(request.tokens, self._vocabulary):
            self._failures[request.id] = fault
            return
        written = len(self._beginning) + request.sampling.max_tokens
        if self._positions is not None and max(len(request.tokens), written) > self._positions:
            self._failures[request.id] = (
                f"its prompt of {len(request.tokens)} tokens or its max_tokens {request.sampling.max_tokens} is over "
                f"the {self._positions} positions that the encoder and the decoder have each"
            )
            return
        # As in transformers, the repetition penalty counts what the decoder reads, and not the prompt.
        self._waiting.append(self._rules.begin(request, self._beginning))

    @torch.inference_mode()
    def step(self) -> EngineStep:
        """See :meth:`Engine.step`. Computes one token of each request of the batch."""
        step = EngineStep(failures=self._failures)
        self._failures = {}
        if self._batch is None:
            if not self._waiting:
                return step
            self._batch = self._encode()
            step.prompt_tokens = int(self._batch.mask.sum()) + sum(each.begun for each in self._batch.requests)
        batch = self._batch
        logits = (
            self._module(
                encoder_outputs=BaseModelOutput(last_hidden_state=batch.encoded),
                attention_mask=batch.mask,
                decoder_input_ids=batch.next,
                past_key_values=batch.cache,
                use_cache=True,
            )
            .logits[:, -1]
            .float()
        )
        tokens = self._sampler.choose([running.sampler for running in batch.requests], logits)
        going = [
            row
            for row, (running, token) in enumerate(zip(batch.requests, tokens, strict=True))
            if not self._rules.advance(running, token, step)
        ]
        batch.next = torch.tensor(tokens, device=logits.device)[:, None]
        self._keep(going)
        return step

    def texts(self, ids: Collection[int]) -> dict[int, BegunText]:
        """See :meth:`Engine.texts`."""
        running = () if self._batch is None else self._batch.requests
        return {each.request.id: each.so_far for each in running if each.request.id in ids and each.tokens}

    def cancel(self, ids: Collection[int]) -> None:
        """See :meth:`Engine.cancel`."""
        gone = set(ids)
        for each in gone:
            self._failures.pop(each, None)
        self._waiting = deque(each for each in self._waiting if each.request.id not in gone)
        if self._batch is not None:
            self._keep([row for row, each in enumerate(self._batch.requests) if each.request.id not in gone])

    def close(self) -> None:
        """See :meth:`Engine.close`."""
        self._batch = None
        self._waiting.clear()
        del self._module
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _keep(self, rows: Sequence[int]) -> None:
        if self._batch is None or len(rows) == len(self._batch.requests):
            return
        if rows:
            self._batch.keep(rows)
        else:
            self._batch = None

    def _encode(self) -> _Batch:
        """Run the encoder over the next requests whose texts are as long as the first one's: some can have begun."""
        length = len(self._waiting[0].tokens)
        requests = [each for each in self._waiting if len(each.tokens) == length][: self._requests]
        chosen = {each.request.id for each in requests}
        self._waiting = deque(each for each in self._waiting if each.request.id not in chosen)
        device = self._module.device
        longest = max(len(running.request.tokens) for running in requests)
        ids = torch.full((len(requests), longest), self._pad, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, running in enumerate(requests):
            size = len(running.request.tokens)
            ids[row, :size] = torch.tensor(running.request.tokens)
            mask[row, :size] = 1
        ids, mask = ids.to(device), mask.to(device)
        encoded: torch.Tensor = self._module.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        read = torch.tensor([[*self._beginning, *running.tokens] for running in requests], device=device)
        return _Batch(requests, encoded, mask, cache, read)


def decoder_beginning(module: PreTrainedModel) -> list[int]:
    """The tokens that every text of the decoder begins with; the second one, if there is one, names a language.

    :raises InvalidInput: ``config.json`` does not state the first one.
    """
    stated = [getattr(module.generation_config, "decoder_start_token_id", None)]
    stated += [getattr(module.config, "decoder_start_token_id", None)]
    first = next((token for token in stated if isinstance(token, int)), None)
    if first is None:
        raise InvalidInput("model", "its config.json has no decoder_start_token_id")
    second = getattr(module.generation_config, "forced_bos_token_id", None)
    return [first] if second is None else [first, int(second)]


def open_engine(model: LanguageModel, device: torch.device, options: EngineOptions) -> Seq2SeqEngine:
    """See :data:`~longshore.workers.generate.engines.open.Opener`."""
    for name, value in (("quantization", options.quantization), ("tensor_parallel", options.tensor_parallel)):
        if value not in (None, 1):
            raise InvalidInput(name, f"{value}: encoders with decoders do not have it; leave it out")
    module = load_network(model.folder, device, options.dtype, encoder_decoder=True)
    return Seq2SeqEngine(model, module, load_tokens(model.folder), options)
