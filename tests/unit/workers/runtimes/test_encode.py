"""Outputs as JSON."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import torch
from hypothesis import given
from hypothesis import strategies as st

from longshore.workers.runtimes.encode import encode_classes, encode_values, label_heads

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBER = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(
    labels=st.lists(TEXT | st.integers(-(2**63), 2**64) | st.booleans(), min_size=1, max_size=6),
    rows=st.lists(st.tuples(st.integers(0, 5), NUMBER, st.booleans()), max_size=20),
)
def test_classes_read_back_as_they_were(labels: list[str | int | bool], rows: list[tuple[int, float, bool]]) -> None:
    classes = torch.tensor([number % len(labels) for number, _, _ in rows], dtype=torch.int64)
    scores = torch.tensor([score for _, score, _ in rows], dtype=torch.float32)
    valid = pa.array([good for _, _, good in rows], pa.bool_())
    texts = encode_classes(classes, scores, label_heads(labels), valid).to_pylist()
    for text, (number, score, good) in zip(texts, rows, strict=True):
        if not good:
            assert text is None
            continue
        output = json.loads(text)
        label = labels[number % len(labels)]
        assert (output["label"], type(output["label"])) == (label, type(label))
        assert np.float32(output["score"]) == np.float32(score)
        assert list(output) == ["label", "score"]


@given(values=st.lists(NUMBER, max_size=20))
def test_values_read_back_as_they_were(values: list[float]) -> None:
    encoded = encode_values(torch.tensor(values, dtype=torch.float32), pa.array([True] * len(values), pa.bool_()))
    assert [np.float32(json.loads(text)["value"]) for text in encoded.to_pylist()] == values


def test_numbers_are_short() -> None:
    values = torch.tensor([0.98, 1.25, 1 / 3, math.pi])
    texts = encode_values(values, pa.array([True] * 4)).to_pylist()
    assert texts == ['{"value": 0.98}', '{"value": 1.25}', '{"value": 0.33333334}', '{"value": 3.1415927}']
