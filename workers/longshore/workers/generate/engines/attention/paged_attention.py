"""Attention over a batch whose requests lie one after the other: each looks at its own keys and values alone.

The attention of transformers for such batches takes one mask of all queries by all keys, which costs the square of
the batch, and in which what one request computes can reach another if it is no number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch.nn import functional as F
from transformers import AttentionInterface
from transformers.generation.continuous_batching.cache import PagedAttentionCache
from transformers.generation.continuous_batching.requests import RequestState

from longshore.workers.generate.engines.attention.shared_pages import share_pages

#: The name that a model's configuration has for it.
ATTENTION: Final = "longshore_paged"
_INT32: Final = 2**31
#: Requests with one new token that are computed together on a CPU. More of them differ more in length, and are padded
#: more; on a GPU a call costs more than that.
_CPU_GROUP: Final = 16


@dataclass(frozen=True)
class PageSpan:
    """Where a request lies in a batch: its new tokens, and the keys that they look at, which end with their own."""

    query_start: int
    query_length: int
    key_start: int
    key_length: int
    #: The pages of its keys, without that of its last one.
    pages: Sequence[int] = ()


@dataclass(frozen=True)
class _Decoding:
    """Requests with one new token each, whose keys are about as many: they are computed together, padded."""

    #: Where their new tokens lie in the batch.
    rows: torch.Tensor
    #: Where the keys that they share lie, and then their other keys, ``(shared + requests * longest,)``. Behind the end
    #: of a request's keys is any place that exists.
    keys: torch.Tensor
    #: Which of the other keys are keys of the request, ``(requests, 1, 1, longest)``; ``None``: all.
    mask: torch.Tensor | None
    #: Keys that all of them begin with, and that are looked at once.
    shared: int = 0


class AttentionPlan:
    """The requests of a batch, as layers of one kind see them.

    :param window: keys that a token looks at, with its own; ``None``: all.
    :param places: where the keys of the batch lie in the cache; ``None``: the layer gets them one after the other.
    :param page_size: tokens of a page.
    """

    def __init__(
        self,
        spans: list[PageSpan],
        window: int | None,
        places: torch.Tensor | None,
        device: torch.device,
        page_size: int,
    ) -> None:
        self.window = window
        self.places = places
        self.longer = [span for span in spans if span.query_length > 1]
        single = sorted((span for span in spans if span.query_length == 1), key=lambda span: span.key_length)
        self.decoding: list[_Decoding] = []
        if device.type == "cpu" and places is not None:
            groups = share_pages([span.pages for span in single])
            for group in groups:
                self._divide([single[each] for each in sorted(group.members)], device, group.pages * page_size)
            grouped = {each for group in groups for each in group.members}
            single = [span for number, span in enumerate(single) if number not in grouped]
        self._divide(single, device)

    def _divide(self, spans: list[PageSpan], device: torch.device, shared: int = 0) -> None:
        size = _CPU_GROUP if device.type == "cpu" else len(spans) or 1
        self.decoding += [self._group(spans[at : at + size], device, shared) for at in range(0, len(spans), size)]

    def _group(self, spans: list[PageSpan], device: torch.device, shared: int) -> _Decoding:
        lengths = torch.tensor([[span.key_length - shared] for span in spans])
        starts = torch.tensor([[span.key_start + shared] for span in spans])
        positions = torch.arange(int(lengths.max()))
        keys = (starts + torch.minimum(positions, lengths - 1)).flatten().to(device)
        if shared:
            keys = torch.cat([torch.arange(spans[0].key_start, spans[0].key_start + shared), keys])
        equal = bool((lengths == lengths[0]).all())
        return _Decoding(
            torch.tensor([span.query_start for span in spans], device=device),
            keys if self.places is None else self.places[keys],
            None if equal else (positions < lengths)[:, None, None, :].to(device),
            shared,
        )


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
        #: Memory that is taken for a copy of keys or values again and again: fresh pages would cost more than the copy.
        self._copies = (self.cache_tensor.new_empty(0), self.cache_tensor.new_empty(0))
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

    def select(self, number: int, states: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Copy keys or values, ``(tokens, heads, width)``, from their places. Valid until the next call for the same.

        :param number: 0 for keys, and 1 for values.
        """
        shape = (len(places), *states.shape[1:])
        nbytes = shape[0] * shape[1] * shape[2] * states.itemsize
        if len(self._copies[number]) < nbytes:
            fresh = self.cache_tensor.new_empty(nbytes + nbytes // 4)
            self._copies = (fresh, self._copies[1]) if number == 0 else (self._copies[0], fresh)
        copied = self._copies[number][:nbytes].view(states.dtype).view(shape)
        return torch.index_select(states, 0, places, out=copied)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, kwargs: dict[str, Any]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Called by a layer, or by its attention, with its new keys and values, ``(1, heads, tokens, width)``.

        :param kwargs: what the attention gets: the states that it looks at are added.
        """
        allocator = self.layer_to_allocator[layer_idx]
        plan = self.plans[allocator.layer_type]
        if plan.places is None:
            states = super().update(key_states, value_states, layer_idx, kwargs)
            keys, values = (each[0].transpose(0, 1) for each in states)
        else:
            keys, values = (pages.flatten(0, 1) for pages in allocator.get_cache_for_block_table(layer_idx))
            writes = kwargs["write_index"][allocator.index]
            keys.index_copy_(0, writes, key_states[0].transpose(0, 1))
            values.index_copy_(0, writes, value_states[0].transpose(0, 1))
        kwargs["planned"] = PlannedStates(self, plan, keys, values)
        return key_states, value_states

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


@dataclass(frozen=True)
class _Beginning:
    """The keys and values that all requests of a group begin with, ``(heads, tokens, width)``."""

    key: torch.Tensor
    value: torch.Tensor


@dataclass(frozen=True)
class PlannedStates:
    """What the attention of a layer looks at."""

    cache: PlannedCache
    plan: AttentionPlan
    #: ``(tokens, heads, width)``: of the batch, or of the whole cache if the plan has places.
    keys: torch.Tensor
    values: torch.Tensor


def paged_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    cache: PlannedCache | None = None,
    **batch: object,
) -> tuple[torch.Tensor, None]:
    """What a layer calls with its queries, keys and values, ``(1, heads, tokens, width)``.

    :returns: ``(1, tokens, heads, width)``.
    """
    if cache is not None:  # before transformers 5.24, layers leave it to the attention
        cache.update(key_states=key, value_states=value, layer_idx=int(module.layer_idx), kwargs=batch)  # type: ignore[arg-type]
    planned = batch.get("planned")
    if not isinstance(planned, PlannedStates) or s_aux is not None:
        raise NotImplementedError("its attention has sinks, or no cache")
    cache, plan, keys, values = planned.cache, planned.plan, planned.keys, planned.values
    heads, groups, width = query.shape[1], query.shape[1] // key.shape[1], query.shape[3]
    output = query.new_empty((query.shape[2], heads, width))
    for group in plan.decoding:
        count = len(group.rows)
        # Queries of heads that share their keys are rows of one product.
        own = query[0, :, group.rows].transpose(0, 1).reshape(count, -1, groups, width)
        chosen_k, chosen_v = (cache.select(number, states, group.keys) for number, states in enumerate((keys, values)))
        mine_k, mine_v = (
            each[group.shared :].view(count, -1, *each.shape[1:]).transpose(1, 2) for each in (chosen_k, chosen_v)
        )
        if group.shared:
            shared_k, shared_v = (each[: group.shared].transpose(0, 1) for each in (chosen_k, chosen_v))
            beginning = _Beginning(shared_k, shared_v)
            attended = _attend_shared(own, beginning, mine_k, mine_v, group.mask, scaling, softcap)
        else:
            attended = _attend(own, mine_k, mine_v, group.mask, scaling, softcap)
        output[group.rows] = attended.reshape(count, heads, width)
    for span in plan.longer:
        own = query[:, :, span.query_start : span.query_start + span.query_length]
        among = slice(span.key_start, span.key_start + span.key_length)
        mine_k, mine_v = (
            (states[among] if plan.places is None else cache.select(number, states, plan.places[among]))
            .transpose(0, 1)
            .repeat_interleave(groups, 0)[None]
            for number, states in enumerate((keys, values))
        )
        attended = _attend(own, mine_k, mine_v, _causal(span, plan.window, query.device), scaling, softcap)
        output[span.query_start : span.query_start + span.query_length] = attended[0].transpose(0, 1)
    return output[None], None


def _causal(span: PageSpan, window: int | None, device: torch.device) -> torch.Tensor:
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
    scores = _capped(query @ key.transpose(2, 3) * _scale(query, scaling), softcap)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(3, dtype=torch.float32).to(value.dtype) @ value


def _attend_shared(
    query: torch.Tensor,
    beginning: _Beginning,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float | None,
) -> torch.Tensor:
    """:func:`_attend`, where all requests look at the same keys first: of these, one product serves all of them.

    Juravsky et al., "Hydragen: High-Throughput LLM Inference with Shared Prefixes", 2024,
    https://arxiv.org/abs/2402.05099
    """
    count, heads, groups, width = query.shape
    query = query.float() * _scale(query, scaling)
    together = query.transpose(0, 1).reshape(heads, count * groups, width)
    first = (together @ beginning.key.float().transpose(1, 2)).view(heads, count, groups, -1).transpose(0, 1)
    then = _capped(query @ key.float().transpose(2, 3), softcap)
    if mask is not None:
        then = then.masked_fill(~mask, -torch.inf)
    shares = torch.cat([_capped(first, softcap), then], 3).softmax(3)
    boundary = first.shape[3]
    first, then = shares[..., :boundary], shares[..., boundary:]
    sums = first.transpose(0, 1).reshape(heads, count * groups, -1) @ beginning.value.float()
    sums = sums.view(heads, count, groups, width).transpose(0, 1)
    return (sums + then @ value.float()).to(value.dtype)


def _scale(query: torch.Tensor, scaling: float | None) -> float:
    return float(query.shape[3] ** -0.5) if scaling is None else scaling


def _capped(scores: torch.Tensor, softcap: float | None) -> torch.Tensor:
    return scores if softcap is None else torch.tanh(scores / softcap) * softcap


AttentionInterface.register(ATTENTION, paged_attention)
