"""Rows that are tokens already, as a tokenizer of transformers gives them, in place of texts.

They travel in the column of the texts, as structs of the three lists, so that everything between the caller and the
network handles them as any column.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import pyarrow as pa

from longshore.shared.datasets.columns.types import is_list, stored, type_name
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.families import TOKENISED
from longshore.shared.specs.signature import Signature

INPUT_IDS, ATTENTION_MASK, TOKEN_TYPE_IDS = TOKENISED
#: The type of a column of tokens.
TOKENS_TYPE: Final = pa.struct([(name, pa.list_(pa.int64())) for name in TOKENISED])


def has_token_ids(names: Collection[str], signature: Signature) -> bool:
    """Whether rows have tokens in place of the texts that a version reads."""
    return signature.is_text and INPUT_IDS in names and signature.features[0].name not in names


def pack_token_ids(table: pa.Table, signature: Signature) -> pa.Table:
    """Rows of tokens in the columns that a version reads.

    :raises InvalidInput: a column does not have lists of integers, or the version needs texts; names ``data``.
    """
    if signature.task == "tokens":
        raise InvalidInput("data", f"{INPUT_IDS!r}: the version gives places in texts; give texts")
    lists = [_lists(table, name) for name in TOKENISED]
    packed = pa.StructArray.from_arrays(lists, fields=list(TOKENS_TYPE))
    first, *second = (feature.name for feature in signature.features)
    table = table.append_column(first, packed)
    for name in second:  # the tokens of a pair are in one list
        table = table.append_column(name, pa.nulls(table.num_rows, pa.string()))
    return table


def _lists(table: pa.Table, name: str) -> pa.Array:
    if name not in table.column_names:
        return pa.nulls(table.num_rows, pa.list_(pa.int64()))
    column = table.column(name).combine_chunks()
    kind = stored(column.type)
    if pa.types.is_null(kind):
        return column.cast(pa.list_(pa.int64()))
    if not (is_list(kind) and (pa.types.is_integer(kind.value_type) or pa.types.is_null(kind.value_type))):
        raise InvalidInput("data", f"column {name!r} has {type_name(column.type)}, not lists of whole numbers")
    try:
        return column.cast(pa.list_(pa.int64()))
    except pa.ArrowException:
        raise InvalidInput("data", f"column {name!r} has numbers that are no ids of tokens") from None
