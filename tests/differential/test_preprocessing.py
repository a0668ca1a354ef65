"""The numbers of preprocessed columns against scikit-learn's transformers and pandas' dates."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pytest
import torch
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, QuantileTransformer, StandardScaler

from longshore.shared.datasets.columns.matrix import to_matrix
from longshore.shared.datasets.preprocess.dates import YEAR
from longshore.shared.specs.jobs import InlineInput
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.transforms import DateTransform, NumberTransform
from longshore.shared.vocabulary import DatePart
from longshore.workers.families.lookup import ColumnLookup
from longshore.workers.train.data.dataset import Tables, TrainingData, read_training_data
from longshore.workers.train.data.on_device import put_on_device
from longshore.workers.train.data.stream.dataset import read_streams
from longshore.workers.train.data.stream.open import TableSource
from longshore.workers.train.data.stream.reader import StreamSource, cut_runs
from longshore.workers.train.data.stream.splitting import ColumnSplitter
from tests.differential.cases import COMPARED, seeds

UNITS: tuple[Literal["s", "ms", "us", "ns"], ...] = ("s", "ms", "us", "ns")
CPU = torch.device("cpu")
Doubles = npt.NDArray[np.float64]


def spec(preprocess: dict[str, object], **options: object) -> TrainSpec:
    data = InlineInput(block="b", offset=0, rows=1)
    values = {"model": "m", "family": "linear", "data": data, "target": "y", "split": "part", "preprocess": preprocess}
    return TrainSpec.model_validate(values | options)


def with_target(frame: pd.DataFrame, trained: npt.NDArray[np.bool_]) -> pa.Table:
    """The columns with a target, and a column that says which rows are trained on."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    table = table.append_column("y", pa.array(np.arange(len(frame)) % 7 / 3))
    return table.append_column("part", pa.array(np.where(trained, "train", "validation")))


def standardized(asked: TrainSpec, data: TrainingData, trained: npt.NDArray[np.bool_]) -> torch.Tensor:
    """The rows as the network gets them, in their order."""
    placed = put_on_device(asked, data, CPU)
    assert placed.validation is not None
    rows = torch.empty(len(trained), data.signature.width)
    for part, chosen in ((placed.trained, trained), (placed.validation, ~trained)):
        rows[torch.from_numpy(chosen)] = torch.cat([inputs for inputs, _ in part.in_order(64)])
    return rows


def parts_of(random: np.random.Generator, rows: int) -> npt.NDArray[np.bool_]:
    trained = random.random(rows) < 0.7
    trained[:2], trained[2] = True, False
    return trained


def draw_numbers(random: np.random.Generator, rows: int, holes: float) -> Doubles:
    size, spread = random.choice([0.0, 5.0, -300.0]), random.choice([0.1, 1.0, 40.0])
    values: Doubles = size + spread * random.normal(size=rows)
    if random.random() < 0.3:
        values = np.exp(random.normal(0, 2, rows))
    if random.random() < 0.3:
        values = values.round()
    values[random.random(rows) < holes] = np.nan
    values[:3] = [1.0, 2.0, 3.0]
    return values


def symmetric_log(values: Doubles) -> Doubles:
    logs: Doubles = np.sign(values) * np.log1p(np.abs(values))
    return logs


