"""What transformers computes for one prompt alone, to compare engines with."""

from __future__ import annotations

from collections.abc import Sequence

import torch


@torch.no_grad()
def next_logits(module: torch.nn.Module, tokens: Sequence[int]) -> torch.Tensor:
    """The logits of the token that comes next."""
    logits: torch.Tensor = module(torch.tensor([list(tokens)])).logits[0, -1]
    return logits


@torch.inference_mode()
def text_logits(module: torch.nn.Module, tokens: Sequence[int], text: Sequence[int]) -> torch.Tensor:
    """The logits for each token of a text."""
    logits: torch.Tensor = module(torch.tensor([[*tokens, *text]])).logits[0, len(tokens) - 1 : -1]
    return logits


@torch.inference_mode()
def greedy(
    module: torch.nn.Module, tokens: Sequence[int], max_tokens: int = 24, *, end: int = 2, **options: object
) -> list[int]:
    """What ``generate`` of transformers writes, without the token that ends it."""
    ids = torch.tensor([list(tokens)])
    output = module.generate(  # type: ignore[operator]
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=max_tokens,
        do_sample=False,
        eos_token_id=end,
        pad_token_id=0,
        **options,
    )
    generated: list[int] = output[0, len(tokens) :].tolist()
    return generated[:-1] if generated[-1] == end else generated
