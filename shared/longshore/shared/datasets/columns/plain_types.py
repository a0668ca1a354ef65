"""Converts columns of Arrow's newer types to the types that all functions of Arrow take.

Arrow can hold views, run-end encoded values, list views, narrow decimals and extension types, and can filter, compare
or write only some of them; its cast of list views to lists drops values. So rows are converted as they are read.
The types: https://arrow.apache.org/docs/format/Columnar.html
"""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from longshore.shared.datasets.bounds import check_batch
from longshore.shared.datasets.columns.types import is_binary, is_list, is_number, is_text

#: Decimals of 32 and 64 bits, which pyarrow has only since version 19.
_NARROW_DECIMALS = frozenset({getattr(pa.lib, "Type_DECIMAL32", None), getattr(pa.lib, "Type_DECIMAL64", None)})
#: Names the extension type of a field for readers that know it.
_EXTENSION_NAME = b"ARROW:extension:name"


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type as which a column is read."""
    kinds = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _plain_extension(kind)
    if kinds.is_string_view(kind) or kinds.is_binary_view(kind):
        return pa.large_string() if kinds.is_string_view(kind) else pa.large_binary()
    if kind.id in _NARROW_DECIMALS:
        return pa.decimal128(kind.precision, kind.scale)
    if kinds.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    if kinds.is_dictionary(kind):
        values = plain_type(kind.value_type)
        return kind if values == kind.value_type else pa.dictionary(kind.index_type, values, kind.ordered)
    if is_list(kind):
        values = plain_type(kind.value_type)
        view = kinds.is_list_view(kind) or kinds.is_large_list_view(kind)
        return pa.large_list(values) if view or values != kind.value_type else kind
    if kinds.is_struct(kind):
        fields = [field.with_type(plain_type(field.type)) for field in kind]
        return kind if fields == list(kind) else pa.struct(fields)
    if kinds.is_map(kind):
        key, item = plain_type(kind.key_type), plain_type(kind.item_type)
        return kind if (key, item) == (kind.key_type, kind.item_type) else pa.map_(key, item)
    return kind


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The schema as which rows are read; its metadata stays."""
    fields = [_plain_field(field) for field in schema]
    return schema if fields == list(schema) else pa.schema(fields, metadata=schema.metadata)


def plain_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The same rows in plain types; the same object if they are plain already."""
    schema = plain_schema(batch.schema)
    if schema is batch.schema or schema == batch.schema:
        return batch
    columns = [_as_field(column, field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def plain_table(table: pa.Table) -> pa.Table:
    """The same rows in plain types; the same object if they are plain already."""
    schema = plain_schema(table.schema)
    if schema is table.schema or schema == table.schema:
        return table
    columns = [
        pa.chunked_array([_as_field(chunk, field.type) for chunk in column.chunks], field.type)
        for column, field in zip(table.columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def to_plain(array: pa.Array) -> pa.Array:
    """The same values in the type :func:`plain_type`; the same object if it is plain already."""
    kinds, kind = pa.types, array.type
    target = plain_type(kind)
    if target == kind:
        return array
    if isinstance(kind, pa.BaseExtensionType):
        return _without_extension(array)
    if kinds.is_run_end_encoded(kind):
        # Plain first: the sizes of views cannot be asked for.
        values = to_plain(array.values)
        check_batch("a run-end encoded column", len(array) * _largest(values))
        rows = np.arange(array.offset, array.offset + len(array))
        runs = np.searchsorted(np.asarray(array.run_ends), rows, side="right")
        return values.take(pa.array(runs))
    if kinds.is_dictionary(kind):
        return pa.DictionaryArray.from_arrays(array.indices, to_plain(array.dictionary), ordered=kind.ordered)
    if is_list(kind):
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]))
        return pa.LargeListArray.from_arrays(offsets, to_plain(array.flatten()), type=target, mask=pc.is_null(array))
    if kinds.is_struct(kind):
        children = [to_plain(array.field(index)) for index in range(kind.num_fields)]
        return pa.StructArray.from_arrays(children, fields=list(target), mask=pc.is_null(array))
    return array.cast(target)


def _largest(values: pa.Array) -> int:
    """The size of the largest value in bytes; of nested values, that of all together."""
    if is_binary(values.type) or is_text(values.type):
        return int(pc.max(pc.binary_length(values)).as_py() or 0)
    try:
        return -(-int(values.type.bit_width) // 8)
    except ValueError:  # values of this type have no common size
        return int(values.nbytes)


def _plain_field(field: pa.Field) -> pa.Field:
    kind = plain_type(field.type)
    name = (field.metadata or {}).get(_EXTENSION_NAME)
    if name is not None and is_number(kind) and not pa.types.is_null(kind):
        # An extension type that is not known here: its numbers can mean anything, such as months.
        kind = pa.opaque(kind, name.decode("utf-8", "replace"), "unknown")
        return pa.field(field.name, kind, field.nullable)
    return field if kind == field.type else field.with_type(kind)


def _as_field(array: pa.Array, kind: pa.DataType) -> pa.Array:
    plain = to_plain(array)
    return plain if plain.type == kind else pa.ExtensionArray.from_storage(kind, plain)


def _plain_extension(kind: pa.BaseExtensionType) -> pa.DataType:
    name = kind.extension_name
    if name == "arrow.bool8":
        return pa.bool_()
    if name == "arrow.json":
        return plain_type(kind.storage_type)
    if name == "arrow.fixed_shape_tensor" and kind.permutation is not None:
        return pa.list_(kind.value_type, math.prod(kind.shape))
    storage = plain_type(kind.storage_type)
    return kind if storage == kind.storage_type else storage


def _without_extension(array: pa.Array) -> pa.Array:
    kind = array.type
    if kind.extension_name == "arrow.bool8":
        return array.storage.cast(pa.bool_())
    if kind.extension_name == "arrow.fixed_shape_tensor":
        return _in_logical_order(array)
    return to_plain(array.storage)


def _in_logical_order(array: pa.Array) -> pa.Array:
    """A tensor with its axes in their logical order. They are stored in another one."""
    kind, storage = array.type, array.storage
    size = math.prod(kind.shape)
    order = np.arange(size).reshape(kind.shape).transpose(kind.permutation).reshape(-1)
    starts = (np.arange(len(storage)) + storage.offset) * size
    values = storage.values.take(pa.array((starts[:, None] + order).reshape(-1)))
    return pa.FixedSizeListArray.from_arrays(values, size, mask=pc.is_null(storage))
