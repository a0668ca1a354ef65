"""Exported programs on the columns of tables, in ONNX Runtime and PyTorch, against Longshore row by row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from torch import nn

from longshore.producers.models.importing import read_import
from longshore.shared.datasets.columns.matrix import to_matrix
from longshore.shared.datasets.preprocess.categories import category_codes, encode_categories
from longshore.shared.specs.jobs import InlineInput
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.transforms import CategoryTransform, DateTransform, NumberTransform
from longshore.shared.store.blobs import describe
from longshore.shared.store.manifest import Manifest
from longshore.workers.families.model import STANDARDIZE, assemble, build_network
from longshore.workers.families.raw_columns import RawColumns
from longshore.workers.families.registry import get_family
from longshore.workers.families.standardize import Standardize
from longshore.workers.families.weights import save_weights
from longshore.workers.jobs.export import write_program
from longshore.workers.runtimes.base import Execution
from longshore.workers.runtimes.family import build_module, load
from longshore.workers.runtimes.loading import load as load_version
from longshore.workers.train.data.dataset import Tables, read_training_data
from tests.differential.cases import COMPARED, seeds

CPU = torch.device("cpu")
ROWS = 300
#: Names that programs use themselves, and that are no identifiers.
NAMES = (
    "output",
    "output_",
    "program/input_0",
    "input_0",
    "linear",
    "network.body.0.bias",
    "größe in m²",
    "a:0",
    "'年'",
)
WORDS = (
    *("red", "Red", " red", "grün", "青", "🙂", "a'b\"c", "x\ny", "nan", "e\u0301", "é", "output"),
    *("1", "1.0", "01", "01.0", "-2", "-2.0", "2.5", "true", "True", "FALSE", "False", "true.0", "١", "٣.0"),
)
#: Values at which numbers and dates are wrong first.
NUMBERS = (0.0, -0.0, 1e-300, 1e-12, -1e-7, 1e30, -1e30, 1e39, -1e300, 1.7e308, np.inf, -np.inf, np.nan)
DATES = ("0001-01-01", "1969-12-31T23:59:59.999999", "1970-01-01", "2000-02-29T12:00", "9999-12-31", None)

Values = npt.NDArray[np.float64]
Option = dict[str, object]
Column = tuple[pa.Array, pa.Array, Option | None]


def holes(random: np.random.Generator, rows: int, share: float) -> npt.NDArray[np.bool_]:
    chosen: npt.NDArray[np.bool_] = random.random(rows) < share
    return chosen


def numbers(random: np.random.Generator) -> Column:
    """Numbers to train on, others, and how they are preprocessed."""
    center, spread = random.choice([0.0, -3.0, 1.7e9]), random.choice([1e-3, 1.0, 300.0])
    draw = random.choice(["normal", "skewed", "few", "same"])

    def values(rows: int) -> Values:
        normal = random.normal(size=rows)
        made = {"normal": normal, "skewed": np.exp(3 * normal), "few": normal.round(), "same": np.zeros(rows)}[draw]
        whole: Values = center + spread * made
        return whole

    train, other = values(ROWS), values(ROWS)
    spots = random.integers(ROWS, size=2 * len(NUMBERS))
    other[spots] = NUMBERS * 2
    share = random.choice([0.0, 0.1])
    option: Option = {"scale": str(random.choice(["none", "log", "quantile"]))}
    if share:
        option["missing"] = random.choice(np.array(["median", "mean", -1.5], object))
        option["indicator"] = bool(random.random() < 0.5)
    return (
        pa.array(train, mask=holes(random, ROWS, share)),
        pa.array(other, mask=holes(random, ROWS, 0.1)),
        None if share and random.random() < 0.3 else option,
    )


def categories(random: np.random.Generator) -> Column:
    kind = random.choice(["text", "whole", "dictionary"])
    known = random.choice(WORDS, size=random.integers(2, 9), replace=False)

    def values(rows: int, choices: npt.NDArray[np.str_] | list[str]) -> pa.Array:
        mask = holes(random, rows, random.choice([0.0, 0.1]))
        if kind == "whole":
            return pa.array(random.integers(len(choices), size=rows), mask=mask)
        texts = pa.array(random.choice(choices, size=rows), mask=mask)
        return texts if kind == "text" else texts.dictionary_encode()

    option: Option = {"kind": "category", "encoding": str(random.choice(["one_hot", "embedding"]))}
    return values(ROWS, known), values(ROWS, [*WORDS, ""]), option


def dates(random: np.random.Generator) -> Column:
    unit, zone = random.choice(["s", "ms", "us"]), random.choice(np.array([None, "Europe/Berlin"], object))
    stamp = pa.timestamp(str(unit), zone)
    parts = random.permutation(["time", "season", "weekday", "hour"])[: random.integers(1, 5)]
    share = random.choice([0.0, 0.1])
    seconds = (random.random(ROWS) * 1e8 + 1.5e9).astype("datetime64[s]")
    train = pa.array(seconds, mask=holes(random, ROWS, share)).cast(pa.timestamp(str(unit))).cast(pa.int64())
    other = pa.array(random.choice(np.array(DATES, "datetime64[us]"), size=ROWS), pa.timestamp("us"))
    other = other.cast(pa.timestamp(str(unit)), safe=False)
    option: Option = {"kind": "datetime", "parts": list(map(str, parts))}
    if share:
        option["missing"] = str(random.choice(["median", "mean"]))
        option["indicator"] = bool(random.random() < 0.5)
    return train.cast(stamp), other.cast(pa.int64()).cast(stamp), option


def lists(random: np.random.Generator) -> Column:
    def values() -> pa.Array:
        return pa.FixedSizeListArray.from_arrays(pa.array(random.normal(1e5, 1, size=3 * ROWS)), 3)

    return values(), values(), None


KINDS: tuple[Callable[[np.random.Generator], Column], ...] = (numbers, categories, dates, numbers, lists)


def draw_tables(random: np.random.Generator) -> tuple[pa.Table, pa.RecordBatch, dict[str, Option]]:
    """A table to train on, other rows with its columns, and how they are preprocessed."""
    columns, others, preprocess = {}, {}, dict[str, Option]()
    names = random.choice(NAMES, size=len(KINDS), replace=False).tolist()
    for name, kind in zip(names, KINDS, strict=True):
        # A table of numbers alone may need no preprocessing, and then its program takes one matrix.
        if kind is not dates and random.random() < 0.2:
            continue
        columns[name], others[name], option = kind(random)
        if option is not None:
            preprocess[name] = option
    return pa.table({**columns, "y": random.normal(size=ROWS)}), pa.RecordBatch.from_pydict(others), preprocess


def make_version(
    folder: Path, table: pa.Table, preprocess: Mapping[str, Option], random: np.random.Generator
) -> tuple[Manifest, Path]:
    """A version with random weights, whose preprocessing is fitted to a table."""
    values = {"model": "m", "family": "mlp", "data": InlineInput(block="b", offset=0, rows=ROWS), "target": "y"}
    spec = TrainSpec.model_validate({**values, "preprocess": preprocess or None})
    signature = read_training_data(spec, Tables(table)).signature
    return save_version(folder, signature, table, random)


def save_version(
    folder: Path, signature: Signature, table: pa.Table, random: np.random.Generator
) -> tuple[Manifest, Path]:
    """A version with random weights that standardises the rows of a table."""
    family = get_family("mlp")
    config = family.config.model_validate({"hidden": [16]})
    torch.manual_seed(int(random.integers(2**31)))
    network = build_network(family, config, signature, 1)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    rows = torch.from_numpy(to_matrix(table.combine_chunks().to_batches()[0], signature).values.copy())
    standardize = Standardize.measure(rows, torch.arange(len(rows))).without(signature.unscaled)
    weights = folder / "weights.safetensors"
    save_weights(assemble(network, standardize), weights)
    manifest = Manifest(
        family="mlp",
        config=config.model_dump(mode="json"),
        weights=describe(weights),
        signature=signature,
        created_at="2026-01-01T00:00:00Z",
    )
    return manifest, weights


def raw(batch: pa.RecordBatch, feature: Feature) -> npt.NDArray[Any]:
    """A column as programs take it, made by pandas."""
    array = batch.column(feature.name)
    if feature.width is not None:
        return np.array(array.to_pylist(), np.float64)
    if feature.kind == "category":
        texts = array.cast(pa.string()).to_pandas().astype("string").fillna("")
        return np.array(texts, object)[:, None]
    if feature.kind == "datetime":
        array = array.cast(pa.timestamp("us", array.type.tz)).cast(pa.int64())
    values = array.to_pandas().astype("float64").to_numpy()[:, None]
    return np.array(values / 86_400_000_000 if feature.kind == "datetime" else values)


def assert_same(outputs: npt.NDArray[np.float32], manifest: Manifest, weights: Path, batch: pa.RecordBatch) -> None:
    """The outputs of a program are those of Longshore, and NaN in rows that are errors."""
    runtime = load(manifest, weights, CPU)
    prepared = runtime.prepare(batch)
    good = np.setdiff1d(np.arange(batch.num_rows), list(prepared.errors))
    assert np.isnan(outputs).all(axis=1).sum() == len(prepared.errors)
    expected = runtime.forward(prepared, good).numpy()
    # Rounding is relative to the numbers that the network adds up.
    standardize = build_module(manifest, weights).get_submodule(STANDARDIZE)
    size = standardize(prepared.rows[good]).abs().amax(dim=1, keepdim=True).clamp_min(1).numpy()
    np.testing.assert_array_less(np.abs(outputs[good] - expected), 1e-5 * size)
    COMPARED.add()


@pytest.mark.parametrize("seed", seeds(100))
def test_layers_encode_columns_as_longshore_does(seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    table, batch, preprocess = draw_tables(random)
    manifest, _ = make_version(tmp_path, table, preprocess, random)
    features = tuple(feature for feature in manifest.signature.features if feature.kind != "category")
    signature = manifest.signature.model_copy(update={"features": features})
    for rows in (batch, table.combine_chunks().to_batches()[0]):
        matrix = to_matrix(rows, signature)
        values = matrix.values.copy()
        values[list(matrix.errors)] = np.nan
        columns = [torch.from_numpy(raw(rows, feature).astype(np.float64)) for feature in features]
        encoded = RawColumns(features, nn.Identity())(*columns).numpy()
        np.testing.assert_allclose(encoded, values, rtol=2e-7, atol=1e-7)
        COMPARED.add()
    assert matrix.errors == {}


@pytest.mark.parametrize("seed", seeds(100))
def test_programs_look_categories_up_as_longshore_does(seed: int) -> None:
    random = np.random.default_rng(3000 + seed)
    known = random.choice(WORDS, size=random.integers(1, 9), replace=False).tolist()
    transform = CategoryTransform(categories=tuple(known), missing=bool(random.random() < 0.5))
    texts = [*WORDS, "", "never"]
    codes = category_codes(transform)
    encoded = encode_categories(pa.array(texts), transform).values[:, 0]
    assert [codes.get(text, 0) for text in texts] == encoded.tolist()
    COMPARED.add()


@pytest.mark.parametrize("seed", seeds(6))
def test_onnx_runtime_answers_the_same(seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(1000 + seed)
    table, batch, preprocess = draw_tables(random)
    manifest, weights = make_version(tmp_path, table, preprocess, random)
    program = tmp_path / "model.onnx"
    write_program("onnx", manifest, weights, program)
    session = onnxruntime.InferenceSession(program, providers=["CPUExecutionProvider"])
    names = [source.name for source in session.get_inputs()]
    if not manifest.signature.is_preprocessed:
        assert names == ["input"]  # a table of numbers alone is one matrix, which test_standardize.py compares
        return
    assert names == batch.schema.names
    [output] = session.get_outputs()
    assert output.name.rstrip("_") == "output"
    for rows in (batch, table.combine_chunks().to_batches()[0], batch.slice(5, 1)):
        feed = {feature.name: raw(rows, feature) for feature in manifest.signature.features}
        [outputs] = session.run(None, feed)
        assert_same(outputs, manifest, weights, rows)


def test_an_exported_program_is_imported_again(tmp_path: Path) -> None:
    random = np.random.default_rng(4000)
    table = pa.table(
        {
            "city": random.choice(["Köln", "Paris", "青森"], size=ROWS),
            "age": pa.array(random.normal(40, 9, size=ROWS), mask=holes(random, ROWS, 0.1)),
            "joined": (random.random(ROWS) * 1e8 + 1.5e9).astype("datetime64[s]"),
            "y": random.normal(size=ROWS),
        }
    )
    manifest, weights = make_version(tmp_path, table, {}, random)
    write_program("onnx", manifest, weights, tmp_path / "model.onnx")
    features = (Feature(name="city", kind="text"), Feature(name="age"), Feature(name="joined"))
    described = Signature(features=features, task="regression", target="y")
    imported = read_import(tmp_path / "model.onnx", described)
    by_blob = {blob: imported.files[name] for name, blob in imported.manifest.blobs.items()}
    runtime = load_version(imported.manifest, by_blob.__getitem__, CPU, Execution())
    batch = table.drop_columns("y").combine_chunks().to_batches()[0]
    columns = {feature.name: raw(batch, feature)[:, 0] for feature in manifest.signature.features}
    prepared = runtime.prepare(pa.RecordBatch.from_pydict(columns))
    # Programs get no missing values: those that come from elsewhere may have no use for NaN.
    assert set(prepared.errors) == set(np.flatnonzero(pc.is_null(batch["age"])).tolist())
    assert set(prepared.errors.values()) == {"column 'age': nan is not a finite float64"}
    good = np.setdiff1d(np.arange(ROWS), list(prepared.errors))
    assert_same(runtime.forward(prepared, good).numpy(), manifest, weights, batch.take(pa.array(good)))


@pytest.mark.parametrize(
    ("transform", "column"),
    [
        (CategoryTransform(categories=("a", "é"), missing=True), ["a", "é", "b", None]),
        (NumberTransform(scale="quantile", points=((2.0, 0.5),)), [1.0, 2.0, 3.0, np.inf, None]),
        (DateTransform(parts=("weekday",)), [*map(datetime.fromisoformat, ("1969-12-31", "2024-02-29")), None]),
    ],
)
def test_a_table_of_one_column(
    tmp_path: Path, transform: CategoryTransform | NumberTransform | DateTransform, column: list[object]
) -> None:
    features = (Feature(name="x", kind=transform.kind, transform=transform),)
    batch = pa.RecordBatch.from_pydict({"x": column})
    signature = Signature(features=features, task="regression", target="y")
    manifest, weights = save_version(tmp_path, signature, pa.table(batch), np.random.default_rng(0))
    write_program("onnx", manifest, weights, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for rows in (batch, batch.slice(0, 1)):
        assert_same(session.run(None, {"x": raw(rows, features[0])})[0], manifest, weights, rows)


@pytest.mark.parametrize("seed", seeds(2))
def test_a_program_of_torch_export_answers_the_same(seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(2000 + seed)
    table, batch, preprocess = draw_tables(random)
    chosen = [name for name in batch.schema.names if preprocess.get(name, {}).get("kind") != "category"]
    kept = {name: option for name, option in preprocess.items() if name in chosen}
    manifest, weights = make_version(tmp_path, table.select([*chosen, "y"]), kept, random)
    write_program("pt2", manifest, weights, tmp_path / "model.pt2")
    program = torch.export.load(tmp_path / "model.pt2").module()
    columns = [torch.from_numpy(raw(batch, feature).astype(np.float64)) for feature in manifest.signature.features]
    with torch.no_grad():
        outputs = program(*columns)
    assert_same(outputs.numpy(), manifest, weights, batch)
