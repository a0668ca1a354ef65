"""Which requests of a step begin with the same pages, so that their attention to these is computed together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

#: Pages that a group must save in a step, at least: with fewer, computing them apart costs as much.
_MIN_SAVED: Final = 24


@dataclass(frozen=True)
class SharedPages:
    """Requests that begin with the same pages."""

    #: Their numbers.
    members: tuple[int, ...]
    #: How many pages all of them begin with.
    pages: int

    @property
    def saved(self) -> int:
        """Pages that are not looked at again for each of them."""
        return (len(self.members) - 1) * self.pages


def share_pages(tables: Sequence[Sequence[int]]) -> list[SharedPages]:
    """Divide requests into groups, so that as many pages as possible are saved; those in no group share too little.

    :param tables: the pages of each request, in the order of its tokens, without those that it is still to write.
    """
    known = sorted((tuple(table), number) for number, table in enumerate(tables))
    return [group for group in _groups(known, 0) if group.saved >= _MIN_SAVED]


def _groups(known: Sequence[tuple[tuple[int, ...], int]], depth: int) -> list[SharedPages]:
    """:param known: sorted; their first ``depth`` pages are equal."""
    groups: list[SharedPages] = []
    start = 0
    while start < len(known):
        table = known[start][0]
        stop = start + 1
        if len(table) > depth:
            while stop < len(known) and known[stop][0][depth : depth + 1] == table[depth : depth + 1]:
                stop += 1
        if stop - start > 1:
            groups += _best(known[start:stop])
        start = stop
    return groups


def _best(known: Sequence[tuple[tuple[int, ...], int]]) -> list[SharedPages]:
    """One group, or several that share more pages each."""
    first, last = known[0][0], known[-1][0]
    common = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), None)
    common = min(len(first), len(last)) if common is None else common
    whole = SharedPages(tuple(number for _, number in known), common)
    parts = _groups(known, common)
    return parts if sum(part.saved for part in parts) > whole.saved else [whole]
