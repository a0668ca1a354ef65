"""Small language models in the engine on transformers, and how tests run them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from longshore.workers.generate.engines.base import Completion, Engine, EngineRequest, Sampling
from longshore.workers.generate.engines.open import open_engine
from longshore.workers.generate.engines.options import EngineOptions
from longshore.workers.generate.engines.transformers import TransformersEngine
from longshore.workers.generate.version import LanguageModel
from tests.language_models import CONTEXT

CPU = torch.device("cpu")
#: ``<|im_end|>`` of the tokenizer of tests.
END = 2


def open_small(folder: Path, *, ends: tuple[int, ...] = (END,), **options: int | bool) -> TransformersEngine:
    """Open a model that ``save_language_model`` has saved."""
    model = LanguageModel(key="small", folder=folder, max_model_len=CONTEXT, end_tokens=ends)
    engine = open_engine("transformers", model, CPU, EngineOptions(**options))  # type: ignore[arg-type]
    assert isinstance(engine, TransformersEngine)
    return engine


def add_all(engine: Engine, prompts: Mapping[int, Sequence[int]], sampling: Sampling) -> None:
    """Add a request for each prompt, by its id."""
    for number, tokens in prompts.items():
        engine.add(EngineRequest(id=number, tokens=tokens, sampling=sampling))


def finish(engine: Engine) -> dict[int, Completion]:
    """EngineStep until no request is left. No request may fail."""
    completions: dict[int, Completion] = {}
    while engine.unfinished:
        step = engine.step()
        assert step.failures == {}
        completions.update((each.id, each) for each in step.completions)
    return completions


def run(engine: Engine, requests: Iterable[EngineRequest]) -> dict[int, Completion]:
    """Add requests, and step until all have ended."""
    for request in requests:
        engine.add(request)
    return finish(engine)


def prompts_of(count: int, longest: int, seed: int = 0, size: int = 380) -> dict[int, list[int]]:
    """Random prompts of 1 to ``longest`` tokens, by number."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, longest + 1, (count,), generator=generator).tolist()
    return {
        number: torch.randint(3, size, (length,), generator=generator).tolist() for number, length in enumerate(lengths)
    }


def generate_greedily(folder: Path, prompts: Mapping[int, Sequence[int]], max_tokens: int) -> dict[int, list[int]]:
    """What transformers' own ``generate`` writes to each prompt alone, without the token that ends it."""
    module = AutoModelForCausalLM.from_pretrained(folder)
    texts = {}
    for number, tokens in prompts.items():
        ids = torch.tensor([tokens])
        output = module.generate(  # type: ignore[misc]
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_tokens, do_sample=False
        )
        text = output[0, len(tokens) :].tolist()
        texts[number] = text[: text.index(END)] if END in text else text
    return texts
