"""Standardised rows against scikit-learn's scaler in 64 bits: in memory, streamed, at inference, and exported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
import pyarrow as pa
import pytest
import torch
from sklearn.preprocessing import StandardScaler

from longshore.shared.datasets.columns.matrix import to_matrix
from longshore.shared.specs.jobs import InlineInput
from longshore.shared.specs.train import TrainSpec
from longshore.shared.store.blobs import describe
from longshore.shared.store.manifest import Manifest
from longshore.workers.families.weights import save_weights
from longshore.workers.jobs.export import write_program
from longshore.workers.runtimes.family import load
from longshore.workers.train.data.dataset import Tables, read_training_data
from longshore.workers.train.data.on_device import put_on_device
from longshore.workers.train.data.stream.dataset import read_streams
from longshore.workers.train.data.stream.open import TableSource
from longshore.workers.train.data.stream.reader import StreamSource, cut_runs
from longshore.workers.train.data.stream.splitting import ColumnSplitter
from longshore.workers.train.loop.context import TrainingContext
from longshore.workers.train.loop.pretrained import Pretrained
from longshore.workers.train.loop.trainer import train
from tests.differential.cases import seeds

CPU = torch.device("cpu")
Column = Callable[[npt.NDArray[np.float64]], pa.Array]
#: Ways in which a column can store numbers.
KINDS: tuple[Column, ...] = (
    lambda values: pa.array(values),
    lambda values: pa.array(values.astype(np.int64)),
    lambda values: pa.array(values.astype(np.float32)),
    lambda values: pa.array(values.round(3)).cast(pa.decimal128(20, 3), safe=False),
    lambda values: pa.array(values.astype(np.int64)).dictionary_encode(),
)


def spec(**options: object) -> TrainSpec:
    values = {"model": "m", "family": "linear", "data": InlineInput(block="b", offset=0, rows=1), "target": "y"}
    return TrainSpec.model_validate(values | {"split": "part"} | options)


def exact(array: pa.Array) -> npt.NDArray[np.float64]:
    """The values of a column in 64 bits."""
    plain = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    values: npt.NDArray[np.float64] = plain.cast(pa.float64()).to_numpy()
    return values


@pytest.mark.parametrize("seed", seeds(60))
def test_columns_of_any_size_and_type(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = int(random.choice([20, 300, 5000]))
    columns, train = {}, random.random(rows) < 0.7
    train[:2] = True
    for name in ("a", "b", "c"):
        center, spread = random.choice([0.0, -3.0, 1e5, 1.7e9, -4e12]), random.choice([1e-2, 1.0, 300.0, 1e7])
        draw = random.choice(["normal", "times", "few"])
        values = random.normal(size=rows) if draw == "normal" else np.sort(random.random(rows))
        values = values.round(1) if draw == "few" else values
        columns[name] = KINDS[random.integers(len(KINDS))](center + spread * values)
    y = pa.array(random.normal(size=rows))
    table = pa.table({**columns, "y": y, "part": np.where(train, "train", "validation")})
    asked = spec(features=["a", "b", "c"])
    raw = np.column_stack([exact(column) for column in columns.values()])
    # Scikit-learn takes a spread far from 0 for rounding, and leaves it as it is; without the level it does not.
    level = raw - raw[train][0]
    expected = StandardScaler().fit(level[train]).transform(level)

    data = read_training_data(asked, Tables(table))
    placed = put_on_device(asked, data, CPU)
    assert placed.standardize is not None
    scaled = torch.empty(rows, 3)
    for part, chosen in ((placed.trained, train), (placed.validation, ~train)):
        if part is not None:
            scaled[torch.from_numpy(chosen)] = torch.cat([inputs for inputs, _ in part.in_order(64)])
    # Columns that lose less than a ten-thousandth of their spread stay 32-bit floats.
    np.testing.assert_allclose(scaled, expected, atol=2e-3, rtol=1e-4)
    for position, column in enumerate(columns.values()):
        if pa.types.is_integer(column.type):
            # 24 bits are enough for all but neighbours among millions.
            assert len(torch.unique(scaled[:, position])) >= 0.999 * len(np.unique(raw[:, position]))
    # Inference converts rows as training did, whatever rows it gets.
    some = table.select(["a", "b", "c"]).slice(3, 9).combine_chunks().to_batches()[0]
    again = placed.standardize(torch.from_numpy(to_matrix(some, data.signature).values.copy()))
    assert torch.equal(again, scaled[3:12])

    # A list is converted like the columns that it has.
    joined = pa.FixedSizeListArray.from_arrays(pa.array(raw.ravel()), 3)
    lists = read_training_data(spec(features=["l"]), Tables(pa.table({"l": joined, "y": y, "part": table["part"]})))
    listed = put_on_device(spec(features=["l"]), lists, CPU)
    inputs = torch.cat([inputs for inputs, _ in listed.trained.in_order(64)])
    np.testing.assert_allclose(inputs, expected[train], atol=2e-3, rtol=1e-4)

    source = TableSource(table)
    streams = [StreamSource("data", source, cut_runs(source), ColumnSplitter("part"))]
    streamed = put_on_device(asked, read_streams(asked, streams, lambda: None), CPU)
    inputs = torch.cat([inputs for inputs, _ in streamed.trained.in_order(64)])
    np.testing.assert_allclose(inputs, expected[train], atol=2e-3, rtol=1e-4)


SECONDS = 1_700_000_000 + np.arange(600)


def times(**more: object) -> pa.Table:
    """A class that depends on a time, in which 32-bit floats know 6 numbers."""
    label = np.where((SECONDS // 40) % 15 < 7, "first", "second")
    part = np.where(np.arange(600) % 4 == 0, "validation", "train")
    return pa.table({"at": SECONDS, "x": np.cos(SECONDS), "y": label, "part": part, **more})


def test_a_training_on_times_learns_and_its_programs_answer_the_same(tmp_path: Path) -> None:
    table, asked = times(), spec(family="mlp", features=["at", "x"], epochs=40, learning_rate=0.01, batch_size=32)
    trained = train(asked, Tables(table), TrainingContext(CPU))
    assert trained.metrics["val_accuracy"] > 0.95
    assert trained.notes == ()
    [offset] = trained.signature.features[0].offsets or ()
    assert SECONDS[0] < offset < SECONDS[-1]
    assert trained.signature.features[1].offsets is None

    weights = tmp_path / "weights.safetensors"
    save_weights(trained.module, weights)
    manifest = Manifest(
        family="mlp",
        config=trained.config.model_dump(mode="json"),
        weights=describe(weights),
        signature=trained.signature,
        metrics=trained.metrics,
        created_at="2026-01-01T00:00:00+00:00",
    )
    assert Manifest.parse(manifest.canonical()) == manifest
    runtime = load(manifest, weights, CPU)
    batch = table.select(["x", "at"]).combine_chunks().to_batches()[0]
    answers = runtime.forward(runtime.prepare(batch), slice(0, 600)).numpy()
    assert len(np.unique(answers, axis=0)) > 500
    # Also as texts, with a row that is none, and with a missing one.
    texts = pa.array([*map(str, SECONDS[:-2]), None, "soon"])
    prepared = runtime.prepare(pa.RecordBatch.from_pydict({"at": texts, "x": np.cos(SECONDS)}))
    assert set(prepared.errors) == {598, 599}
    np.testing.assert_array_equal(runtime.forward(prepared, slice(0, 598)), answers[:598])
    raw = np.column_stack([SECONDS.astype(np.float64), np.cos(SECONDS)])
    write_program("onnx", manifest, weights, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"input": raw})[0], answers, atol=1e-4)
    write_program("pt2", manifest, weights, tmp_path / "m.pt2")
    with torch.no_grad():
        program = torch.export.load(tmp_path / "m.pt2").module()(torch.from_numpy(raw))
    np.testing.assert_allclose(program, answers, atol=1e-5)

    # A version trained further keeps the offsets; other times would have others.
    later = times(at=SECONDS + 300)
    base = Pretrained(trained.module.state_dict(), base_signature=trained.signature)
    tuned = train(spec(family="mlp", features=["at", "x"]), Tables(later), TrainingContext(CPU, pretrained=base))
    assert tuned.signature.features == trained.signature.features


def test_values_that_are_lost_are_noted() -> None:
    table = times(z=SECONDS.astype(np.float64))
    notes = read_training_data(spec(features=["at", "x"], standardize=False), Tables(table)).notes
    assert notes == (
        "column 'at' has 600 different values in 600 rows, and 6 as 32-bit floats, in which the network computes; "
        "subtract a constant from the column, or split it",
    )
    target = spec(features=["at", "x"], target="z")
    [note] = read_training_data(target, Tables(table)).notes
    assert note.startswith("column 'z' has 600 different values in 600 rows, and 6 as 32-bit floats")
