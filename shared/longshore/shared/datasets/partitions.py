"""Partition columns, which Hive stores in folder names: ``year=2024/month=5``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import pyarrow as pa

from longshore.shared.errors import DataError

#: Hive's folder name for rows without a value.
_NULL = "__HIVE_DEFAULT_PARTITION__"
#: An integer as Python writes it: others, such as 01234, are texts that would lose their characters.
_INTEGER = re.compile(r"(0|-?[1-9][0-9]{0,17})\Z")


@dataclass(frozen=True)
class HivePartitions:
    """Columns with one value per file."""

    schema: pa.Schema
    #: The values of each file, in the order of the columns.
    values: tuple[tuple[str | int | None, ...], ...]


def read_partitions(names: Sequence[str]) -> HivePartitions:
    """The partition columns of files: integers if every value is written as one (``5``, not ``05``), otherwise text.

    :param names: the files' paths relative to the dataset's folder.
    :raises DataError: the files do not have the same partition columns; names a file that differs.
    """
    pairs = [[step.split("=", 1) for step in name.split("/")[:-1] if "=" in step] for name in names]
    keys = [key for key, _ in pairs[0]]
    for name, file_pairs in zip(names, pairs, strict=True):
        if [key for key, _ in file_pairs] != keys or len(set(keys)) < len(keys):
            raise DataError(f"{name!r} and {names[0]!r} are not in folders of the same partition columns")
    columns = [_typed([file_pairs[index][1] for file_pairs in pairs]) for index in range(len(keys))]
    types = [pa.int64() if any(isinstance(v, int) for v in column) else pa.string() for column in columns]
    schema = pa.schema(list(zip(keys, types, strict=True)))
    return HivePartitions(schema, tuple(zip(*columns, strict=True)) if keys else ((),) * len(names))


def _typed(texts: Sequence[str]) -> list[str | int | None]:
    values = [None if text == _NULL else unquote(text) for text in texts]
    if any(value is not None for value in values) and all(value is None or _INTEGER.match(value) for value in values):
        return [None if value is None else int(value) for value in values]
    return list(values)
