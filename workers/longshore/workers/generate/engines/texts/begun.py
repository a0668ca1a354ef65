"""Texts that an earlier request has begun, perhaps on another worker: whether a request can go on with them."""

from __future__ import annotations

from longshore.workers.generate.engines.base import BegunText, EngineRequest
from longshore.workers.generate.engines.vocabulary import unknown_token


def begun_text(request: EngineRequest, vocabulary: int) -> BegunText | None:
    """What a request goes on with; ``None``: it begins anew, for it has nothing, or what this request cannot have
    computed.

    :param vocabulary: tokens of the network.
    """
    begun, sampling = request.begun, request.sampling
    if begun is None or not 0 < len(begun.tokens) < sampling.max_tokens:
        return None
    if min(begun.tokens) < 0 or unknown_token(begun.tokens, vocabulary) is not None:
        return None
    if sampling.logprobs is None:
        return BegunText(begun.tokens)
    if begun.logprobs is None or [each.token for each in begun.logprobs] != list(begun.tokens):
        return None
    return begun
