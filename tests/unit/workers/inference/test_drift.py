"""The population stability index, against the definition and on columns of every kind."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch

from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.statistics import ColumnStatistics
from longshore.shared.specs.transforms import CategoryTransform, NumberTransform
from longshore.workers.inference.drift import DriftMonitor, drift_metrics, drift_notes, stability_index
from longshore.workers.runtimes.base import Execution, Matrix
from longshore.workers.runtimes.network import NetworkRuntime
from longshore.workers.train.data.column_statistics import ColumnMeter

FEATURES = (
    Feature(name="list", width=2),
    Feature(name="plain"),
    Feature(name="age", transform=NumberTransform(fill=0.0, indicator=True)),
    Feature(name="color", kind="category", transform=CategoryTransform(categories=("blue", "red"))),
    Feature(
        name="city",
        kind="category",
        transform=CategoryTransform(categories=tuple(f"c{n:03}" for n in range(90)), encoding="embedding", width=4),
    ),
)
SIGNATURE = Signature(features=FEATURES, task="regression", target="y")


def rows(count: int, seed: int) -> npt.NDArray[np.float32]:
    draw = np.random.default_rng(seed)
    missing = draw.random(count) < 0.1
    columns = [
        *draw.normal(size=(2, count)),
        draw.normal(size=count),
        np.where(missing, 0.0, draw.lognormal(size=count)),
        missing,
        draw.integers(0, 3, count),
        draw.integers(0, 91, count),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def measure(*parts: npt.NDArray[np.float32]) -> tuple[ColumnStatistics, ...]:
    meter = ColumnMeter(SIGNATURE)
    for part in parts:
        meter.add(part, np.ones(len(part), bool))
    return meter.measured()


def monitor(statistics: tuple[ColumnStatistics, ...]) -> DriftMonitor:
    device = torch.device("cpu")
    return DriftMonitor(NetworkRuntime(lambda tensor: tensor, 0, SIGNATURE, device, Execution(), statistics=statistics))


def seen(statistics: tuple[ColumnStatistics, ...], *windows: npt.NDArray[np.float32]) -> dict[str, float]:
    drift = monitor(statistics)
    for window in windows:
        drift.add(Matrix(torch.from_numpy(window), {}))
    return drift.indexes


def test_the_index_is_that_of_the_definition() -> None:
    counts, shares = np.array([600, 300, 100]), np.array([0.2, 0.5, 0.3])
    own = counts / 1000
    expected = sum((p - q) * math.log(p / q) for p, q in zip(own, shares, strict=True))
    assert stability_index(counts, shares) == pytest.approx(expected, rel=0.01)  # half a row is added to each range
    assert stability_index(np.array([200, 500, 300]), shares) == 0
    assert 3 < stability_index(np.array([0, 0, 1000]), np.array([1.0, 0.0, 0.0])) < 30


def test_rows_of_the_same_kind_do_not_drift() -> None:
    statistics = measure(rows(2000, 1), rows(1000, 2))
    assert [column.name for column in statistics] == ["plain", "age", "color", "city"]
    assert [len(column.shares) for column in statistics] == [10, 11, 3, 10]
    for column in statistics:
        assert sum(column.shares) == pytest.approx(1, abs=1e-4)
    indexes = seen(statistics, rows(600, 3), rows(600, 4))
    assert set(indexes) == {"plain", "age", "color", "city"}
    assert max(indexes.values()) < 0.1
    assert drift_notes(indexes) == []
    assert drift_metrics(indexes) == {"drift": max(indexes.values())}


@pytest.mark.parametrize(("position", "name"), [(2, "plain"), (3, "age"), (5, "color"), (6, "city")])
def test_a_column_that_changed_is_named(position: int, name: str) -> None:
    statistics = measure(rows(3000, 1))
    changed = rows(1000, 2)
    changed[:, position] = changed[:, position] / 8 if position != 5 else 0
    indexes = seen(statistics, changed)
    assert [each for each, index in indexes.items() if index >= 0.25] == [name]
    assert f"the values of '{name}' are distributed otherwise" in drift_notes(indexes)[0]
    assert drift_metrics(indexes) == {"drift": indexes[name], f"drift.{name}": indexes[name]}


def test_missing_values_are_a_range_of_their_own() -> None:
    statistics = measure(rows(3000, 1))
    changed = rows(1000, 2)
    changed[:600, 4] = 1  # where the value is does not matter
    assert seen(statistics, changed)["age"] > 0.25


def test_few_rows_and_rows_with_errors_say_nothing() -> None:
    statistics = measure(rows(3000, 1))
    assert seen(statistics, rows(400, 2)) == {}
    assert measure(rows(400, 1)) == ()
    drift = monitor(statistics)
    bad = rows(1000, 2)
    bad[100:] = 0
    drift.add(Matrix(torch.from_numpy(bad), dict.fromkeys(range(100, 1000), "null")))
    drift.add(Matrix(torch.from_numpy(rows(900, 3)), {}))
    assert max(drift.indexes.values()) < 0.1


def test_a_version_without_statistics_measures_nothing() -> None:
    assert seen((), rows(1000, 2)) == {}
    assert drift_metrics({}) == {}
