"""Whether data fits a version, and what a new version can learn from data: asked before anything is queued."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np
import pyarrow as pa

from longshore.shared.datasets.columns.label_lists import holds_texts
from longshore.shared.datasets.columns.nested_lists import flatten
from longshore.shared.datasets.columns.types import is_image, is_list, is_text, shape_of, stored, type_name
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Feature, Signature

#: The column whose image files are what a model learns from, where nothing else is said.
IMAGE = "image"
#: Columns that an error lists.
LISTED = 12


def check_schema(schema: pa.Schema, signature: Signature, field: str = "data") -> None:
    """:raises InvalidInput: a column is missing or of another shape; names ``field`` and the column."""
    there = Counter(schema.names)
    for feature in signature.features:
        kind = _type_of(schema, there, feature.name, field)
        if feature.kind != "number":
            _check_other(kind, feature, field)
            continue
        shape = shape_of(kind)
        wanted = "one number a row" if feature.width is None else f"lists of {feature.width} numbers"
        if shape is None or shape.scalar != (feature.width is None) or shape.size not in (None, feature.size):
            if shape is not None and pa.types.is_null(kind):
                continue  # nothing but nulls: each row says so for itself
            raise InvalidInput(field, f"column {feature.name!r} holds {type_name(kind)}, not {wanted}")


def _check_other(kind: pa.DataType, feature: Feature, field: str) -> None:
    """Texts and images."""
    fits = is_text(stored(kind)) if feature.kind == "text" else is_image(kind)
    if not fits and not pa.types.is_null(kind):
        wanted = "text" if feature.kind == "text" else "image files"
        raise InvalidInput(field, f"column {feature.name!r} holds {type_name(kind)}, not {wanted}")


def infer_features(
    schema: pa.Schema,
    first: pa.RecordBatch,
    target: str,
    wanted: Sequence[str] | None = None,
    image_shape: tuple[int, int, int] | None = None,
    split: str | None = None,
    tokens: int | None = None,
) -> tuple[Feature, ...]:
    """The input columns of a version to be trained.

    :param first: some rows; lists take their width from the first that is one.
    :param wanted: the columns to predict from; ``None`` takes all but the target and ``split``, and where there is
        a column ``image`` of image files, no texts.
    :param image_shape: (channels, height, width) that images are decoded to; ``None`` where the family takes none.
    :param split: the column that says which rows are held out, if there is one; it is not learned from.
    :param tokens: of a text that the family reads; ``None`` where it reads none.
    :raises InvalidInput: ``target`` or one of ``features`` is missing, or cannot be learned from.
    """
    there = Counter(schema.names)
    _type_of(schema, there, target, "target")
    names = _default_names(schema, {target, split}) if wanted is None else list(wanted)
    if target in names:
        raise InvalidInput("features", f"{target!r} is the target; to predict it from itself teaches nothing")
    if split is not None:
        _check_split(_type_of(schema, there, split, "split"), split, target, names)
    if not names:
        raise InvalidInput("features", f"none are left besides the target {target!r}")
    repeated, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise InvalidInput("features", f"{repeated!r} stands there {times} times")
    kinds = [_type_of(schema, there, name, "features") for name in names]
    if tokens is not None and any(is_text(stored(kind)) for kind in kinds):
        return (_text(names, kinds, tokens),)
    return tuple(_feature(kind, first, name, image_shape) for name, kind in zip(names, kinds, strict=True))


def check_held_out(schema: pa.Schema, features: Sequence[Feature], target: str, kind: pa.DataType, field: str) -> None:
    """Whether rows to validate or test on, in a file of their own, have the columns of those to train on.

    :param kind: of the target among the rows to train on.
    :raises InvalidInput: a column is missing, or holds something else; names ``field``, which brought the rows.
    """
    check_schema(schema, Signature(features=tuple(features), task="regression", target=target), field)
    given = _type_of(schema, Counter(schema.names), target, field)
    if is_text(stored(given)) != is_text(stored(kind)) or _is_scalar(given) != _is_scalar(kind) or _differ(given, kind):
        raise InvalidInput(
            field,
            f"the target {target!r} holds {type_name(given)}, and {type_name(kind)} in the rows to train on",
        )


def _differ(one: pa.DataType, other: pa.DataType) -> bool:
    """Whether one of two columns holds lists of texts, and the other anything but such lists or empty ones."""
    if holds_texts(one) == holds_texts(other):
        return False
    plain = stored(other if holds_texts(one) else one)
    return not (is_list(plain) and pa.types.is_null(plain.value_type))


def _is_scalar(kind: pa.DataType) -> bool:
    shape = shape_of(kind)
    return shape is not None and shape.scalar


def _check_split(kind: pa.DataType, split: str, target: str, names: Sequence[str]) -> None:
    if split == target:
        raise InvalidInput("split", f"{split!r} is the target; name another column")
    if split in names:
        raise InvalidInput("features", f"{split!r} says which rows are held out, and is nothing to predict from")
    if not is_text(stored(kind)):
        raise InvalidInput(
            "split",
            f"column {split!r} holds {type_name(kind)}, not text; its values are train, validation and test",
        )


def _default_names(schema: pa.Schema, others: Collection[str | None]) -> list[str]:
    names = [name for name in schema.names if name not in others]
    if IMAGE not in names or not is_image(schema.field(schema.names.index(IMAGE)).type):
        return names
    return [name for name in names if not is_text(stored(schema.field(schema.names.index(name)).type))]


def _image(name: str, shape: tuple[int, int, int] | None) -> Feature:
    if shape is None:
        raise InvalidInput(
            "features",
            f"column {name!r} holds image files; train a family that takes them (cnn), and give the size they are "
            "scaled to as config input_shape, as in [3, 32, 32]",
        )
    if shape[0] not in (1, 3):
        raise InvalidInput("config.input_shape", f"{shape[0]} channels; image files give 3 (RGB) or 1 (grey)")
    return Feature(name=name, width=math.prod(shape), kind="image", shape=shape)


def _text(names: Sequence[str], kinds: Sequence[pa.DataType], tokens: int) -> Feature:
    """The one column of text."""
    if len(names) > 1:
        texts = ", ".join(repr(name) for name, kind in zip(names, kinds, strict=True) if is_text(stored(kind)))
        raise InvalidInput(
            "features", f"{texts} of {len(names)} columns hold text; one is read alone: name it, or join them to one"
        )
    return Feature(name=names[0], width=tokens, kind="text")


def _feature(kind: pa.DataType, first: pa.RecordBatch, name: str, image_shape: tuple[int, int, int] | None) -> Feature:
    if is_image(kind):
        return _image(name, image_shape)
    shape = shape_of(kind)
    if shape is None or pa.types.is_null(kind):
        raise InvalidInput(
            "features",
            f"column {name!r} holds {type_name(kind) if shape is None else 'nothing but nulls'}, not numbers; "
            "name the columns to predict from, without it",
        )
    if shape.scalar:
        return Feature(name=name)
    width = _first_width(first, name) if shape.size is None else shape.size
    if width == 0:
        raise InvalidInput("features", f"column {name!r} holds empty lists")
    return Feature(name=name, width=width)


def _first_width(first: pa.RecordBatch, name: str) -> int:
    leaves = flatten(first.column(name))
    whole = np.flatnonzero(~(leaves.null | leaves.holed))
    if not len(whole):
        raise InvalidInput(
            "features", f"column {name!r}: none of the first {first.num_rows} rows is a list without nulls"
        )
    return int(np.diff(leaves.offsets)[whole[0]])


def _type_of(schema: pa.Schema, there: Counter[str], name: str, field: str) -> pa.DataType:
    if name not in there:
        raise InvalidInput(field, f"no column {name!r}; {list_columns(schema.names)}")
    if there[name] > 1:
        raise InvalidInput(field, f"{there[name]} columns are called {name!r}")
    return schema.field(name).type


def list_columns(names: Sequence[str]) -> str:
    """The columns that data has, for an error; not all, if they are many."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"the data has {', '.join(map(repr, names[:LISTED])) or 'no columns'}{more}"
