"""Windows of rows that are tokens already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from longshore.shared.datasets.columns.token_ids import ATTENTION_MASK, INPUT_IDS, TOKEN_TYPE_IDS, TOKENS_TYPE
from longshore.workers.runtimes.tokens import Tokens


@dataclass(frozen=True)
class TokenLimits:
    """The tokens that a network takes."""

    #: Tokens of a row.
    longest: int
    #: Ids are below this.
    ids: int
    #: Types are below this; 0: it takes none.
    types: int


def are_given(batch: pa.RecordBatch) -> bool:
    """Whether the rows of a window are tokens."""
    return bool(batch.column(0).type == TOKENS_TYPE)


def read_tokens(batch: pa.RecordBatch, limits: TokenLimits) -> Tokens:
    """The tokens of a window. Padding is left out; a row that the network cannot take has an error."""
    ids: list[Sequence[int]] = []
    types: list[Sequence[int]] = []
    errors: dict[int, str] = {}
    for row, value in enumerate(batch.column(0).to_pylist()):
        try:
            tokens, token_types = _read_row(value or {}, limits)
        except ValueError as error:
            errors[row] = str(error)
            tokens, token_types = [], []
        ids.append(tokens)
        types.append(token_types)
    lengths = np.fromiter(map(len, ids), np.int64, len(ids))
    return Tokens(
        _concatenated(ids),
        np.cumsum(lengths) - lengths,
        lengths,
        errors,
        types=_concatenated(types) if limits.types else None,
    )


def _read_row(value: dict[str, Sequence[int | None] | None], limits: TokenLimits) -> tuple[list[int], list[int]]:
    ids = _numbers(value, INPUT_IDS, limits.ids)
    if not ids:
        raise ValueError(f"column {INPUT_IDS!r}: there are no tokens")
    mask = _numbers(value, ATTENTION_MASK, 2) if value.get(ATTENTION_MASK) is not None else [1] * len(ids)
    types = _numbers(value, TOKEN_TYPE_IDS, max(limits.types, 1)) if value.get(TOKEN_TYPE_IDS) is not None else []
    types = types or [0] * len(ids)
    for name, numbers in ((ATTENTION_MASK, mask), (TOKEN_TYPE_IDS, types)):
        if len(numbers) != len(ids):
            raise ValueError(f"column {name!r}: {len(numbers)} numbers for {len(ids)} tokens")
    length = sum(mask)
    if not length or 0 in mask[:length]:
        raise ValueError(f"column {ATTENTION_MASK!r}: write 1 for each token, and then 0 for padding at the end")
    if length > limits.longest:
        raise ValueError(f"column {INPUT_IDS!r}: {length} tokens, and the version takes {limits.longest}")
    return ids[:length], types[:length]


def _numbers(value: dict[str, Sequence[int | None] | None], name: str, limit: int) -> list[int]:
    numbers: list[int] = []
    for number in value.get(name) or ():
        if number is None or not 0 <= number < limit:
            raise ValueError(f"column {name!r}: {'null' if number is None else number} is not from 0 to {limit - 1}")
        numbers.append(number)
    return numbers


def _concatenated(lists: Sequence[Sequence[int]]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.fromiter((number for each in lists for number in each), np.int64, sum(map(len, lists)))
