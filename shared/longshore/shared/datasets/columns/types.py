"""What column types mean to a model: numbers, lists of numbers, or neither."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True)
class Shape:
    """What a row of a column of numbers holds."""

    #: One number, not a list.
    scalar: bool
    #: Numbers in each row; ``None`` where rows may differ.
    size: int | None


def shape_of(kind: pa.DataType) -> Shape | None:
    """The shape of a column's rows; ``None`` if they are not made of numbers. Nested lists count as flattened."""
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
    """The type below extensions (as tensors are) and dictionaries."""
    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif pa.types.is_dictionary(kind):
            kind = kind.value_type
        else:
            return kind


def is_list(kind: pa.DataType) -> bool:
    kinds = pa.types
    return bool(
        kinds.is_list(kind)
        or kinds.is_large_list(kind)
        or kinds.is_fixed_size_list(kind)
        or kinds.is_list_view(kind)
        or kinds.is_large_list_view(kind)
    )


def is_number(kind: pa.DataType) -> bool:
    """Booleans are 0 and 1; a column of nulls may be numbers that are all missing."""
    kinds = pa.types
    return bool(
        kinds.is_integer(kind)
        or kinds.is_floating(kind)
        or kinds.is_decimal(kind)
        or kinds.is_boolean(kind)
        or kinds.is_null(kind)
    )


def is_text(kind: pa.DataType) -> bool:
    kinds = pa.types
    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind))


def is_binary(kind: pa.DataType) -> bool:
    kinds = pa.types
    return bool(
        kinds.is_binary(kind)
        or kinds.is_large_binary(kind)
        or kinds.is_binary_view(kind)
        or kinds.is_fixed_size_binary(kind)
    )


def is_image(kind: pa.DataType) -> bool:
    """Whether a column can hold image files: bytes, or structs with a field ``bytes``, as Hugging Face writes them."""
    kind = stored(kind)
    if pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = stored(kind.field("bytes").type)
    return is_binary(kind)


def type_name(kind: pa.DataType) -> str:
    """For an error: what people call the type, and what Arrow does."""
    plain = stored(kind)
    if is_text(plain):
        return f"text ({kind})"
    if pa.types.is_temporal(plain):
        return f"dates or times ({kind})"
    if is_image(plain):
        return f"bytes, as of image files ({kind})"
    shape = shape_of(kind)
    if shape is None:
        return str(kind)
    if shape.scalar:
        return f"one number a row ({kind})"
    return "lists of numbers" if shape.size is None else f"lists of {shape.size} numbers"
