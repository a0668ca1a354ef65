"""Columns that stand in folder names, as Hive writes them: ``year=2024/month=5``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import pyarrow as pa

from longshore.shared.errors import DataError

#: What Hive calls a folder for rows without a value.
_NULL = "__HIVE_DEFAULT_PARTITION__"
_INTEGER = re.compile(r"-?[0-9]{1,18}\Z")


@dataclass(frozen=True)
class Partitions:
    """Some columns that have one value in each file."""

    schema: pa.Schema
    #: The values of each file, in the order of the columns.
    values: tuple[tuple[str | int | None, ...], ...]


def read_partitions(names: Sequence[str]) -> Partitions:
    """The partition columns of files: integers where every value is one, else text.

    :param names: the files' paths below the dataset's folder.
    :raises DataError: the files do not have the same partition columns; names one that differs.
    """
    pairs = [[step.split("=", 1) for step in name.split("/")[:-1] if "=" in step] for name in names]
    keys = [key for key, _ in pairs[0]]
    for name, found in zip(names, pairs, strict=True):
        if [key for key, _ in found] != keys or len(set(keys)) < len(keys):
            raise DataError(f"{name!r} and {names[0]!r} are not in folders of the same partition columns")
    columns = [_typed([found[place][1] for found in pairs]) for place in range(len(keys))]
    kinds = [pa.int64() if any(isinstance(v, int) for v in column) else pa.string() for column in columns]
    schema = pa.schema(list(zip(keys, kinds, strict=True)))
    return Partitions(schema, tuple(zip(*columns, strict=True)) if keys else ((),) * len(names))


def _typed(texts: Sequence[str]) -> list[str | int | None]:
    values = [None if text == _NULL else unquote(text) for text in texts]
    if any(value is not None for value in values) and all(value is None or _INTEGER.match(value) for value in values):
        return [None if value is None else int(value) for value in values]
    return list(values)
