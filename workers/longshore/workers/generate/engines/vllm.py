"""The engine on the library vLLM, on GPUs and CPUs. It runs in the process of its caller, or, on several devices, in
processes of its own.
"""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import torch

from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.workers import joined
from longshore.workers.generate.constraints import JSON_LAYOUT
from longshore.workers.generate.engines.base import (
    AdapterFiles,
    BegunText,
    Completion,
    Engine,
    EngineRequest,
    EngineStep,
    Sampling,
)
from longshore.workers.generate.engines.options import EngineOptions
from longshore.workers.generate.engines.texts.begun import begun_text
from longshore.workers.generate.engines.texts.stop_texts import cut_text
from longshore.workers.generate.engines.vllm_process import shut_down, start
from longshore.workers.generate.engines.vllm_texts import VllmText, continues
from longshore.workers.generate.engines.weights import load_tokens
from longshore.workers.generate.version import LanguageModel

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from vllm import LLMEngine, RequestOutput, SamplingParams
    from vllm.lora.request import LoRARequest

log = logging.getLogger(__name__)

#: The ranks for which vLLM can make room.
ADAPTER_RANKS: Final = (16, 32, 64, 128, 256, 320, 512)
#: Tokens of a text between two counts of its progress: each costs time.
COUNT_INTERVAL: Final = 16

#: Starts vLLM with room for adapters up to this rank; 0: for none.
Starter: TypeAlias = Callable[[int], "LLMEngine"]


