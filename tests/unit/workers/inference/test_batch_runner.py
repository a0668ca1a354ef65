"""Windows through a model that counts, fails and runs out of memory for real."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longshore.shared.errors import CorruptBlob, InvalidInput
from longshore.shared.specs.signature import Feature, Signature
from longshore.workers.runtimes.base import Matrix, PreparedRows, RowSelection
from longshore.workers.runtimes.network import NetworkRuntime
from tests.computing import compute

VALUE = Signature(features=(Feature(name="x"),), task="regression", target="y")
CPU = torch.device("cpu")


def rows(*values: float | None) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"x": pa.array(values, pa.float32())})


def runtime(network: Callable[[torch.Tensor], torch.Tensor], signature: Signature = VALUE) -> NetworkRuntime:
    return NetworkRuntime(network, 0, signature, CPU)


def failing_on(*bad: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Doubles its rows, and raises where one of them is bad."""

    def network(batch: torch.Tensor) -> torch.Tensor:
        for value in bad:
            if (batch == value).any():
                raise ValueError(f"cannot do {value:g}")
        return batch * 2

    return network


class Lengths(NetworkRuntime):
    """Rows whose number is their length. Notes the rows of each batch."""

    def __init__(self) -> None:
        super().__init__(lambda batch: batch * 2, 0, VALUE, CPU)
        self.batches: list[list[float]] = []

    def prepare(self, batch: pa.RecordBatch) -> Matrix:
        plain = super().prepare(batch)
        return _Ragged(plain.rows, plain.errors, plain.rows[:, 0].long().numpy())

    def forward(self, prepared: PreparedRows, places: RowSelection) -> torch.Tensor:
        assert isinstance(prepared, Matrix)
        self.batches.append(prepared.take(places)[:, 0].tolist())
        return super().forward(prepared, places)


class _Ragged(Matrix):
    def __init__(self, rows: torch.Tensor, errors: dict[int, str], lengths: np.ndarray[tuple[int], np.dtype[np.int64]]):
        super().__init__(rows, errors)
        object.__setattr__(self, "lengths", lengths)


@settings(deadline=None)
@given(
    values=st.lists(st.none() | st.integers(-9, 9), max_size=40),
    bad=st.sets(st.integers(-9, -3), max_size=3),
    size=st.integers(1, 50),
)
def test_every_row_has_its_output_or_its_error(values: list[int | None], bad: set[int], size: int) -> None:
    def expected(value: int | None) -> str | dict[str, object]:
        if value is None:
            return "null"
        return f"cannot do {value}" if value in bad else {"value": 2.0 * value}

    # A good row first: a model that fails on all rows is another matter.
    outputs, errors = compute(runtime(failing_on(*bad)), rows(9, *values), size)
    for place, value in enumerate([9, *values]):
        key = expected(value)
        if isinstance(key, str):
            assert outputs[place] is None
            assert key in errors[place]
        else:
            assert outputs[place] == key
            assert place not in errors


def test_a_row_to_blame_does_not_cost_the_others_their_batch() -> None:
    outputs, errors = compute(runtime(failing_on(5.0)), rows(*range(10)), 4)
    assert errors == {5: "the model fails on this row: ValueError: cannot do 5"}
    assert outputs == [None if value == 5 else {"value": 2 * value} for value in range(10)]


def test_a_model_that_fails_on_every_row_is_to_blame_itself() -> None:
    calls: list[int] = []

    def network(batch: torch.Tensor) -> torch.Tensor:
        calls.append(len(batch))
        raise RuntimeError("wrong shape")

    with pytest.raises(InvalidInput, match="model: it fails on every row: RuntimeError: wrong shape"):
        compute(runtime(network), rows(*range(1000)), 500)
    assert len(calls) == 17, "one batch and 16 rows of it"


def test_what_no_row_can_be_blamed_for_ends_the_work() -> None:
    def network(batch: torch.Tensor) -> torch.Tensor:
        raise CorruptBlob("gone")

    with pytest.raises(CorruptBlob, match="gone"):
        compute(runtime(network), rows(1, 2))


def test_a_row_that_does_not_fit_alone_has_an_error() -> None:
    def network(batch: torch.Tensor) -> torch.Tensor:
        if (batch == 3).any():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return batch

    outputs, errors = compute(runtime(network), rows(1, 2, 3, 4), 4)
    assert list(errors) == [2]
    assert "out of memory" in errors[2]
    assert [output is None for output in outputs] == [False, False, True, False]


def test_rows_of_like_length_share_a_batch_and_keep_their_places() -> None:
    model = Lengths()
    values = [3.0, 120.0, 4.0, 100.0, None, 5.0]
    outputs, errors = compute(model, rows(*values), 2)
    assert model.batches == [[120.0, 100.0], [5.0, 4.0], [3.0]]
    assert list(errors) == [4]
    assert outputs == [None if value is None else {"value": 2 * value} for value in values]


CLASSES = Signature(features=(Feature(name="x"),), task="classification", target="y", labels=("a", "b", "c"))


def test_other_outputs_than_the_label() -> None:
    def network(batch: torch.Tensor) -> torch.Tensor:
        return torch.cat([batch, -batch, 2 * batch], dim=1)

    outputs, _ = compute(runtime(network, CLASSES), rows(1, -1), top_k=2, logits=True)
    first = torch.softmax(torch.tensor([1.0, -1.0, 2.0]), 0)
    assert outputs[0] == {
        "label": "c",
        "score": pytest.approx(float(first[2])),
        "top_k": [
            {"label": "c", "score": pytest.approx(float(first[2]))},
            {"label": "a", "score": pytest.approx(float(first[0]))},
        ],
        "logits": [1.0, -1.0, 2.0],
    }
    assert outputs[1] is not None
    assert outputs[1]["label"] == "b"
    many, _ = compute(runtime(network, CLASSES), rows(1), top_k=50)
    assert many[0] is not None
    best = many[0]["top_k"]
    assert isinstance(best, list)
    assert [each["label"] for each in best] == ["c", "a", "b"]


def test_embeddings_are_lists() -> None:
    signature = Signature(features=(Feature(name="x"),), task="embedding", target="embedding")
    outputs, errors = compute(runtime(lambda batch: torch.cat([batch, batch / 0], dim=1), signature), rows(1, 0.5), 1)
    assert (outputs, sorted(errors)) == ([None, None], [0, 1])
    outputs, _ = compute(runtime(lambda batch: torch.cat([batch, batch / 0], 1), signature), rows(1), allow_nan=True)
    assert outputs == [{"embedding": [1.0, None]}]
