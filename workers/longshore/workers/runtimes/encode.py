"""Outputs as JSON, column by column: no Python runs for a row."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
import torch

#: The error of a row whose result JSON cannot hold.
NOT_FINITE = "the model's output is not a finite number"


def label_heads(labels: Iterable[str | int | bool]) -> pa.StringArray:
    """The beginning of the JSON of each class, up to its score."""
    return pa.array([f'{{"label": {json.dumps(label, ensure_ascii=False)}, "score": ' for label in labels], pa.string())


def encode_classes(
    classes: torch.Tensor, scores: torch.Tensor, heads: pa.StringArray, valid: pa.BooleanArray
) -> pa.StringArray:
    """``{"label": ..., "score": ...}`` of each row, null where not ``valid``. Classes and scores are ``(n,)``."""
    return pc.binary_join_element_wise(heads.take(pa.array(classes.numpy())), _texts(scores, valid), "}", "")


def encode_values(values: torch.Tensor, valid: pa.BooleanArray) -> pa.StringArray:
    """``{"value": ...}`` of each row, null where not ``valid``. Values are ``(n,)``."""
    return pc.binary_join_element_wise('{"value": ', _texts(values, valid), "}", "")


def _texts(values: torch.Tensor, valid: pa.BooleanArray) -> pa.StringArray:
    # A null here makes the whole joined row null.
    return pc.if_else(valid, pa.array(values.numpy()), None).cast(pa.string())
