"""Generates the texts of an evaluation on an engine, and measures what expected texts cost a model."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import torch

from longshore.workers.generate.engines.base import AdapterFiles, Completion, Engine, EngineRequest
from longshore.workers.generate.engines.vocabulary import unknown_token
from longshore.workers.generate.rows import PreparedRow

if TYPE_CHECKING:
    from longshore.workers.generate.version import LanguageVersion

#: Memory for the adapter of a version whose expected texts are measured.
_ADAPTER_BYTES: Final = 1 << 34


def generate_texts(
    engine: Engine,
    ids: Iterator[int],
    rows: Iterable[tuple[int, PreparedRow]],
    adapter: AdapterFiles | None,
    check: Callable[[], None],
) -> Generator[tuple[int, Completion | str]]:
    """Run rows, as many at a time as the engine wants. Gives each completion, or why there is none, when it ends.

    :param ids: numbers that no request of the engine has.
    :param rows: numbers of rows and what to run; of a row that asks for several texts, the first.
    :param check: called at each step; an exception that it raises ends the run.
    """
    waiting = iter(rows)
    running: dict[int, int] = {}
    is_read = False
    try:
        while True:
            while not is_read and len(running) < engine.capacity:
                following = next(waiting, None)
                if following is None:
                    is_read = True
                    break
                row, prepared = following
                id_ = next(ids)
                running[id_] = row
                engine.add(
                    EngineRequest(id=id_, tokens=prepared.tokens, sampling=prepared.samplings[0], adapter=adapter)
                )
            if not running:
                return
            check()
            step = engine.step()
            for completion in step.completions:
                yield running.pop(completion.id), completion
            for id_, reason in step.failures.items():
                yield running.pop(id_), reason
    finally:
        engine.cancel(list(running))


class ReferenceScorer:
    """A language model as transformers runs it, one text at a time.

    :raises InvalidInput: transformers refuses the configuration, or the adapter does not fit.
    :raises CorruptBlob: the weights cannot be loaded.
    """

    def __init__(self, version: LanguageVersion, device: torch.device) -> None:
        from longshore.workers.generate.engines.adapters import AdapterPool
        from longshore.workers.generate.engines.seq2seq import decoder_beginning
        from longshore.workers.generate.engines.weights import load_network

        model = version.model
        self._limit = model.max_model_len
        self._device = device
        self._module = load_network(
            model.folder, device, model.settings.dtype or "auto", encoder_decoder=model.encoder_decoder
        )
        #: What a decoder after an encoder begins with; ``None``: there is no encoder.
        self._beginning = decoder_beginning(self._module) if model.encoder_decoder else None
        self._vocabulary = int(self._module.config.get_text_config().vocab_size)
        self._adapter = version.adapter
        self._pool = AdapterPool(self._module, _ADAPTER_BYTES)
        if version.adapter is not None:
            self._pool.acquire(version.adapter)
        self._keeps_logits = bool(self._module._supports_logits_to_keep())  # type: ignore[operator]

    @torch.inference_mode()
    def cost(self, prompt: Sequence[int], reference: Sequence[int]) -> float | None:
        """Minus the natural logarithm of the probability of a text after a prompt; ``None`` if they are too long, or
        have a token that the network does not have.

        :param prompt: at least one token.
        :param reference: at least one token.
        """
        if self._beginning is not None:
            return self._decoder_cost(prompt, [*self._beginning, *reference], len(reference))
        tokens = [*prompt, *reference[:-1]]
        if len(tokens) + 1 > self._limit or unknown_token([*tokens, reference[-1]], self._vocabulary):
            return None
        if self._adapter is not None:
            first = len(prompt) - 1
            positions = range(first, len(tokens)) if self._keeps_logits else range(len(tokens))
            self._pool.select([(self._adapter.key, len(tokens))], list(positions))
        ids = torch.tensor([tokens], device=self._device)
        only = {"logits_to_keep": len(reference)} if self._keeps_logits else {}
        return _cost(self._module(input_ids=ids, use_cache=False, **only).logits, reference)

    def _decoder_cost(self, prompt: Sequence[int], tokens: Sequence[int], count: int) -> float | None:
        """As :meth:`cost`, of the last ``count`` tokens of a decoder whose encoder reads the prompt."""
        positions: int | None = getattr(self._module.config, "max_position_embeddings", None)
        if positions is not None and max(len(prompt), len(tokens)) > positions:
            return None
        if unknown_token([*prompt, *tokens], self._vocabulary):
            return None
        ids, read = (torch.tensor([each], device=self._device) for each in (list(prompt), list(tokens[:-1])))
        return _cost(self._module(input_ids=ids, decoder_input_ids=read, use_cache=False).logits, tokens[-count:])


def _cost(logits: torch.Tensor, reference: Sequence[int]) -> float:
    """Minus the logarithm of the probability of tokens, of which each has one of the last logits."""
    targets = torch.tensor(list(reference), device=logits.device)
    return float(torch.nn.functional.cross_entropy(logits[0, -len(reference) :].float(), targets, reduction="sum"))
