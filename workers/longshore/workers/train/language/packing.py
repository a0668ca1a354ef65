"""Puts documents into blocks of equal length.

A *position* of a document is a token whose next token is known: a document of n tokens has n - 1. A *piece* is a range
of positions of one document; a block has one or more.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from longshore.workers.train.language.token_store import TokenizedTexts

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Blocks:
    """Which pieces each block has."""

    #: The token that each piece starts with, and its positions; int64 ``(pieces,)``, block by block.
    starts: Integers
    lengths: Integers
    #: The first piece of each block, and the end of the last one; int64 ``(blocks + 1,)``.
    first: Integers
    #: Documents that were cut, because they are longer than a block.
    cut: int = 0
    #: Documents that were left out, because no token of theirs is learned.
    left_out: int = 0

    @property
    def count(self) -> int:
        """How many blocks there are."""
        return len(self.first) - 1


def pack(texts: TokenizedTexts, context: int, *, packing: bool) -> Blocks:
    """Divide documents into blocks of at most ``context`` positions.

    If all tokens are learned, a document that does not fit goes on in the next block, so that each token is predicted
    once. Otherwise a document is in one block, and what does not fit is cut off.

    :param packing: put several documents into a block.
    """
    if texts.learned is not None:
        return _whole(texts, context, packing=packing)
    return _filled(texts, context) if packing else _alone(texts, context)


def _filled(texts: TokenizedTexts, context: int) -> Blocks:
    positions = np.maximum(texts.lengths - 1, 0)
    ends = np.cumsum(positions)
    total = int(ends[-1]) if len(ends) else 0
    borders = np.union1d(ends, np.arange(0, total + context, context))
    borders = borders[borders <= total]
    if not len(borders) or borders[0] != 0:
        borders = np.concatenate([[0], borders])
    begins, lengths = borders[:-1], np.diff(borders)
    document = np.searchsorted(ends, begins, side="right")
    starts = texts.starts[document] + begins - (ends[document] - positions[document])
    first = np.searchsorted(begins, np.arange(0, total, context))
    return Blocks(starts, lengths, np.append(first, len(begins)).astype(np.int64))


def _alone(texts: TokenizedTexts, context: int) -> Blocks:
    positions = np.maximum(texts.lengths - 1, 0)
    pieces = -(-positions // context)
    document = np.repeat(np.arange(texts.documents), pieces)
    number = np.arange(len(document)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    lengths = np.minimum(positions[document] - number * context, context)
    return Blocks(texts.starts[document] + number * context, lengths, np.arange(len(document) + 1))


def _whole(texts: TokenizedTexts, context: int, *, packing: bool) -> Blocks:
    learned = texts.learned
    assert learned is not None
    lengths = np.minimum(np.maximum(texts.lengths - 1, 0), context)
    useful = np.array(
        [
            bool(learned[start + 1 : start + 1 + length].any())
            for start, length in zip(texts.starts[:-1], lengths, strict=True)
        ],
        np.bool_,
    )
    kept = np.flatnonzero(useful)
    cut = int((texts.lengths[kept] - 1 > context).sum())
    left_out = texts.documents - len(kept)
    starts, lengths = texts.starts[kept], lengths[kept]
    if not packing:
        return Blocks(starts, lengths, np.arange(len(kept) + 1), cut, left_out)
    members = _best_fit(lengths, context)
    order = np.array([each for block in members for each in block], np.int64)
    first = np.cumsum([0, *(len(block) for block in members)])
    return Blocks(starts[order], lengths[order], first, cut, left_out)


def _best_fit(lengths: Integers, context: int) -> list[list[int]]:
    """Best-fit decreasing: the longest first, each into the block that it leaves the least room in.

    Ding et al., "Fewer Truncations Improve Language Modeling", 2024, https://arxiv.org/abs/2404.10830

    :returns: the documents of each block.
    """
    blocks: list[list[int]] = []
    rooms: list[tuple[int, int]] = []  # sorted: the room that is left, and the block
    for number in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[number])
        found = bisect_left(rooms, (length, -1))
        if found < len(rooms):
            room, block = rooms.pop(found)
            blocks[block].append(number)
        else:
            room, block = context, len(blocks)
            blocks.append([number])
        if room > length:
            insort(rooms, (room - length, block))
    return blocks