@pytest.mark.parametrize("seed", seeds(40))
def test_numbers(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = int(random.choice([30, 500]))
    values, trained = draw_numbers(random, rows, random.choice([0.0, 0.2])), parts_of(random, rows)
    missing: Literal["median", "mean"] = random.choice(["median", "mean"])
    constant, scale = bool(random.random() < 0.3), random.choice(["none", "log"])
    fill = 7.5 if constant else missing
    asked = spec({"x": {"missing": fill, "scale": scale}})
    made = standardized(
        asked, read_training_data(asked, Tables(with_target(pd.DataFrame({"x": values}), trained))), trained
    )

    column = values[:, None]
    imputer = SimpleImputer(strategy="constant", fill_value=7.5) if constant else SimpleImputer(strategy=missing)
    steps = [imputer, *([FunctionTransformer(symmetric_log)] if scale == "log" else []), StandardScaler()]
    expected = make_union(make_pipeline(*steps), MissingIndicator(features="all")).fit(column[trained])
    np.testing.assert_allclose(made, expected.transform(column), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("seed", seeds(20))
def test_quantiles(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = int(random.choice([20, 150, 900]))
    values, trained = random.standard_t(2, rows) * 10.0 ** random.integers(-3, 4), parts_of(random, rows)
    asked = spec({"x": {"scale": "quantile"}}, standardize=False)
    data = read_training_data(asked, Tables(with_target(pd.DataFrame({"x": values}), trained)))
    [feature] = data.signature.features
    assert isinstance(feature.transform, NumberTransform)
    count = min(200, int(trained.sum()))
    other = QuantileTransformer(n_quantiles=count, output_distribution="normal", subsample=None)
    other.fit(values[trained][:, None])
    at, scores = np.array(feature.transform.points).T
    np.testing.assert_allclose(at, other.quantiles_[:, 0], rtol=1e-12)
    # Between the points scikit-learn is linear in ranks, and the scores here; at the ends it goes further out.
    np.testing.assert_allclose(scores[1:-1], other.transform(at[1:-1, None])[:, 0], atol=1e-9)
    inner = (values > at[1]) & (values < at[-2])
    np.testing.assert_allclose(data.features[inner, 0], other.transform(values[:, None])[inner, 0], atol=0.12)
    order = np.argsort(values)
    assert (np.diff(data.features[order, 0]) >= 0).all()


@pytest.mark.parametrize("seed", seeds(40))
def test_categories(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, kinds = int(random.choice([40, 400])), int(random.choice([2, 12, 60]))
    names = [f"{random.choice(['a', 'B', 'é', '10', '-'])}{number}" for number in range(kinds)]
    values = random.choice(names, rows, p=random.dirichlet(np.full(kinds, 0.5))).astype(object)
    values[random.random(rows) < random.choice([0.0, 0.1])] = None
    trained = parts_of(random, rows)
    counts = Counter(value for value in values[trained] if value is not None)
    fewest = int(random.choice([1, 2, 5]))
    frequent = sum(count >= fewest for count in counts.values())
    most = int(random.integers(1, kinds + 2))
    ordered = sorted(counts.values(), reverse=True)
    if not frequent or (most < frequent and ordered[most - 1] == ordered[most]):
        most = max(1, frequent)  # of equally frequent ones, the libraries keep different ones
    asked = spec({"x": {"encoding": "one_hot", "min_count": fewest, "max_categories": most}})
    data = read_training_data(asked, Tables(with_target(pd.DataFrame({"x": values}), trained)))
    made = ColumnLookup(data.signature.features)(standardized(asked, data, trained))

    # scikit-learn counts the missing values as a category, which here never is rare; and has one for all rare ones.
    present = trained & np.array([value is not None for value in values])
    limit = most + 1 if frequent > most or frequent < len(counts) else None
    column = values[:, None]
    other = OneHotEncoder(
        handle_unknown="ignore", min_frequency=fewest, max_categories=limit, sparse_output=False, dtype=np.float32
    )
    if not frequent:
        expected = np.zeros((rows, 0), np.float32)
    else:
        other.fit(column[present])
        expected = other.transform(column)
        if other.infrequent_categories_[0] is not None:
            expected = expected[:, :-1]
    if any(value is None for value in values[trained]):
        is_missing = np.array([[value is None] for value in values], np.float32)
        expected = np.hstack([expected, is_missing])
    np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize("seed", seeds(30))
def test_dates(seed: int) -> None:
    random = np.random.default_rng(seed)
    start = pd.Timestamp(random.choice(["1900-01-01", "1969-12-01", "2023-12-20", "2090-02-01"]))
    span = int(random.choice([3, 400, 20_000])) * 86_400 * 10**9
    times = pd.Series(start + pd.to_timedelta(random.integers(0, span, 200), unit="ns"))
    unit = UNITS[random.integers(4)]
    times = times.dt.floor(unit).dt.as_unit(unit)
    zone = (None, "UTC", "America/New_York")[random.integers(3)]
    column = times if zone is None else times.dt.tz_localize("UTC").dt.tz_convert(zone)
    origin = float(random.integers(-1000, 20_000))
    parts: tuple[DatePart, ...] = ("time", "season", "weekday", "hour")
    feature = Feature(
        name="x", kind="datetime", transform=DateTransform(parts=parts, zoned=zone is not None, origin=origin)
    )
    signature = Signature(features=(feature,), task="regression", target="y")
    kept = column.astype(str) if random.random() < 0.3 else column
    [batch] = pa.Table.from_pandas(pd.DataFrame({"x": kept}), preserve_index=False).to_batches()
    made = to_matrix(batch, signature)
    assert made.errors == {}
    seconds = (times - times.dt.normalize()).dt.total_seconds().to_numpy()
    days = (times.dt.normalize() - pd.Timestamp(0)).dt.days.to_numpy() + seconds / 86_400
    np.testing.assert_allclose(made.values[:, 0], (days - origin).astype(np.float32), rtol=1e-6)
    np.testing.assert_array_equal(made.values[:, 3:10], np.eye(7)[times.dt.day_of_week])
    angle = 2 * np.pi * seconds / 86_400
    np.testing.assert_allclose(made.values[:, 10:], np.column_stack([np.sin(angle), np.cos(angle)]), atol=2e-6)
    # A year is 365.2425 days, so that leap days move the day of the year by up to a day and a half.
    year = 2 * np.pi * (times.dt.day_of_year.to_numpy() - 1 + seconds / 86_400) / YEAR
    away = np.angle(np.exp(1j * (np.arctan2(made.values[:, 1], made.values[:, 2]) - year)))
    assert np.abs(away).max() < 2 * np.pi * 1.6 / YEAR


def mixed(random: np.random.Generator, rows: int) -> pd.DataFrame:
    """A table of columns of all kinds, with missing values in some."""
    moments = pd.Timestamp("2023-03-01") + pd.to_timedelta(random.integers(0, 500 * 24, rows), unit="h")
    holes = random.random((3, rows)) < 0.1
    holes[:, :4] = False
    colour, when = random.choice(["red", "green", "blue"], rows).astype(object), pd.Series(moments)
    colour[holes[0]] = None
    return pd.DataFrame(
        {
            "age": np.where(holes[1], np.nan, random.normal(40, 12, rows)),
            "income": random.lognormal(8, 1.5, rows),
            "count": random.integers(0, 30, rows),
            "colour": colour,
            "shop": random.choice([3, 5, 12], rows),
            "member": random.random(rows) < 0.4,
            "when": when.mask(holes[2]),
        }
    )


def date_parts(column: pd.DataFrame) -> Doubles:
    """Day of the week and hour of dates without missing ones."""
    dates = column["when"].dt
    angle = 2 * np.pi * (dates.hour + dates.minute / 60).to_numpy() / 24
    parts: Doubles = np.column_stack([np.eye(7)[dates.day_of_week.to_numpy()], np.sin(angle), np.cos(angle)])
    return parts


def days_of(column: pd.DataFrame) -> Doubles:
    """Days since 1970."""
    days = (column["when"] - pd.Timestamp(0)) / pd.Timedelta(days=1)
    return np.array(days, np.float64)[:, None]


@pytest.mark.parametrize("seed", seeds(20))
def test_whole_tables(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows = int(random.choice([60, 700]))
    frame, trained = mixed(random, rows), parts_of(random, rows)
    how: dict[str, object] = {
        "age": {"missing": "mean"},
        "income": {"scale": "log"},
        "count": "number",
        "shop": "category",
        "member": "category",
        "when": {"missing": "median", "parts": ["time", "weekday", "hour"]},
    }
    asked, table = spec(how), with_target(frame, trained)
    data = read_training_data(asked, Tables(table))
    rows_in_memory = standardized(asked, data, trained)
    made = ColumnLookup(data.signature.features)(rows_in_memory).numpy()

    marked = MissingIndicator(features="all")
    middle = float(np.median(days_of(frame[trained].dropna(subset=["when"]))))
    filled = frame.assign(
        shop=frame["shop"].astype(str),  # as text, 12 comes before 3
        gone=frame["when"].isna().astype(float),
        when=frame["when"].fillna((pd.Timestamp(0) + pd.Timedelta(days=middle)).round("us").as_unit("us")),
    )
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    dates = make_union(
        make_pipeline(FunctionTransformer(days_of), StandardScaler()), FunctionTransformer(date_parts, validate=False)
    )
    other = ColumnTransformer(
        [
            ("age", make_union(make_pipeline(SimpleImputer(strategy="mean"), StandardScaler()), marked), ["age"]),
            ("income", make_pipeline(FunctionTransformer(np.log1p), StandardScaler()), ["income"]),
            ("count", StandardScaler(), ["count"]),
            ("colour", one_hot, ["colour"]),
            ("shop", one_hot, ["shop"]),
            ("member", one_hot, ["member"]),
            ("when", dates, ["when"]),
            ("gone", "passthrough", ["gone"]),
        ],
        sparse_threshold=0,
    )
    COMPARED.add()
    expected = other.fit(filled[trained]).transform(filled)
    # Columns whose missing values the caller asked to fill have an indicator, also if no value is missing.
    np.testing.assert_allclose(made, expected.astype(float), atol=2e-3, rtol=1e-3)

    # A stream fits the same, and gives the network the same rows.
    source = TableSource(table)
    streams = [StreamSource("data", source, cut_runs(source), ColumnSplitter("part"))]
    streamed = read_streams(asked, streams, lambda: None)
    assert streamed.signature == data.signature
    assert set(data.notes) <= set(streamed.notes)
    placed = put_on_device(asked, streamed, CPU)
    inputs = torch.cat([inputs for inputs, _ in placed.trained.in_order(64)])
    torch.testing.assert_close(inputs, rows_in_memory[torch.from_numpy(trained)], atol=1e-5, rtol=1e-5)