class VllmEngine:
    """An :class:`~longshore.workers.generate.engines.base.Engine`.

    Room for adapters costs speed and memory, so there is none until a request has an adapter. Then vLLM starts again,
    and the requests that run go on, or begin anew. That happens again only for an adapter of a higher rank.

    :param weight_bytes: what the weights take.
    """

    def __init__(self, model: LanguageModel, start: Starter, tokenizer: Tokenizer, weight_bytes: int) -> None:
        self.max_model_len = model.max_model_len
        self._model = model
        self._start = start
        self._tokenizer = tokenizer
        self._weight_bytes = weight_bytes
        self._running: dict[str, VllmText] = {}
        #: The highest rank of adapters for which there is room, and the adapters that were used, by their keys.
        self._rank = 0
        self._adapters: dict[str, LoRARequest] = {}
        self._engine = start(0)

    @property
    def capacity(self) -> int:
        """See :attr:`Engine.capacity`."""
        return int(self._engine.vllm_config.scheduler_config.max_num_seqs)

    @property
    def unfinished(self) -> int:
        """See :attr:`Engine.unfinished`."""
        return len(self._running)

    @property
    def nbytes(self) -> int:
        """See :attr:`Engine.nbytes`."""
        config = self._engine.vllm_config.cache_config
        cache = config.kv_cache_memory_bytes
        if cache is None:  # it takes what is free of its share
            return int(torch.cuda.get_device_properties(0).total_memory * config.gpu_memory_utilization)
        return self._weight_bytes + int(cache)

    def add(self, request: EngineRequest) -> None:
        """See :meth:`Engine.add`."""
        if request.adapter is not None:
            self._load_adapter(request.adapter)
        vocabulary = self._engine.vllm_config.model_config.get_vocab_size()
        running = VllmText(request, begun_text(request, vocabulary) if continues(request.sampling) else None)
        self._submit(running)
        self._running[str(request.id)] = running

    def step(self) -> EngineStep:
        """See :meth:`Engine.step`."""
        step = EngineStep()
        if not self._running:
            return step
        for output in self._engine.step():
            running = self._running.get(output.request_id)
            if running is None:
                continue
            running.output = output.outputs[0]
            count = len(running.output.token_ids)
            if running.counted == 0:
                read = len(running.request.tokens) + len(running.begun_tokens)
                step.prompt_tokens += read - (output.num_cached_tokens or 0)
                if count and not output.finished:
                    step.started.append(running.request.id)
            step.generated_tokens += count - running.counted
            running.counted = count
            if running.request.streamed and not output.finished:
                tokens = [*running.begun_tokens, *running.output.token_ids]
                if len(tokens) > running.streamed:
                    step.new_tokens[running.request.id] = tokens[running.streamed :]
                    running.streamed = len(tokens)
            if output.finished:
                del self._running[output.request_id]
                self._end(running, output, step)
        return step

    def texts(self, ids: Collection[int]) -> dict[int, BegunText]:
        """See :meth:`Engine.texts`."""
        running = ((id_, self._running.get(str(id_))) for id_ in ids)
        texts = {id_: each.so_far() for id_, each in running if each is not None and continues(each.request.sampling)}
        return {id_: text for id_, text in texts.items() if text.tokens}

    def cancel(self, ids: Collection[int]) -> None:
        """See :meth:`Engine.cancel`."""
        keys = [str(each) for each in ids if str(each) in self._running]
        for key in keys:
            del self._running[key]
        if keys:
            self._engine.abort_request(keys)

    def close(self) -> None:
        """See :meth:`Engine.close`."""
        self._running.clear()
        self._adapters.clear()
        shut_down(self._engine)
        del self._engine
        gc.collect()

    def _submit(self, running: VllmText) -> None:
        from vllm.exceptions import VLLMValidationError

        request = running.request
        adapter = None if request.adapter is None else self._adapters[request.adapter.key]
        begun = running.begun_tokens
        prompt = {"prompt_token_ids": [*request.tokens, *begun]}
        params = self._params(request.sampling, len(begun), streamed=request.streamed)
        try:
            self._engine.add_request(str(request.id), prompt, params, lora_request=adapter)
        except (VLLMValidationError, ValueError) as error:
            field = "prompt" if request.sampling.constraint is None else request.sampling.constraint.option
            raise InvalidInput(field, f"vLLM refuses it: {error}") from error

    def _params(self, sampling: Sampling, begun: int, *, streamed: bool) -> SamplingParams:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        ends, structured = set(self._model.end_tokens), None
        if (constraint := sampling.constraint) is not None:
            if sampling.min_tokens:
                raise InvalidInput(
                    "min_tokens",
                    f"{sampling.min_tokens}: vLLM takes none together with {constraint.option}; leave it out, or "
                    "choose the engine transformers",
                )
            structured = StructuredOutputsParams(
                json=None if constraint.json_schema is None else _with_layout(constraint.json_schema),
                regex=constraint.regex,
                choice=None if constraint.choices is None else list(constraint.choices),
            )
            # What a grammar ends with.
            ends |= {self._engine.get_tokenizer().eos_token_id} - {None}
        return SamplingParams(
            max_tokens=sampling.max_tokens - begun,
            min_tokens=max(0, sampling.min_tokens - begun),
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            presence_penalty=sampling.presence_penalty,
            frequency_penalty=sampling.frequency_penalty,
            stop=list(sampling.stop),
            stop_token_ids=sorted(ends),
            ignore_eos=True,  # those of the model are given
            seed=sampling.seed,
            logprobs=sampling.logprobs,
            structured_outputs=structured,
            detokenize=bool(sampling.stop),
            output_kind=RequestOutputKind.CUMULATIVE,
            stream_interval=1 if streamed else COUNT_INTERVAL,
        )

    def _end(self, running: VllmText, output: RequestOutput, step: EngineStep) -> None:
        request, text = running.request, output.outputs[0]
        if text.finish_reason not in ("stop", "length"):
            step.failures[request.id] = f"vLLM ended the request: {text.finish_reason or 'without a reason'}"
            return
        # The reason is a stop text, a token of ours, or none, if the model's own end was met.
        by_token = text.finish_reason == "stop" and not isinstance(text.stop_reason, str)
        whole = running.so_far(len(text.token_ids) - by_token)
        step.completions.append(
            Completion(
                id=request.id,
                tokens=whole.tokens,
                text=self._decode(whole.tokens, request.sampling, stopped=isinstance(text.stop_reason, str)),
                finish="stop" if text.finish_reason == "stop" else "length",
                cached_tokens=min(output.num_cached_tokens or 0, len(request.tokens)),
                logprobs=None if whole.logprobs is None else tuple(whole.logprobs),
            )
        )

    def _decode(self, tokens: Sequence[int], sampling: Sampling, *, stopped: bool) -> str:
        cut = cut_text(self._tokenizer, tokens, sampling.stop, sampling.min_tokens) if stopped else None
        return self._tokenizer.decode(tokens, skip_special_tokens=True) if cut is None else cut

    def _load_adapter(self, files: AdapterFiles) -> None:
        """Load an adapter, unless it was before. Its errors are those of the request, and not of a step of all."""
        if files.key in self._adapters:
            return
        from vllm.lora.request import LoRARequest

        rank = _adapter_rank(files.folder)
        if rank > self._rank:
            self._restart(rank)
        adapter = LoRARequest(files.key, len(self._adapters) + 1, str(files.folder))
        try:
            self._engine.add_lora(adapter)
        except (ValueError, RuntimeError, KeyError) as error:
            raise InvalidInput("adapter", f"vLLM cannot load it: {error}") from error
        self._adapters[files.key] = adapter

    def _restart(self, rank: int) -> None:
        log.info("vLLM starts again, with room for adapters of rank %d", rank)
        shut_down(self._engine)
        del self._engine
        gc.collect()
        try:
            self._engine = self._start(rank)
        except InvalidInput as error:
            self._engine = self._start(self._rank)
            raise InvalidInput("adapter", f"{error.reason}") from error
        finally:
            for running in self._running.values():
                running.restart()
                self._submit(running)
        self._rank = rank


