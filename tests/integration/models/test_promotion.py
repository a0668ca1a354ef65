"""Aliases that move only if a condition on metrics holds."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from longshore.producers import Client
from longshore.shared.errors import InvalidInput, NotPromoted
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.models.registry import NewVersion
from longshore.shared.references import ModelReference
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.integration.support import together
from tests.waiting import TIMEOUT_S


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    values = np.random.default_rng(0).normal(size=(400, 2)).astype(np.float32)
    return pa.table({"a": values[:, 0], "b": values[:, 1], "y": np.where(values.sum(axis=1) > 0, "up", "down")})


def test_an_alias_moves_with_the_version_or_not_at_all(client: Client, cluster: Cluster, rows: pa.Table) -> None:
    def train(**options: object) -> dict[str, object]:
        job = client.train("gated", "mlp", rows, "y", alias="production", seed=1, **options).wait(TIMEOUT_S)  # type: ignore[arg-type]
        return {**(job.record().outcome or {}), "id": str(job.id)}

    good = "val_accuracy >= 0.8 and val_accuracy >= production"
    first = train(epochs=40, learning_rate=0.01, promote_if=good)
    assert first["promotion"] == {
        **{"alias": "production", "promoted": True, "previous": None, "condition": good},
        "parts": [
            {"text": "val_accuracy >= 0.8", "holds": True, "said": f"val_accuracy {_accuracy(first):.6g} >= 0.8"},
            {"text": "val_accuracy >= production", "holds": None, "said": "production points at no version yet"},
        ],
    }
    worse = train(epochs=1, learning_rate=1e-6, promote_if="val_accuracy > production")
    assert worse["version"] == 2
    assert client.models.get("gated@production").version == 1
    assert len(client.models.history("gated", "production")) == 1
    note = str(client.job(str(worse["id"])).notes[0])
    assert note.startswith("production stays at version 1: val_accuracy ")
    assert "(gated:1) is false" in note
    shown = CommandLine(cluster.environment)("jobs", "show", str(worse["id"])).out
    assert "production not moved" in shown
    assert "production stays at version 1" in shown
    with pytest.raises(InvalidInput, match="at character 10"):
        client.train("gated", "mlp", rows, "y", alias="production", promote_if="val_loss 3")


def _accuracy(outcome: dict[str, object]) -> float:
    metrics = outcome["metrics"]
    assert isinstance(metrics, dict)
    return float(metrics["val_accuracy"])


def test_a_promotion_by_hand_asks_the_newest_evaluation(
    client: Client, cluster: Cluster, rows: pa.Table, tmp_path: Path
) -> None:
    pq.write_table(rows, tmp_path / "rows.parquet")
    for epochs in (30, 1):
        client.train("byhand", "mlp", rows, "y", epochs=epochs, learning_rate=0.01, seed=1).wait(TIMEOUT_S)
    assert client.models.promote("byhand:1", "production", if_="val_accuracy >= 0.5").version == 1
    with pytest.raises(InvalidInput, match="'balanced_accuracy' is no metric of an evaluation; there are accuracy"):
        client.models.promote("byhand:1", "production", if_="balanced_accuracy >= 0.5")
    assert client.models.get("byhand@production").aliases == ["production"]
    with pytest.raises(NotPromoted, match=r"accuracy .*was not measured"):
        client.models.promote("byhand:2", "production", if_="accuracy >= production")
    # On other rows a version can look better than it is.
    client.evaluate("byhand:1", rows.slice(0, 10)).wait(TIMEOUT_S)
    client.evaluate("byhand:2", tmp_path / "rows.parquet").wait(TIMEOUT_S)
    with pytest.raises(NotPromoted, match=r"production.accuracy \(byhand:1\) was not measured on the same data"):
        client.models.promote("byhand:2", "production", if_="accuracy >= production")
    client.evaluate("byhand:1", tmp_path / "rows.parquet").wait(TIMEOUT_S)
    client.evaluate("byhand:1", rows.slice(0, 10)).wait(TIMEOUT_S)
    with pytest.raises(NotPromoted, match=r"byhand@production stays at version 1: accuracy 0.* is false"):
        client.models.promote("byhand:2", "production", if_="accuracy > production")
    line = CommandLine(cluster.environment)
    refused = line("models", "promote", "byhand:2", "production", "--if", "accuracy > production")
    assert (refused.code, refused.out) == (1, "")
    assert line("models", "promote", "byhand:2", "production", "--if", "accuracy >= 0").code == 0
    assert client.models.get("byhand@production").version == 2


def test_of_versions_that_come_at_once_the_best_is_in_production(ledger: Ledger) -> None:
    """Each decides on what the one before it has left, whoever comes first."""
    values = np.random.default_rng(0).permutation(24) / 24
    start = threading.Barrier(4)

    def add(part: list[float]) -> None:
        start.wait()
        for value in part:
            condition = "val_accuracy > production"
            ledger.models.add(
                NewVersion(
                    model="m",
                    digest=f"{value}",
                    manifest={"metrics": {"val_accuracy": value}},
                    alias="production",
                    promote_if=condition,
                    set_by="me",
                ),
                lambda version: None,
            )

    together(*[lambda part=part: add(part) for part in np.array_split(values, 4)])
    best = ledger.models.resolve(ModelReference.parse("m@production"))
    assert best.manifest["metrics"] == {"val_accuracy": values.max()}
    moves = [move.version for move in ledger.models.alias_history("m", "production")]
    by_number = {each.version: float(each.digest) for each in ledger.models.versions("m")}
    passed = [by_number[version] for version in moves if version is not None]
    assert passed == sorted(passed)
