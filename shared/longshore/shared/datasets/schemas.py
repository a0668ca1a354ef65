"""Checks before submission: whether data fits a version, and which features a new version can learn from."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pyarrow as pa

from longshore.shared.datasets.columns.json_values import decode_json, is_json
from longshore.shared.datasets.columns.label_lists import holds_texts
from longshore.shared.datasets.columns.nested_lists import flatten
from longshore.shared.datasets.columns.number_texts import to_numbers
from longshore.shared.datasets.columns.types import is_image, is_list, is_number, is_text, shape_of, stored, type_name
from longshore.shared.datasets.index_columns import index_columns
from longshore.shared.datasets.preprocess.categories import is_category
from longshore.shared.datasets.preprocess.dates import is_date
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.preprocess import ColumnPreprocess
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.validation import shorten

#: The column of image files that a model learns from by default.
IMAGE = "image"
#: How many columns an error lists at most.
MAX_LISTED_COLUMNS = 12


def check_schema(schema: pa.Schema, signature: Signature, field: str = "data") -> None:
    """Check that data has the columns of a signature.

    :raises InvalidInput: a column is missing or has a different type or shape; names ``field`` and the column.
    """
    counts = Counter(schema.names)
    for feature in signature.features:
        kind = type_of_column(schema, counts, feature.name, field)
        if feature.kind != "number":
            _check_other(kind, feature, field)
            continue
        if (feature.reads_digits or feature.transform is not None) and is_text(stored(kind)):
            continue  # a text file, or numbers as text
        shape = shape_of(kind)
        expected = "one number per row" if feature.width is None else f"lists of {feature.width} numbers"
        if shape is None or shape.scalar != (feature.width is None) or shape.size not in (None, feature.numbers):
            if shape is not None and pa.types.is_null(kind):
                continue  # only nulls: reported for each row
            raise InvalidInput(field, f"column {feature.name!r} has {type_name(kind)}, not {expected}")


def _check_other(kind: pa.DataType, feature: Feature, field: str) -> None:
    """Check a column of texts, images, categories or dates."""
    text = is_text(stored(kind)) or is_json(kind)
    fits, expected = {
        "text": (text, "text"),
        "image": (is_image(kind), "image files"),
        "category": (text or is_category(kind), "categories (texts, whole numbers or booleans)"),
        "datetime": (text or is_date(stored(kind)), "dates or times"),
    }[feature.kind]
    if not fits and not pa.types.is_null(kind):
        raise InvalidInput(field, f"column {feature.name!r} has {type_name(kind)}, not {expected}")


def infer_features(
    schema: pa.Schema,
    first: pa.RecordBatch,
    target: str,
    names: Sequence[str] | None = None,
    image_shape: tuple[int, int, int] | None = None,
    split: str | None = None,
    tokens: int | None = None,
    preprocess: Mapping[str, ColumnPreprocess] | None = None,
) -> tuple[Feature, ...]:
    """The input columns of a version to be trained.

    :param first: the first rows; the width of a list column is taken from the first valid list.
    :param names: the columns to predict from; ``None``: all but ``target``, ``split`` and the columns that are an index
        of pandas or have no name, and no texts if there is a column ``image`` of image files.
    :param image_shape: (channels, height, width) that images are decoded to; ``None`` if the family takes no images.
    :param split: the column that assigns rows to splits, if there is one; it is not a feature.
    :param tokens: how many tokens of a text the family reads; ``None`` if it does not read texts.
    :param preprocess: how columns are preprocessed, by name. Without it, a family of numbers learns from texts and
        dates as the rules say; their features have no transform yet, and a text is a category until its rows are read.
    :raises InvalidInput: ``target`` or one of ``features`` is missing, or cannot be learned from.
    """
    counts = Counter(schema.names)
    _check_target(type_of_column(schema, counts, target, "target"), target)
    preprocess = preprocess or {}
    listed = names is not None
    names = _default_names(schema, {target, split}) if names is None else list(names)
    _check_preprocess(schema, names, preprocess, target, listed=listed)
    names = [name for name in names if name not in preprocess or preprocess[name].kind != "drop"]
    if target in names:
        raise InvalidInput("features", f"{target!r} is the target; leave it out of the features")
    if split is not None:
        _check_split(type_of_column(schema, counts, split, "split"), split, target, names)
    if not names:
        index = ", ".join(repr(name) for name in index_columns(schema) if name not in (target, split))
        hint = f" and {index}, an index of the rows; list the features to use it" if index else ""
        raise InvalidInput("features", f"there are no columns besides the target {target!r}{hint}")
    repeated, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise InvalidInput("features", f"{repeated!r} is listed {times} times")
    types = [type_of_column(schema, counts, name, "features") for name in names]
    if tokens is not None and any(is_text(stored(kind)) for kind in types):
        return (_text(names, types, tokens),)
    mixed = tokens is None and image_shape is None
    return tuple(
        (_unfitted(kind, name, preprocess.get(name)) if mixed else None) or _feature(kind, first, name, image_shape)
        for name, kind in zip(names, types, strict=True)
    )


def _check_preprocess(
    schema: pa.Schema, names: Sequence[str], preprocess: Mapping[str, ColumnPreprocess], target: str, *, listed: bool
) -> None:
    for name, how in preprocess.items():
        if name == target:
            raise InvalidInput("preprocess", f"{name!r} is the target; only features are preprocessed")
        if name not in schema.names:
            raise InvalidInput("preprocess", f"no column {name!r}; {list_columns(schema.names)}")
        if name not in names and how.kind != "drop":
            hint = "add it to features" if listed else "name it in features"
            raise InvalidInput("preprocess", f"column {name!r} is not a feature; {hint}, or leave it out here")


def _unfitted(kind: pa.DataType, name: str, how: ColumnPreprocess | None) -> Feature | None:
    """A column that needs a transform, which is fitted later; ``None`` if it does not."""
    wanted = None if how is None else how.implied_kind
    text = is_text(stored(kind)) or is_json(kind)
    if (wanted is None and is_date(stored(kind))) or wanted == "datetime":
        if not (text or is_date(stored(kind))):
            raise InvalidInput("preprocess", f"column {name!r} has {type_name(kind)}, not dates or times")
        if how is not None:
            how.check_kind(name, "datetime")
        return Feature(name=name, kind="datetime")
    if wanted == "text" and not text:
        raise InvalidInput("preprocess", f"column {name!r} has {type_name(kind)}, not text")
    if wanted in ("category", "text") or (wanted is None and text):
        if not (text or is_category(kind)):
            raise InvalidInput("preprocess", f"column {name!r} has {type_name(kind)}, not categories")
        return Feature(name=name, kind="category")
    if wanted == "number" and text:
        return Feature(name=name)
    shape = shape_of(kind)
    if how is not None and (shape is None or not shape.scalar):
        raise InvalidInput("preprocess", f"column {name!r} has {type_name(kind)}, which is not preprocessed")
    if how is not None:
        how.check_kind(name, "number")
    return None


def _check_target(kind: pa.DataType, target: str) -> None:
    outer = stored(kind)
    inner = stored(outer.value_type) if is_list(outer) else outer
    if not (is_text(inner) or is_number(inner) or is_list(inner)):
        raise InvalidInput(
            "target",
            f"column {target!r} holds {kind}; a target holds strings, booleans, integers or floats, or lists of these",
        )


def check_held_out(schema: pa.Schema, features: Sequence[Feature], target: str, kind: pa.DataType, field: str) -> None:
    """Check that validation or test rows from a separate file have the columns of the training rows.

    :param kind: the type of the target in the training rows.
    :param field: the argument that named the rows.
    :raises InvalidInput: a column is missing or has a different type; names ``field``.
    """
    check_schema(schema, Signature(features=tuple(features), task="regression", target=target), field)
    other = type_of_column(schema, Counter(schema.names), target, field)
    if is_text(stored(other)) != is_text(stored(kind)) or _is_scalar(other) != _is_scalar(kind) or _differ(other, kind):
        raise InvalidInput(
            field, f"the target {target!r} has {type_name(other)}, but {type_name(kind)} in the training rows"
        )


def _differ(one: pa.DataType, other: pa.DataType) -> bool:
    """Whether exactly one of two columns has lists of texts, and the other is not a column of empty lists."""
    if holds_texts(one) == holds_texts(other):
        return False
    remaining = stored(other if holds_texts(one) else one)
    return not (is_list(remaining) and pa.types.is_null(remaining.value_type))


def _is_scalar(kind: pa.DataType) -> bool:
    shape = shape_of(kind)
    return shape is not None and shape.scalar


def _check_split(kind: pa.DataType, split: str, target: str, names: Sequence[str]) -> None:
    if split == target:
        raise InvalidInput("split", f"{split!r} is the target; name another column")
    if split in names:
        raise InvalidInput("features", f"{split!r} is the split column; leave it out of the features")
    if not is_text(stored(kind)):
        raise InvalidInput(
            "split",
            f"column {split!r} has {type_name(kind)}, not text; its values must be train, validation or test",
        )


def _default_names(schema: pa.Schema, excluded: Collection[str | None]) -> list[str]:
    index = index_columns(schema)
    names = [name for name in schema.names if name not in excluded and name not in index]
    if IMAGE not in names or not is_image(schema.field(schema.names.index(IMAGE)).type):
        return names
    return [name for name in names if not is_text(stored(schema.field(schema.names.index(name)).type))]


def _image(name: str, shape: tuple[int, int, int] | None) -> Feature:
    if shape is None:
        raise InvalidInput(
            "features",
            f"column {name!r} has image files; train a family that takes images (cnn), and set the size to scale them "
            "to in config.input_shape, for example [3, 32, 32]",
        )
    if shape[0] not in (1, 3):
        raise InvalidInput("config.input_shape", f"{shape[0]} channels; use 3 (RGB) or 1 (grey) for image files")
    return Feature(name=name, width=math.prod(shape), kind="image", shape=shape)


def _text(names: Sequence[str], types: Sequence[pa.DataType], tokens: int) -> Feature:
    """The single text column."""
    if len(names) > 1:
        texts = ", ".join(repr(name) for name, kind in zip(names, types, strict=True) if is_text(stored(kind)))
        raise InvalidInput(
            "features",
            f"{texts} of {len(names)} columns have text; a text must be the only feature: name it, or join the columns",
        )
    return Feature(name=names[0], width=tokens, kind="text")


def _feature(kind: pa.DataType, first: pa.RecordBatch, name: str, image_shape: tuple[int, int, int] | None) -> Feature:
    if is_image(kind):
        return _image(name, image_shape)
    shape = shape_of(kind)
    if shape is None or pa.types.is_null(kind):
        content = type_name(kind) if shape is None else "only nulls"
        example = _example(first, name)
        raise InvalidInput(
            "features", f"column {name!r} has {content}, not numbers{example}; list the features without it"
        )
    if shape.scalar:
        return Feature(name=name)
    width = _first_width(first, name) if shape.size is None else shape.size
    if width == 0:
        raise InvalidInput("features", f"column {name!r} has empty lists")
    return Feature(name=name, width=width)


def _example(first: pa.RecordBatch, name: str) -> str:
    """The first text that is no number, if the column has text: it may be the only one."""
    column = first.column(name)
    if not is_text(column.type):
        return ""
    bad = to_numbers(column.cast(pa.string())).bad
    return f": {shorten(column[int(bad[0])].as_py())} in row {bad[0]}" if len(bad) else ""


def _first_width(first: pa.RecordBatch, name: str) -> int:
    column = first.column(name)
    if is_json(column.type):  # another row of a JSON Lines file is no list, which is reported with its number
        rows = (row for row in decode_json(column) if isinstance(row, list))
        return next((len(row) for row in rows if all(isinstance(item, int | float) for item in row)), 0)
    lists = flatten(column)
    valid = np.flatnonzero(~(lists.is_null | lists.has_null))
    if not len(valid):
        raise InvalidInput(
            "features", f"column {name!r}: none of the first {first.num_rows} rows is a list without nulls"
        )
    return int(np.diff(lists.offsets)[valid[0]])


def type_of_column(schema: pa.Schema, counts: Counter[str], name: str, field: str) -> pa.DataType:
    """The type of a column of the data.

    :param counts: how often each name stands in the schema.
    :param field: the option that names the column.
    :raises InvalidInput: there is no such column, or there are several.
    """
    if name not in counts:
        raise InvalidInput(field, f"no column {name!r}; {list_columns(schema.names)}")
    if counts[name] > 1:
        raise InvalidInput(field, f"{counts[name]} columns are called {name!r}; rename them")
    return schema.field(name).type


def list_columns(names: Sequence[str]) -> str:
    """The columns of the data for an error message, at most :data:`MAX_LISTED_COLUMNS` of them."""
    more = f" and {len(names) - MAX_LISTED_COLUMNS} more" if len(names) > MAX_LISTED_COLUMNS else ""
    return f"the data has {', '.join(map(repr, names[:MAX_LISTED_COLUMNS])) or 'no columns'}{more}"
