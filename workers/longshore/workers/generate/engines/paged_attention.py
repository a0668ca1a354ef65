"""Attention over a batch whose requests lie one after the other: each looks at its own keys and values alone.

The attention of transformers for such batches takes one mask of all queries by all keys, which costs the square of
the batch, and in which what one request computes can reach another if it is no number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch.nn import functional as F
from transformers import AttentionInterface
from transformers.generation.continuous_batching.cache import PagedAttentionCache
from transformers.generation.continuous_batching.requests import RequestState

#: The name that a model's configuration has for it.
ATTENTION: Final = "longshore_paged"
_INT32: Final = 2**31


@dataclass(frozen=True)
class Span:
    """Where a request lies in a batch: its new tokens, and the keys that they look at, which end with their own."""

    query_start: int
    query_length: int
    key_start: int
    key_length: int


class AttentionPlan:
    """The requests of a batch, as layers of one kind see them.

    :param window: keys that a token looks at, with its own; ``None``: all.
    """

    def __init__(self, spans: list[Span], window: int | None, device: torch.device) -> None:
        self.window = window
        self.longer = [span for span in spans if span.query_length > 1]
        single = [span for span in spans if span.query_length == 1]
        self.single = torch.tensor([span.query_start for span in single], device=device)
        self.keys: torch.Tensor | None = None
        self.mask: torch.Tensor | None = None
        if single:
            lengths = torch.tensor([[span.key_length] for span in single])
            starts = torch.tensor([[span.key_start] for span in single])
            positions = torch.arange(int(lengths.max()))
            # What is behind the end of a request's keys is masked, so it only has to be a place that exists.
            self.keys = (starts + torch.minimum(positions, lengths - 1)).flatten().to(device)
            if bool((lengths != lengths[0]).any()):
                self.mask = (positions < lengths)[:, None, None, :].to(device)


class PlannedCache(PagedAttentionCache):
    """Keys and values of all requests, in pages that requests with equal beginnings share.

    It also holds the plans of the batch that is computed, because it is what the layers are given.
    """

    #: By the kind of a layer.
    plans: dict[str, AttentionPlan]

    def open(self, vocabulary: int) -> None:
        """Call this before the first request.

        :param vocabulary: tokens of the model.
        """
        self._vocabulary = vocabulary
        self._adapters: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        #: Tokens of prompts that were found in the cache, by request.
        self.matched: dict[str, int] = {}

    def register(self, request_id: str, adapter: str | None) -> None:
        """State what a request runs on. Requests on different adapters share no pages.

        :param adapter: its key; ``None``: the model alone.
        """
        if adapter is not None:
            self._adapters[request_id] = adapter
            self._numbers.setdefault(adapter, 1 + len(self._numbers))

    def forget(self, request_id: str) -> None:
        """Forget what was registered."""
        self._adapters.pop(request_id, None)
        self.matched.pop(request_id, None)

    def search_prefix_match(self, request_id: str, prompt_ids: list[int]) -> int:
        """Called by transformers when a request starts, and again if it had to give its pages to others."""
        matched = super().search_prefix_match(request_id, self._marked(request_id, prompt_ids))
        self.matched.setdefault(request_id, matched)
        return matched

    def mark_complete_blocks(self, state: RequestState, complete_blocks: dict[str, int]) -> None:
        """Called by transformers when pages of a request are full."""
        if not self.use_prefix_sharing or not complete_blocks:
            return
        tokens = self._marked(state.request_id, state.initial_tokens + state.generated_tokens)
        for kind, count in complete_blocks.items():
            self.cache_allocators[kind].mark_complete_blocks(state.request_id, tokens, count)

    def _marked(self, request_id: str, tokens: list[int]) -> list[int]:
        """Tokens that differ from those of other adapters, by which pages are found."""
        adapter = self._adapters.get(request_id)
        if adapter is None or len(tokens) < 2:
            return tokens
        # transformers hashes a page with the pages before it, and tokens as numbers of 32 bits.
        high, low = divmod(self._numbers[adapter], _INT32 // self._vocabulary)
        return [tokens[0] + low * self._vocabulary, tokens[1] + high * self._vocabulary, *tokens[2:]]


def paged_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    cache: PagedAttentionCache | None = None,
    **batch: object,
) -> tuple[torch.Tensor, None]:
    """What a layer calls with its queries, keys and values, ``(1, heads, tokens, width)``.

    :returns: ``(1, tokens, heads, width)``.
    """
    if not isinstance(cache, PlannedCache) or s_aux is not None:
        raise NotImplementedError("attention sinks, or no cache")
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    plan = cache.plans[cache.layer_to_allocator[layer].layer_type]
    key, value = cache.update(key_states=key, value_states=value, layer_idx=layer, kwargs=batch)
    heads, groups = query.shape[1], query.shape[1] // key.shape[1]
    output = query.new_empty((query.shape[2], heads, value.shape[3]))
    if plan.keys is not None:
        count = len(plan.single)
        width = query.shape[3]
        mine = query[0, :, plan.single].transpose(0, 1).reshape(count, -1, groups, width)
        # Queries of heads that share their keys are rows of one product.
        keys, values = (
            states[0].transpose(0, 1).index_select(0, plan.keys).view(count, -1, key.shape[1], width).transpose(1, 2)
            for states in (key, value)
        )
        output[plan.single] = _attend(mine, keys, values, plan.mask, scaling, softcap).flatten(1, 2)
    for span in plan.longer:
        queries = query[:, :, span.query_start : span.query_start + span.query_length]
        keys, values = (
            states[:, :, span.key_start : span.key_start + span.key_length].repeat_interleave(groups, 1)
            for states in (key, value)
        )
        mask = _causal(span, plan.window, query.device)
        attended = _attend(queries, keys, values, mask, scaling, softcap)
        output[span.query_start : span.query_start + span.query_length] = attended[0].transpose(0, 1)
    return output[None], None


def _causal(span: Span, window: int | None, device: torch.device) -> torch.Tensor:
    """Which keys each token of a request looks at."""
    shape = (span.query_length, span.key_length)
    past = span.key_length - span.query_length
    mask = torch.ones(shape, dtype=torch.bool, device=device).tril(past)
    return mask if window is None else mask.triu(past - window + 1)


def _attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float | None,
) -> torch.Tensor:
    if softcap is None:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
    scores = query @ key.transpose(2, 3) * (scaling if scaling is not None else query.shape[3] ** -0.5)
    scores = torch.tanh(scores / softcap) * softcap
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(3, dtype=torch.float32).to(value.dtype) @ value


AttentionInterface.register(ATTENTION, paged_attention)
