"""Classifies column types: numbers, lists of numbers, texts, images or others."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

#: Extension types whose storage says nothing about their values.
_OPAQUE = frozenset({"arrow.opaque", "arrow.uuid", "pandas.interval", "pandas.period"})


@dataclass(frozen=True)
class Shape:
    """The shape of the rows of a numeric column."""

    #: Whether a row is one number, not a list.
    scalar: bool
    #: How many numbers each row has; ``None`` if rows can differ.
    size: int | None


def shape_of(kind: pa.DataType) -> Shape | None:
    """The shape of a column's rows, with nested lists flattened; ``None`` if they are not numbers."""
    kind = stored(kind)
    size: int | None = 1
    scalar = True
    while is_list(kind):
        scalar = False
        width = kind.list_size if pa.types.is_fixed_size_list(kind) else None
        size = None if size is None or width is None else size * width
        kind = stored(kind.value_type)
    return Shape(scalar, size) if is_number(kind) else None


def stored(kind: pa.DataType) -> pa.DataType:
    """The storage type below extension types (such as tensors) and dictionaries, and opaque types as they are."""
    while True:
        if is_opaque(kind):
            return kind
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif pa.types.is_dictionary(kind):
            kind = kind.value_type
        else:
            return kind


def is_opaque(kind: pa.DataType) -> bool:
    """Whether it is an extension type whose values are not the numbers or bytes that it stores, such as UUIDs.

    Lists of numbers and texts of unknown extension types are read as such: most are tensors and texts.
    """
    if not isinstance(kind, pa.BaseExtensionType):
        return False
    storage = kind.storage_type
    single = is_number(storage) or pa.types.is_temporal(storage)
    return kind.extension_name in _OPAQUE or (kind.extension_name != "arrow.bool8" and single)


def is_list(kind: pa.DataType) -> bool:
    """Whether it is a list type of any kind."""
    kinds = pa.types
    return bool(
        kinds.is_list(kind)
        or kinds.is_large_list(kind)
        or kinds.is_fixed_size_list(kind)
        or kinds.is_list_view(kind)
        or kinds.is_large_list_view(kind)
    )


def is_number(kind: pa.DataType) -> bool:
    """Whether values can be numbers. Booleans count as 0 and 1, and a column of nulls as missing numbers."""
    kinds = pa.types
    return bool(
        kinds.is_integer(kind)
        or kinds.is_floating(kind)
        or kinds.is_decimal(kind)
        or kinds.is_boolean(kind)
        or kinds.is_null(kind)
    )


def is_text(kind: pa.DataType) -> bool:
    """Whether it is a string type of any kind."""
    kinds = pa.types
    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind))


def is_binary(kind: pa.DataType) -> bool:
    """Whether it is a bytes type of any kind."""
    kinds = pa.types
    return bool(
        kinds.is_binary(kind)
        or kinds.is_large_binary(kind)
        or kinds.is_binary_view(kind)
        or kinds.is_fixed_size_binary(kind)
    )


def is_image(kind: pa.DataType) -> bool:
    """Whether a column can contain image files: bytes, or structs with a field ``bytes`` as in Hugging Face data."""
    kind = stored(kind)
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = stored(kind.field("bytes").type)
    return is_binary(kind)


def type_name(kind: pa.DataType) -> str:
    """The type for an error message: its common name, and Arrow's name in parentheses."""
    storage = stored(kind)
    if is_opaque(storage):
        return f"values of the extension type {kind.extension_name} ({kind}); convert them to numbers or texts"
    if is_text(storage):
        return f"text ({kind})"
    if pa.types.is_temporal(storage):
        return f"dates or times ({kind})"
    if is_image(storage):
        return f"bytes, such as image files ({kind})"
    shape = shape_of(kind)
    if shape is None:
        return str(kind)
    if shape.scalar:
        return f"one number per row ({kind})"
    return "lists of numbers" if shape.size is None else f"lists of {shape.size} numbers"
