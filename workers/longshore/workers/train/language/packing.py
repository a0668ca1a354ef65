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
    """Divide documents into pieces of at most ``context`` positions, and put these into blocks.

    A longer document has several pieces, so that each of its tokens is predicted once. If only some tokens of a
    document are learned, it has one piece, and what does not fit is cut off.

    :param packing: put several pieces into a block, where they fit.
    """
    cut = left_out = 0
    if texts.learned is None:
        starts, lengths = _windows(texts, context)
    else:
        kept = np.flatnonzero(_useful(texts, texts.learned, context))
        left_out = texts.documents - len(kept)
        positions = texts.lengths[kept] - 1
        cut = int((positions > context).sum())
        starts, lengths = texts.starts[kept], np.minimum(positions, context)
    if not packing:
        return Blocks(starts, lengths, np.arange(len(starts) + 1), cut, left_out)
    members = _best_fit(lengths, context)
    order = np.array([each for block in members for each in block], np.int64)
    first = np.cumsum([0, *(len(block) for block in members)])
    return Blocks(starts[order], lengths[order], first, cut, left_out)


def _windows(texts: TokenizedTexts, context: int) -> tuple[Integers, Integers]:
    positions = np.maximum(texts.lengths - 1, 0)
    pieces = -(-positions // context)
    document = np.repeat(np.arange(texts.documents), pieces)
    number = np.arange(len(document)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    return texts.starts[document] + number * context, np.minimum(positions[document] - number * context, context)


def _useful(texts: TokenizedTexts, learned: npt.NDArray[np.bool_], context: int) -> npt.NDArray[np.bool_]:
    """Whether a token is learned in the part of each document that fits."""
    borders = zip(texts.starts[:-1].tolist(), texts.starts[1:].tolist(), strict=True)
    return np.array([learned[start + 1 : min(stop, start + 1 + context)].any() for start, stop in borders], np.bool_)


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
