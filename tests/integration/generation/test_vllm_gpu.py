"""The engine on vLLM on a GPU, in an environment that has the package vllm for CUDA."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from longshore.workers.generate.engines.base import EngineRequest, Sampling
from longshore.workers.generate.engines.open import choose_engine, open_engine
from longshore.workers.generate.version import LanguageModel
from tests.language_models import CONTEXT, save_language_model

pytestmark = [pytest.mark.gpu, pytest.mark.timeout(1800), pytest.mark.filterwarnings("ignore")]
END, TOKENS = 2, 24
#: Bytes that CUDA and vLLM keep for the process.
KEPT_BYTES = 2 << 30


def test_greedy_texts_are_those_of_generate_and_memory_is_free_again(tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    save_language_model(tmp_path / "llama", layers=4, width=256)
    device = torch.device("cuda:0")
    assert choose_engine("auto", device) == "vllm"
    free_before, _ = torch.cuda.mem_get_info(device)
    model = LanguageModel(key="model", folder=tmp_path / "llama", max_model_len=CONTEXT, end_tokens=(END,))
    engine = open_engine("auto", model, device)
    prompts = [[(7 * at + number) % 380 + 3 for at in range(5 + 9 * number)] for number in range(16)]
    for number, tokens in enumerate(prompts):
        engine.add(EngineRequest(id=number, tokens=tokens, sampling=Sampling(max_tokens=TOKENS)))
    texts: dict[int, list[int]] = {}
    while engine.unfinished:
        texts.update({completion.id: list(completion.tokens) for completion in engine.step().completions})
    assert engine.nbytes > 1 << 30
    engine.close()
    free_after, _ = torch.cuda.mem_get_info(device)
    assert free_after > free_before - KEPT_BYTES
    module = AutoModelForCausalLM.from_pretrained(tmp_path / "llama", dtype=torch.float32)
    for number, tokens in enumerate(prompts):
        ids = torch.tensor([tokens])
        output = module.generate(  # type: ignore[misc]
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=TOKENS,
            do_sample=False,
            eos_token_id=END,
            pad_token_id=0,
        )
        expected = output[0, len(tokens) :].tolist()
        assert texts[number] == [token for token in expected if token != END]
