"""Any number of labels a row: from the client's call to rows in Postgres, and measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as sk

from longshore.producers import Client, Job
from longshore.shared.errors import InvalidInput, JobFailed
from longshore.shared.ledger.ledger import Ledger
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.waiting import TIMEOUT_S

LABELS = ("big", "odd", "prime")


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    """Digits with what is true of them; nothing is of 0 and 4."""
    images, shown = digits.digits()
    return digits.table(images).append_column("true", pa.array([labels_of(int(digit)) for digit in shown]))


def labels_of(digit: int) -> list[str]:
    held = {"odd": digit % 2 == 1, "big": digit > 4, "prime": digit in (2, 3, 5, 7)}
    return [name for name, holds in held.items() if holds]


def matrix(sets: list[list[str]]) -> np.ndarray:
    return np.array([[label in each for label in LABELS] for each in sets])


@pytest.fixture(scope="module")
def trained(client: Client, rows: pa.Table) -> Job:
    """sets:1, from rows in memory; the task is told by the column."""
    options = {"epochs": 12, "test": 0.1, "learning_rate": 3e-3, "metrics": ["f1", "subset_accuracy"]}
    gate = {"alias": "production", "promote_if": "test_f1 > 0.5 and val_subset_accuracy > 0.5"}
    return client.train("sets", "mlp", rows, "true", **options, **gate).wait(TIMEOUT_S)  # type: ignore[arg-type]


def test_rows_get_labels_in_postgres(client: Client, trained: Job, rows: pa.Table) -> None:
    names = {metric.name for metric in trained.metrics()}
    assert {"val_loss", "val_f1", "val_subset_accuracy", "test_f1"} <= names
    outcome = trained.record().outcome or {}
    assert "confusion_matrix" not in outcome
    version = client.models.get("sets@production")
    signature = version.manifest["signature"]
    assert isinstance(signature, dict)
    assert (signature["task"], signature["labels"]) == ("multilabel", list(LABELS))

    job = client.infer("sets@production", rows, top_k=1).wait(TIMEOUT_S)
    with Ledger(client.settings.database_url) as ledger:
        stored = [json.loads(record.output) for record in ledger.queries.results(job.id)]
    assert len(stored) == len(rows)
    for output in stored[:200]:
        assert output["scores"] == sorted(output["scores"], reverse=True)
        assert all(score >= 0.5 for score in output["scores"])
        assert len(output["labels"]) == len(output["scores"])
        assert output["top_k"][0]["label"] == output["labels"][0] if output["labels"] else True
    truth, given = matrix(rows["true"].to_pylist()), matrix([output["labels"] for output in stored])
    assert sk.f1_score(truth, given, average="macro") > 0.93
    assert any(not output["labels"] for output in stored)
    found = job.results()
    assert found["labels"].to_pylist() == [output["labels"] for output in stored]
    assert found.to_arrow().schema.field("labels").type == pa.list_(pa.string())

    strict = client.infer("sets", rows, threshold=0.9).wait(TIMEOUT_S).results()["labels"].to_pylist()
    for few, many in zip(strict, found["labels"].to_pylist(), strict=True):
        assert few == many[: len(few)]
    assert sum(map(len, strict)) < sum(len(output["labels"]) for output in stored)


def test_files_and_single_rows(client: Client, trained: Job, rows: pa.Table, tmp_path: Path) -> None:
    pq.write_table(rows, tmp_path / "rows.parquet")
    client.infer("sets", tmp_path / "rows.parquet", output=str(tmp_path / "out/*.parquet")).wait(TIMEOUT_S)
    client.infer("sets", tmp_path / "rows.parquet", output=str(tmp_path / "lines/*.jsonl")).wait(TIMEOUT_S)
    table = pq.read_table(tmp_path / "out")
    lines = [
        json.loads(line)
        for path in sorted((tmp_path / "lines").glob("*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]
    assert table["labels"].to_pylist() == [line["labels"] for line in lines]
    with pytest.raises(InvalidInput, match=r"^keep: 'labels' is a column of the outputs"):
        client.infer("sets", tmp_path / "rows.parquet", output=str(tmp_path / "k/*.parquet"), keep=["labels"])
    one = client.infer("sets", rows.slice(3, 1).to_pylist()).wait(TIMEOUT_S).results()
    assert one["labels"].to_pylist() == table["labels"].to_pylist()[3:4]


def test_a_version_is_measured_as_its_predictions_say(
    client: Client, cluster: Cluster, trained: Job, rows: pa.Table, tmp_path: Path
) -> None:
    pq.write_table(rows, tmp_path / "rows.parquet")
    job = client.evaluate("sets", tmp_path / "rows.parquet", bootstrap=200, worst=3).wait(TIMEOUT_S)
    found = job.evaluation()
    assert found is not None
    outputs = client.infer("sets", rows).wait(TIMEOUT_S).results()["labels"].to_pylist()
    truth, given = matrix(rows["true"].to_pylist()), matrix(outputs)
    assert found.metrics["subset_accuracy"] == pytest.approx(sk.accuracy_score(truth, given))
    assert found.metrics["accuracy"] == pytest.approx((truth == given).mean())
    for name, average in (("f1", "macro"), ("micro_f1", "micro")):
        assert found.metrics[name] == pytest.approx(sk.f1_score(truth, given, average=average))
    assert set(found.intervals) == set(found.metrics)
    assert all(low <= found.metrics[name] <= high for name, (low, high) in found.intervals.items())
    assert [(each.label, each.support) for each in found.classes] == list(zip(LABELS, truth.sum(axis=0), strict=True))
    for each in found.worst:
        assert each.target == tuple(label for label in LABELS if label in rows["true"][each.row].as_py())
        assert set(each.prediction) == set(outputs[each.row])  # type: ignore[arg-type]
    assert {metric.name: metric.value for metric in job.metrics()} == pytest.approx(found.metrics)
    shown = CommandLine(cluster.environment)("jobs", "show", str(job.id)).out
    for part in ("subset_accuracy", "PRECISION", "rows with the largest losses"):
        assert part in shown
    promoted = client.models.promote("sets:1", "best", if_="micro_f1 >= 0.9 and subset_accuracy > 0.5")
    assert promoted.version == 1

    odd = [*rows.slice(0, 4).to_pylist(), {"pixels": rows["pixels"][0].as_py(), "true": ["odd", "new"]}]
    odd.append({"pixels": rows["pixels"][0].as_py(), "true": None})
    measured = client.evaluate("sets", odd, max_row_errors=1).wait(TIMEOUT_S)
    few = measured.evaluation()
    assert few is not None
    assert (few.rows, few.failed, few.unknown_rows, few.unknown_labels) == (5, 1, 1, ("'new'",))
    assert any("does not know ('new')" in note for note in measured.notes)
    nothing = client.evaluate("sets", rows.slice(0, 1).to_pylist(), bootstrap=10).wait(TIMEOUT_S).evaluation()
    assert nothing is not None
    assert nothing.worst[0].target == (), "a column of empty lists alone"
    with pytest.raises(InvalidInput, match=r"^target: column 'true' holds text .*, and sets:1 predicts several labels"):
        client.evaluate("sets", [{"pixels": rows["pixels"][0].as_py(), "true": "odd"}])
    with pytest.raises(InvalidInput, match=r"^target: column 'true' holds lists|^target: .* give text"):
        client.evaluate("sets", [{"pixels": rows["pixels"][0].as_py(), "true": [3]}])


def test_the_command_line_reads_json_lines_and_streams_them(
    client: Client, cluster: Cluster, rows: pa.Table, tmp_path: Path
) -> None:
    line = CommandLine(cluster.environment)
    path = tmp_path / "rows.jsonl"
    numbered = [
        {"pixels": row["pixels"], "codes": [LABELS.index(label) for label in row["true"]]} for row in rows.to_pylist()
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in numbered))
    common = ("train", path, "--model", "codes", "--target", "codes", "--task", "multilabel", "--epochs", "4", "--wait")
    for more in ((), ("--stream", "--shuffle-window", "500")):
        done = line(*common, *more)
        assert done.code == 0, done.err
    for version in ("codes:1", "codes:2"):
        told = client.models.get(version).manifest
        assert isinstance(told["signature"], dict)
        assert told["signature"]["labels"] == [0, 1, 2]
        assert isinstance(told["metrics"], dict)
        assert float(str(told["metrics"]["val_f1"])) > 0.8
    asked = line("infer", "codes:2", path, "--threshold", "0", "--top-k", "1", "--wait", "--json").fields
    output = json.loads(line("results", str(asked["id"]), "--format", "jsonl", "--limit", "1").out)
    assert sorted(output["labels"]) == [0, 1, 2]
    assert output["top_k"] == [{"label": output["labels"][0], "score": output["scores"][0]}]


def test_an_exported_program_gives_the_same_labels(
    client: Client, trained: Job, rows: pa.Table, tmp_path: Path
) -> None:
    client.models.export("sets:1", str(tmp_path / "sets.onnx"))
    session = onnxruntime.InferenceSession(tmp_path / "sets.onnx", providers=["CPUExecutionProvider"])
    pixels = np.array(rows["pixels"].to_pylist()[:50], np.float32)
    [logits] = session.run(None, {session.get_inputs()[0].name: pixels})
    own = client.infer("sets", rows.slice(0, 50), logits=True).wait(TIMEOUT_S).results()
    np.testing.assert_allclose(logits, np.array(own["logits"].to_pylist()), atol=1e-4)
    signature = client.models.get("sets:1").manifest["signature"]
    client.models.import_(tmp_path / "sets.onnx", "program", signature=signature)  # type: ignore[arg-type]
    again = client.infer("program", rows.slice(0, 50)).wait(TIMEOUT_S).results()
    assert again["labels"].to_pylist() == own["labels"].to_pylist()


def test_what_cannot_be_learned_is_refused_at_the_call(client: Client, rows: pa.Table, tmp_path: Path) -> None:
    few = {"x": [1.0, 2.0, 3.0]}
    (tmp_path / "rows.csv").write_text("x,y\n1,a;b\n2,b\n")
    for data, options, said in (
        ({**few, "y": [["a"], None, ["b"]]}, {}, r"target: column 'y' has no value in row 1"),
        ({**few, "y": [["a"], ["b"], ["b", None]]}, {}, r"target: column 'y' has a list with a null in row 2"),
        ({**few, "y": [[], [], []]}, {"task": "multilabel"}, r"target: column 'y' has an empty list in every row"),
        ({**few, "y": [["a"], ["b"], []]}, {"stratify": True}, r"stratify: rows with several labels are of no one"),
        ({**few, "y": [["a"], ["b"], []]}, {"task": "multilabel", "stratify": True}, r"stratify: multilabel has no"),
        ({**few, "y": ["a", "b", "a"]}, {"task": "multilabel"}, r"target: column 'y' has text .*needs lists"),
        (tmp_path / "rows.csv", {"task": "multilabel"}, r"target: column 'y' has text .*JSON Lines, Parquet"),
        (
            {**few, "y": [["a"], ["b"], []]},
            {"validation": {**few, "y": [[1], [2], []]}},
            r"validation: the target 'y' has lists of numbers",
        ),
        (
            {**few, "y": [["a"], ["b"], []]},
            {"task": "multilabel", "alias": "p", "promote_if": "val_r2 > 0"},
            r"promote_if: 'val_r2' is not measured in a multilabel",
        ),
    ):
        with pytest.raises(InvalidInput, match=f"^{said}"):
            client.train("m", "linear", data, "y", **options)
    client.train("one", "linear", {**few, "y": ["a", "b", "a"]}, "y", validation=0, epochs=1).wait(TIMEOUT_S)
    with pytest.raises(InvalidInput, match=r"^threshold: 0.4: say of which class: positive='a' or 'b'"):
        client.infer("one", few, threshold=0.4)
    lone = {"x": [1.0, 2.0], "y": [["a"], ["b"]], "part": ["train", "val"]}
    with pytest.raises(JobFailed, match=r"has 'b' in row 1 for validation, and in no row to train on"):
        client.train("m", "linear", lone, "y", split="part").wait(TIMEOUT_S)
    with pytest.raises(JobFailed, match=r"metrics: 'mae' is not a metric for several labels a row") as error:
        client.train("m", "linear", rows, "true", metrics=["mae"], epochs=1).wait(TIMEOUT_S)
    assert "subset_accuracy" in str(error.value)


def test_a_single_label_is_a_yes_or_no(client: Client) -> None:
    x = np.linspace(-1, 1, 400, dtype=np.float32)
    y = [["hot"] if value > 0.2 else [] for value in x]
    options = {"epochs": 40, "learning_rate": 0.1}
    job = client.train("hot", "linear", {"x": x, "y": y}, "y", **options).wait(TIMEOUT_S)  # type: ignore[arg-type]
    assert {metric.name: metric.value for metric in job.metrics()}["val_f1"] > 0.9
    found = client.infer("hot", [{"x": 0.9}, {"x": -0.9}]).wait(TIMEOUT_S).results()
    assert found["labels"].to_pylist() == [["hot"], []]


def test_a_chain_measures_and_promotes_and_infers(client: Client, rows: pa.Table, tmp_path: Path) -> None:
    pq.write_table(rows, tmp_path / "rows.parquet")
    train = client.train("links", "mlp", tmp_path / "rows.parquet", "true", epochs=6, learning_rate=3e-3)
    promote = train.then.evaluate(tmp_path / "rows.parquet", bootstrap=10).then.promote("good", if_="micro_f1 > 0.8")
    last = promote.then.infer(tmp_path / "rows.parquet", threshold=0.3).wait(TIMEOUT_S)
    assert client.models.get("links@good").version == 1
    assert last.results().column_names == ["row", "labels", "scores"]
    kept = client.train(
        "kept", "linear", {"x": [1.0, 2.0, 3.0], "y": [["a"], [], ["b"]]}, "y", validation=0, epochs=200
    )
    named = {"x": [1.0, 2.0], "labels": ["p", "q"]}
    with pytest.raises(JobFailed, match=r"keep: 'labels' is a column of the outputs"):
        kept.then.infer(named, output=str(tmp_path / "out/*.parquet"), keep=["labels"]).wait(TIMEOUT_S)


def test_a_search_finds_the_best_of_them(client: Client, rows: pa.Table) -> None:
    job = client.tune(
        "searched",
        "linear",
        rows,
        "true",
        space={"learning_rate": [1e-6, 3e-2]},
        sampler="grid",
        metric="val_f1",
        epochs=3,
    ).wait(TIMEOUT_S)
    outcome = job.record().outcome or {}
    best = outcome["best"]
    assert isinstance(best, dict)
    assert best["parameters"] == {"learning_rate": 3e-2}
    measured = outcome["metrics"]
    assert isinstance(measured, dict)
    assert float(str(measured["val_f1"])) > 0.6
    folds = client.cross_validate("folded", "linear", rows, "true", folds=2, epochs=2).wait(TIMEOUT_S).record().outcome
    assert folds is not None
    assert "val_f1" in folds["metrics"]  # type: ignore[operator]
