"""The error for a row that cannot be trained on."""

from __future__ import annotations

from longshore.shared.errors import InvalidInput
from longshore.shared.specs.signature import Signature


def bad_row(field: str, row: int, reason: str, signature: Signature) -> InvalidInput:
    """The error that names a row and the remedy.

    :param field: the argument that brought the row.
    :param row: its number, from 0.
    :param reason: what is wrong with it; names the column.
    """
    for feature in signature.features:
        missing = (f"column {feature.name!r}: null", f"column {feature.name!r}: nan is not a finite float32")
        if feature.kind == "number" and feature.width is None and reason in missing:
            replaced = f"preprocess={{{feature.name!r}: {{'missing': 'median'}}}}"
            return InvalidInput(field, f"row {row}: {reason}; correct or remove it, or give {replaced}")
    return InvalidInput(field, f"row {row}: {reason}; correct or remove it")
