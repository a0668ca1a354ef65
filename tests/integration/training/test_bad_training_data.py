"""The table of docs/reference/data-checks.md, row by row, if no other test does: through the client, to the end."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from longshore.producers import Client, Job
from longshore.shared.errors import InvalidInput, JobFailed
from tests.waiting import TIMEOUT_S

INFINITE = float("inf")

Columns = Mapping[str, list[object]]


def rows(count: int = 40, **columns: Sequence[object]) -> dict[str, list[object]]:
    own: dict[str, Sequence[object]] = {"a": [float(n % 7) for n in range(count)], "y": ["p", "q"] * (count // 2)}
    return {name: list(values) for name, values in (own | columns).items()}


def write(path: Path, columns: Columns) -> Path:
    pq.write_table(pa.table(dict(columns)), path)
    return path


def last(job: Job) -> dict[str, float]:
    return {metric.name: metric.value for metric in job.metrics()}


def fails(job: Job, reason: str) -> None:
    """By the worker, with these words, and at once: it would be no better the second time."""
    with pytest.raises(JobFailed, match=reason):
        job.wait(TIMEOUT_S)
    assert [shard.attempt for shard in job.shards()] == [1]


@pytest.mark.parametrize(
    ("columns", "field", "reason"),
    [
        (rows(c=[dt.time(12)] * 40), "features", "column 'c' has"),
        (rows(y=[0.5] * 39 + [INFINITE]), "target", "'y' is not a finite number in row 39;"),
        (rows(y=[0.5] * 37 + [None, 1.0, None]), "target", "has no value in row 37 (and 1 rows more)"),
        (rows(y=[3] * 40), "target", "the one label 3"),
        (rows(0), "data", "there are no rows"),
    ],
)
def test_at_the_call(client: Client, columns: Columns, field: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        client.train("bad", "linear", columns, "y")
    assert refused.value.field == field
    assert reason in refused.value.reason
    assert not [job for job in client.jobs(kind="train") if job.record().model == "bad"]


@pytest.mark.parametrize("name", ["empty.csv", "empty.parquet"])
def test_a_file_without_rows_is_refused_at_the_call(client: Client, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    table = pa.table({"a": pa.array([], pa.float64()), "y": pa.array([], pa.string())})
    if name.endswith(".csv"):
        pa.csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    with pytest.raises(InvalidInput, match=r"^data: .*no rows"):
        client.train("bad", "linear", path, "y")


def test_a_text_that_is_no_number(client: Client, tmp_path: Path) -> None:
    lines = [*(f"{n % 7}.5,{'pq'[n % 2]}" for n in range(5000)), "high,p"]
    (tmp_path / "rows.csv").write_text("\n".join(["a,y", *lines]))
    for features in (None, ["a"]):
        with pytest.raises(InvalidInput, match=r"^data: row 5000: column 'a': 'high' is not a number, .*'category'"):
            client.train("bad", "linear", tmp_path / "rows.csv", "y", features=features)
    number = {"preprocess": {"a": "number"}}
    with pytest.raises(InvalidInput, match=r"^data: row 5000: column 'a': 'high' is not a number; correct or remove"):
        client.train("bad", "linear", tmp_path / "rows.csv", "y", **number)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"^data: .*'a'.*high"):
        client.train("bad", "linear", [{"a": 1.5, "y": "p"}, {"a": 2.5, "y": "q"}, {"a": "high", "y": "p"}], "y")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        (rows(20_000, a=[1.5] * 19_999 + [INFINITE]), r"data: row 19999: column 'a': inf is not a finite"),
        (
            rows(20_000, y=["p", "q"] * 9_999 + ["p", None]),
            r"target: column 'y' has no value in row 19999;",
        ),
        (rows(20_000, y=[0.5] * 19_999 + [INFINITE]), r"target: column 'y' is not .* in row 19999;"),
        (rows(y=["p"] * 40), r"target: column 'y' has the one label 'p'"),
    ],
)
def test_far_down_in_a_file_by_the_worker(
    client: Client, tmp_path: Path, columns: Columns, reason: str, stream: bool
) -> None:
    fails(client.train("far", "linear", write(tmp_path / "rows.parquet", columns), "y", stream=stream), reason)


@pytest.mark.parametrize("stream", [False, True])
def test_a_label_that_only_held_out_rows_have(client: Client, tmp_path: Path, stream: bool) -> None:
    train = write(tmp_path / "train.parquet", rows())
    held_out = write(tmp_path / "val.parquet", rows(4, y=["p", "q", "p", "r"]))
    job = client.train("unseen", "linear", train, "y", validation=held_out, stream=stream)
    fails(job, r"target: column 'y' has 'r' in row 3 .*validation.*a label that is never seen cannot be learned")


def test_fewer_than_two_rows(client: Client) -> None:
    job = client.train("few", "linear", {"a": [1.0], "y": [2.0]}, "y", validation=0)
    fails(job, r"data: rows: 1; training needs at least 2")


def test_one_value_of_a_regression_s_target(client: Client) -> None:
    job = client.train("constant", "linear", rows(y=[2.5] * 40), "y", epochs=2).wait(TIMEOUT_S)
    assert last(job)["val_r2"] == 0


def test_a_class_with_a_single_row_is_trained_on(client: Client) -> None:
    table = rows(y=["p", "q"] * 19 + ["p", "single"])
    job = client.train("single", "linear", table, "y", epochs=2, validation=0.3).wait(TIMEOUT_S)
    assert "val_accuracy" in last(job)
    signature = client.models.get("single:1").manifest["signature"]
    assert isinstance(signature, dict)
    assert signature["labels"] == ["p", "q", "single"]
    outcome = job.record().outcome
    assert outcome is not None
    matrix = outcome["confusion_matrix"]
    assert isinstance(matrix, dict)
    assert isinstance(matrix["counts"], list)
    assert matrix["counts"][2] == [0, 0, 0], "none of it is held out"


def test_as_many_classes_as_rows_are_trained_without_validation(client: Client) -> None:
    table = rows(y=[f"c{n}" for n in range(40)])
    fails(client.train("each", "linear", table, "y"), r"validation: 0.1 of 40 rows in 40 classes holds none out")
    job = client.train("each", "linear", table, "y", epochs=1, validation=0).wait(TIMEOUT_S)
    assert list(last(job)) == ["train_loss"]


def test_integers_of_many_values_are_a_quantity_unless_told(client: Client) -> None:
    table = rows(1200, y=list(range(1200)))
    found = []
    for task in ("auto", "classification"):
        client.train("many", "linear", table, "y", epochs=1, validation=0, task=task).wait(TIMEOUT_S)
        signature = client.models.get("many").manifest["signature"]
        assert isinstance(signature, dict)
        found.append((signature["task"], len(signature["labels"] or ())))  # type: ignore[arg-type]
    assert found == [("regression", 0), ("classification", 1200)]


def test_a_split_column_may_hold_nothing_out(client: Client) -> None:
    job = client.train("all", "linear", rows(part=["train"] * 40), "y", epochs=1, split="part").wait(TIMEOUT_S)
    assert list(last(job)) == ["train_loss"]


@pytest.mark.parametrize("keep", [0, 1])
def test_numbers_so_large_that_the_loss_is_not_finite(client: Client, keep: int) -> None:
    table = rows(y=[1e30] * 20 + [-1e30] * 20)
    job = client.train("huge", "linear", table, "y", keep_checkpoints=keep, validation=0)
    became = r"the loss became inf in epoch 1, step 1; there is no checkpoint; try 0\.0001 or clip_grad_norm=1"
    fails(job, rf"learning_rate: 0\.001: {became}")
