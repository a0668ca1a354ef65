"""Compares an engine with the library's plain computation when it is opened.

Continuous batching asks more of an architecture than plain computation: a network whose attention does not look at the
pages would give other texts, and no error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from longshore.workers.generate.engines.attention.paged_attention import ATTENTION
from longshore.workers.generate.engines.base import Completion, Engine, EngineRequest, Sampling

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Prompts, in tokens. They share a batch, and the longer one more than a page of 8 tokens.
_LENGTHS = (3, 11)
#: Tokens to generate.
_TOKENS = 3
#: How far log probabilities may be from the plain ones, in float32 and in types of 16 bits.
_TOLERANCE, _TOLERANCE_16 = 2e-3, 0.3


def try_engine(engine: Engine, module: PreTrainedModel, attention: str) -> None:
    """Run two short prompts both ways.

    :param attention: the name of the plain attention of ``module``.
    :raises ValueError: they give other log probabilities.
    """
    size = int(module.config.get_text_config().vocab_size)
    prompts = {
        -1 - number: [(7 * at + number) % size for at in range(length)] for number, length in enumerate(_LENGTHS)
    }
    sampling = Sampling(max_tokens=_TOKENS, min_tokens=_TOKENS, logprobs=0)
    for key, tokens in prompts.items():
        engine.add(EngineRequest(id=key, tokens=tokens, sampling=sampling))
    completions: list[Completion] = []
    while engine.unfinished:
        step = engine.step()
        if step.failures:
            raise ValueError(next(iter(step.failures.values())))
        completions += step.completions
    tolerance = _TOLERANCE if module.dtype == torch.float32 else _TOLERANCE_16
    module.set_attn_implementation(attention)
    try:
        for completion in completions:
            far = _distance(module, prompts[completion.id], completion)
            if not far <= tolerance:
                raise ValueError(f"its log probabilities are {far:.3g} from those without continuous batching")
    finally:
        module.set_attn_implementation(ATTENTION)


@torch.inference_mode()
def _distance(module: PreTrainedModel, prompt: list[int], completion: Completion) -> float:
    """How far the log probabilities of a completion are from the plain ones, at most."""
    tokens = list(completion.tokens)
    ids = torch.tensor([prompt + tokens[:-1]], device=module.device)
    logits = module(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 :].float()
    plain = logits.log_softmax(1)[torch.arange(len(tokens)), tokens].cpu()
    ours = torch.tensor([each.logprob for each in completion.logprobs or ()])
    return float((plain - ours).abs().max())
