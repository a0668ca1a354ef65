"""Tokens that a tokenizer has and a network does not: they would end the computation of a whole batch."""

from __future__ import annotations

from collections.abc import Sequence


def unknown_token(tokens: Sequence[int], vocabulary: int) -> str | None:
    """Why a prompt cannot be run; ``None``: it can.

    :param vocabulary: tokens of the network.
    """
    largest = max(tokens)
    if largest < vocabulary:
        return None
    return (
        f"its prompt has the token {largest} of the tokenizer, but the network has {vocabulary} tokens; leave out the "
        "text of this token"
    )