def open_engine(model: LanguageModel, device: torch.device, options: EngineOptions) -> Engine:
    """See :data:`~longshore.workers.generate.engines.open.Opener`. An engine on several devices has processes of its
    own, which this process may not start. On CPUs there are as many as the version asks for.
    """
    if device.type == "cuda" and options.tensor_parallel > options.devices:
        has = "one GPU" if options.devices == 1 else f"{options.devices} GPUs"
        raise InvalidInput(
            "tensor_parallel",
            f"{options.tensor_parallel}: this worker has {has}; start one that has enough: longshore worker --devices "
            f"{joined(options.tensor_parallel)}; or import the version with less",
        )
    if options.tensor_parallel > 1:
        from longshore.workers.generate.engines.remote.client import RemoteEngine

        if device.type == "cuda":
            torch.cuda.empty_cache()  # vLLM counts what is free
        return RemoteEngine(model, device, options)
    return open_engine_here(model, device, options)


def open_engine_here(
    model: LanguageModel,
    device: torch.device,
    options: EngineOptions,
    started: Callable[[LLMEngine], None] = lambda engine: None,
) -> VllmEngine:
    """Open an engine in this process.

    :param started: called each time that vLLM has started.
    :raises InvalidInput: vLLM cannot run the model.
    :raises CorruptBlob: the files cannot be loaded.
    """

    def start_engine(rank: int) -> LLMEngine:
        engine = start(model, device, options, rank)
        started(engine)
        return engine

    tokenizer = load_tokens(model.folder)
    weight_bytes = sum(path.stat().st_size for path in model.folder.glob("*.safetensors"))
    return VllmEngine(model, start_engine, tokenizer, weight_bytes)


def _adapter_rank(folder: Path) -> int:
    """The smallest rank for which vLLM can make room that is as high as that of an adapter."""
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    needed = max(int(config["r"]), *map(int, (config.get("rank_pattern") or {}).values()), 0)
    for rank in ADAPTER_RANKS:
        if needed <= rank:
            return rank
    raise InvalidInput("adapter", f"its rank is {needed}, and vLLM takes up to {ADAPTER_RANKS[-1]}")


def _with_layout(json_schema: str) -> str:
    """A schema that says how documents are laid out, as the engine on transformers does."""
    return json.dumps({**json.loads(json_schema), "x-guidance": JSON_LAYOUT})
