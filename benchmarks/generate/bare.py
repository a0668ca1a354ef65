"""The alternatives in the benchmark of language models: the engines' own libraries, in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch

#: Bytes of keys and values, as a worker on a CPU has them.
CACHE_BYTES = 1 << 30


class Bare(Protocol):
    """A loaded model. All texts are greedy."""

    def batch(self, prompts: Sequence[str], tokens: int) -> float:
        """Generate up to ``tokens`` for each prompt. Returns tokens generated per second."""

    def one_by_one(self, prompts: Sequence[str], tokens: int) -> float:
        """One call of ``generate`` for each prompt. Returns prompts per second."""


class BareTransformers:
    """``generate_batch`` and ``generate`` of transformers."""

    name = "generate_batch of transformers"

    def __init__(self, folder: Path, gpu: bool) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer
        from transformers.utils import logging

        logging.set_verbosity_error()  # type: ignore[no-untyped-call]
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._device = torch.device("cuda" if gpu else "cpu")
        self._model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", device_map=self._device).eval()  # type: ignore[no-untyped-call]

    def batch(self, prompts: Sequence[str], tokens: int) -> float:
        """See :meth:`Bare.batch`."""
        from transformers import GenerationConfig

        config = GenerationConfig(max_new_tokens=tokens, do_sample=False, **self._ends())  # type: ignore[no-untyped-call]
        start = time.perf_counter()
        ids = [self._tokenizer(prompt)["input_ids"] for prompt in prompts]
        outputs = self._model.generate_batch(ids, generation_config=config, progress_bar=False)
        generated = [output.generated_tokens for output in outputs.values()]
        for each in generated:
            self._tokenizer.decode(each, skip_special_tokens=True)
        return sum(map(len, generated)) / (time.perf_counter() - start)

    @torch.inference_mode()
    def one_by_one(self, prompts: Sequence[str], tokens: int) -> float:
        """See :meth:`Bare.one_by_one`."""
        start = time.perf_counter()
        for prompt in prompts:
            ids = torch.tensor([self._tokenizer(prompt)["input_ids"]], device=self._device)
            mask = torch.ones_like(ids)
            output = self._model.generate(
                ids, attention_mask=mask, max_new_tokens=tokens, do_sample=False, **self._ends()
            )
            self._tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)
        return len(prompts) / (time.perf_counter() - start)

    def _ends(self) -> dict[str, int]:
        return {"eos_token_id": self._tokenizer.eos_token_id, "pad_token_id": self._tokenizer.pad_token_id}


class BareVllm:
    """``vllm.LLM.generate``, in this process and with the threads of torch, as a worker runs it."""

    name = "vllm.LLM.generate"

    def __init__(self, folder: Path, context: int, gpu_share: float | None) -> None:
        os.environ.update(
            VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_CPU_OMP_THREADS_BIND="nobind", VLLM_NO_USAGE_STATS="1"
        )
        os.environ.update(VLLM_LOGGING_LEVEL="ERROR", HF_HUB_OFFLINE="1")
        import vllm

        threads = torch.get_num_threads()
        self._sampling = vllm.SamplingParams
        self._llm = vllm.LLM(
            str(folder),
            dtype="float32" if gpu_share is None else "auto",
            enforce_eager=gpu_share is None,
            max_model_len=context,
            kv_cache_memory_bytes=CACHE_BYTES if gpu_share is None else None,
            gpu_memory_utilization=gpu_share or 0.9,
            generation_config="vllm",
        )
        torch.set_num_threads(threads)

    def batch(self, prompts: Sequence[str], tokens: int) -> float:
        """See :meth:`Bare.batch`."""
        start = time.perf_counter()
        outputs = self._llm.generate(list(prompts), self._sampling(max_tokens=tokens, temperature=0.0), use_tqdm=False)
        return sum(len(each.outputs[0].token_ids) for each in outputs) / (time.perf_counter() - start)

    def one_by_one(self, prompts: Sequence[str], tokens: int) -> float:
        """See :meth:`Bare.one_by_one`."""
        start = time.perf_counter()
        for prompt in prompts:
            self.batch([prompt], tokens)
        return len(prompts) / (time.perf_counter() - start)
