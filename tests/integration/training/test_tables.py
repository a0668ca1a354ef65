"""Tables of mixed columns: trained on, read at inference, measured and trained on further, as they are."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from longshore.producers import Client, Job
from longshore.producers.options.keywords import TrainOptions
from longshore.shared.errors import InvalidInput, JobFailed
from longshore.shared.specs.signature import Signature
from longshore.shared.specs.transforms import CategoryTransform, DateTransform, NumberTransform
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.waiting import TIMEOUT_S, wait_until

TARGET = "left"
OPTIONS: TrainOptions = {
    "epochs": 12,
    "batch_size": 32,
    "learning_rate": 0.01,
    "split": "part",
    "config": {"hidden": [16]},
}


def customers(rows: int, seed: int = 0) -> pd.DataFrame:
    """Who leaves follows from the plan, the age and the city."""
    random = np.random.default_rng(seed)
    age, plan = random.normal(40, 12, rows).round(), random.choice(["basic", "plus", "pro"], rows).astype(object)
    city = random.integers(0, 40, rows)
    score = (plan == "basic") * 2.0 - (plan == "pro") * 2.0 + (age - 40) / 12 + (city % 2) * 2.0 - 1.0
    age[random.random(rows) < 0.1] = np.nan
    plan[random.random(rows) < 0.05] = None
    joined = pd.Timestamp("2022-05-01") + pd.to_timedelta(random.integers(0, 700 * 24 * 60, rows), unit="min")
    return pd.DataFrame(
        {
            "id": [f"customer-{seed}-{row}" for row in range(rows)],
            "age": age,
            "plan": plan,
            "city": [f"city {number}, north" for number in city],
            "joined": joined,
            "member": random.random(rows) < 0.5,
            "spent": random.lognormal(3, 1.5, rows),
            TARGET: np.where(score > 0, "yes", "no"),
            "part": np.where(np.arange(rows) % 5 == 0, "validation", "train"),
        }
    )


FRAME, OTHERS = customers(600), customers(50, seed=1)


@pytest.fixture(scope="module")
def trained(client: Client) -> Job:
    """people:1, of a frame of pandas."""
    return client.train("people", "mlp", FRAME, TARGET, **OPTIONS).wait(TIMEOUT_S)


def signature(client: Client, reference: str) -> Signature:
    return Signature.model_validate(client.models.get(reference).manifest["signature"])


def weights(client: Client, reference: str) -> object:
    return client.models.get(reference).manifest["weights"]


def answers(job: Job) -> list[tuple[str, float]]:
    """The label of each row, and its score."""
    rows = job.wait(TIMEOUT_S).results().to_arrow().to_pylist()
    return [
        (row["label"], max(json.loads(row["scores"]).values()) if "scores" in row else row["score"]) for row in rows
    ]


def test_what_was_chosen_is_noted_and_part_of_the_version(client: Client, trained: Job) -> None:
    features = {feature.name: feature for feature in signature(client, "people:1").features}
    assert list(features) == ["age", "plan", "city", "joined", "member", "spent"]
    age, plan, city = (features[name].transform for name in ("age", "plan", "city"))
    assert isinstance(age, NumberTransform)
    assert age == NumberTransform(fill=float(FRAME["age"][FRAME["part"] == "train"].median()), indicator=True)
    assert plan == CategoryTransform(categories=("basic", "plus", "pro"), missing=True)
    assert isinstance(city, CategoryTransform)
    assert (city.encoding, len(city.categories)) == ("embedding", 40)
    assert isinstance(features["joined"].transform, DateTransform)
    assert features["joined"].transform.parts == ("time", "season", "weekday", "hour")
    assert features["member"].transform is None
    assert features["spent"].transform == NumberTransform(scale="log")
    for expected in ("'age' (", "'plan' (3, and missing)", "'city' (40 in", "'joined' (time, s", "logarithm", "'id'; "):
        assert any(expected in note for note in trained.notes), (expected, trained.notes)
    [accuracy] = [each.value for each in trained.metrics() if each.name == "val_accuracy"][-1:]
    assert accuracy > 0.75


def test_files_make_the_same_version_as_a_frame(client: Client, trained: Job, tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "rows.csv", index=False)
    FRAME.to_parquet(tmp_path / "rows.parquet")
    FRAME.to_json(tmp_path / "rows.jsonl", orient="records", lines=True, date_format="iso", double_precision=15)
    for number, name in enumerate(("rows.csv", "rows.parquet", "rows.jsonl")):
        client.train(f"files-{number}", "mlp", tmp_path / name, TARGET, **OPTIONS).wait(TIMEOUT_S)
        assert signature(client, f"files-{number}:1") == signature(client, "people:1"), name
        assert weights(client, f"files-{number}:1") == weights(client, "people:1"), name


@pytest.mark.usefixtures("trained")
def test_the_same_rows_get_the_same_answers_in_every_form(client: Client, tmp_path: Path) -> None:
    raw = OTHERS.drop(columns=[TARGET, "part"])
    raw.to_csv(tmp_path / "rows.csv", index=False)
    raw.to_parquet(tmp_path / "rows.parquet")
    raw.to_json(tmp_path / "rows.jsonl", orient="records", lines=True, date_format="iso", double_precision=15)
    expected = answers(client.infer("people", raw))
    assert len(expected) == len(raw)
    alike = sum(label == left for (label, _), left in zip(expected, OTHERS[TARGET], strict=True))
    assert alike > 0.75 * len(raw)
    forms: list[object] = [tmp_path / "rows.csv", tmp_path / "rows.parquet", tmp_path / "rows.jsonl"]
    forms += [pl.from_pandas(raw), pa.Table.from_pandas(raw), raw.assign(plan=raw["plan"].astype("category"))]
    forms += [raw.astype(object).where(raw.notna(), None).to_dict("records")]
    for form in forms:
        _same(answers(client.infer("people", form)), expected)
    _same(answers(client.infer("people", raw, batch_size=7)), expected)
    alone = [client.infer("people", raw.iloc[row : row + 1]) for row in range(12)]
    _same([answer for job in alone for answer in answers(job)], expected[:12])


def _same(found: list[tuple[str, float]], expected: list[tuple[str, float]]) -> None:
    assert [label for label, _ in found] == [label for label, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-5)


@pytest.mark.usefixtures("trained")
def test_what_the_training_did_not_have_is_noted_or_an_error(client: Client) -> None:
    rows = OTHERS.drop(columns=[TARGET, "part"]).head(4)
    rows["plan"] = rows["plan"].mask(np.arange(4) == 0, "platinum")
    rows["city"] = rows["city"].mask(np.arange(4) == 1, None)
    job = client.infer("people", rows).wait(TIMEOUT_S)
    assert job.record().rows_failed == 0
    assert "column 'plan' has categories that no row to train on had, or too few; the network gets them as unknown" in (
        job.notes
    )
    assert "column 'city' has missing values, and no row to train on had; the network gets them as unknown" in job.notes
    bad = rows.assign(joined=np.array(["2024-01-01", "soon", None, "2024-01-01T00:00Z"], object))
    failed = client.infer("people", bad, max_row_errors=3).wait(TIMEOUT_S).errors()
    reasons = {error.row: error.message for error in failed}
    assert set(reasons) == {1, 2, 3}
    assert "column 'joined': 'soon' is not a date in the format ISO 8601 without a time zone" in reasons[1]
    assert "column 'joined': no value, and the version does not replace missing ones" in reasons[2]


@pytest.mark.usefixtures("trained")
def test_a_version_is_evaluated_on_raw_rows(client: Client, tmp_path: Path) -> None:
    OTHERS.to_csv(tmp_path / "rows.csv", index=False)
    found = client.evaluate("people", OTHERS).wait(TIMEOUT_S).evaluation()
    right = [label for label, _ in answers(client.infer("people", OTHERS.drop(columns=[TARGET, "part"])))]
    assert found.metrics["accuracy"] == pytest.approx(np.mean(np.array(right) == OTHERS[TARGET]))
    again = client.evaluate("people", tmp_path / "rows.csv").wait(TIMEOUT_S).evaluation()
    assert again.metrics == pytest.approx(found.metrics, abs=1e-5)


def test_folds_and_trials_fit_their_own_rows(client: Client) -> None:
    rows = FRAME.drop(columns="part").head(300)
    options = {"epochs": 3, "folds": 3}
    job = client.cross_validate("folds", "linear", rows, TARGET, **options).wait(TIMEOUT_S)  # type: ignore[arg-type]
    outcome = job.record().outcome
    assert outcome is not None
    assert len(job.trials()) == 3
    space = {"learning_rate": [0.001, 0.01], "config.hidden": [[8]]}
    client.tune("tuned", "mlp", rows, TARGET, space, trials=2, epochs=3).wait(TIMEOUT_S)  # type: ignore[arg-type]
    assert signature(client, "tuned:1").is_preprocessed
    assert len(answers(client.infer("tuned", OTHERS))) == len(OTHERS)


def test_a_stream_fits_the_same_as_rows_in_memory(client: Client, trained: Job, tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "rows.csv", index=False)
    FRAME.to_parquet(tmp_path / "rows.parquet")
    for number, name in enumerate(("rows.csv", "rows.parquet")):
        options: TrainOptions = {**OPTIONS, "stream": True}
        job = client.train(f"stream-{number}", "mlp", tmp_path / name, TARGET, **options).wait(TIMEOUT_S)
        assert signature(client, f"stream-{number}:1") == signature(client, "people:1"), name
        # A stream mixes rows in another order, so its losses differ.
        assert {note for note in trained.notes if not note.startswith("overfitting")} <= set(job.notes)
    assert weights(client, "stream-0:1") == weights(client, "stream-1:1")


@pytest.mark.usefixtures("trained")
def test_a_version_is_trained_on_and_taught_with_what_it_has(client: Client) -> None:
    later = customers(300, seed=2)
    later["plan"] = later["plan"].where(later["plan"] != "pro", "new")
    further: TrainOptions = {**OPTIONS, "epochs": 2, "base": "people:1"}
    client.train("further", "mlp", later, TARGET, **further).wait(TIMEOUT_S)
    assert signature(client, "further:1").features == signature(client, "people:1").features
    changed: TrainOptions = {**further, "preprocess": {"age": "category"}}
    assert weights(client, "further:1") != weights(client, "people:1")
    taught: TrainOptions = {"epochs": 2, "split": "part", "teacher": "people:1"}
    client.train("student", "linear", later, TARGET, **taught).wait(TIMEOUT_S)
    assert signature(client, "student:1").features == signature(client, "people:1").features
    with pytest.raises(
        InvalidInput, match=r"^preprocess: column 'age' is preprocessed as people:1 does, which is the "
    ):
        client.train("m", "mlp", later, TARGET, **changed)
    raw = OTHERS.drop(columns=[TARGET, "part"])
    for name in ("further", "student"):
        assert len(answers(client.infer(name, raw))) == len(raw)


def test_numbers_as_texts_are_read_as_the_training_read_them(client: Client, tmp_path: Path) -> None:
    frame = FRAME.assign(spent=[f"{spent:.2f}" for spent in FRAME["spent"]], age=FRAME["age"].astype("string"))
    frame.to_parquet(tmp_path / "rows.parquet")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    options: TrainOptions = {**OPTIONS, "epochs": 1}
    client.train("texts", "mlp", frame, TARGET, **options).wait(TIMEOUT_S)
    kinds = {feature.name: feature.kind for feature in signature(client, "texts:1").features}
    assert (kinds["age"], kinds["spent"]) == ("number", "number")
    expected = answers(client.infer("texts", frame))
    for form in (tmp_path / "rows.parquet", tmp_path / "rows.csv", frame.astype({"spent": float, "age": float})):
        _same(answers(client.infer("texts", form)), expected)
    client.evaluate("texts", frame).wait(TIMEOUT_S)
    further: TrainOptions = {**options, "base": "texts:1"}
    client.train("texts", "mlp", frame, TARGET, **further).wait(TIMEOUT_S)
    held_out: TrainOptions = {"epochs": 1, "validation": tmp_path / "rows.parquet", "stream": True}
    client.train("held-out", "mlp", tmp_path / "rows.parquet", TARGET, **held_out).wait(TIMEOUT_S)


@pytest.mark.slow
def test_a_killed_training_fits_and_learns_the_same(client: Client, cluster: Cluster) -> None:
    options: TrainOptions = {**OPTIONS, "epochs": 30, "batch_size": 8, "checkpoint_steps": 50}
    client.train("undisturbed", "mlp", FRAME, TARGET, **options).wait(TIMEOUT_S)
    job = client.train("killed", "mlp", FRAME, TARGET, **options)
    wait_until(lambda: cluster.ledger.checkpoints.newest(job.id) is not None, "a checkpoint", TIMEOUT_S)
    for pid in cluster.child_pids():
        os.kill(pid, signal.SIGKILL)
    job.wait(TIMEOUT_S)
    assert [shard.attempt for shard in job.shards()] == [2]
    assert weights(client, "killed:1") == weights(client, "undisturbed:1")
    assert signature(client, "killed:1") == signature(client, "undisturbed:1")


def test_the_command_line_says_how_columns_are_preprocessed(cluster: Cluster, client: Client, tmp_path: Path) -> None:
    FRAME.to_csv(tmp_path / "rows.csv", index=False)
    OTHERS.to_csv(tmp_path / "others.csv", index=False)
    run = CommandLine(cluster.environment)
    done = run(
        *("train", tmp_path / "rows.csv", "--model", "line", "--family", "linear", "--target", TARGET, "--wait"),
        *("--epochs", "1", "--split", "part", "--preprocess", "member=category", "--preprocess", "spent=drop"),
        *("--preprocess", 'age={"missing": 0, "indicator": false}', "--preprocess", "id=drop"),
    )
    assert done.code == 0, done.err
    features = {feature.name: feature.transform for feature in signature(client, "line:1").features}
    assert list(features) == ["age", "plan", "city", "joined", "member"]
    assert features["age"] == NumberTransform(fill=0)
    assert features["member"] == CategoryTransform(categories=("False", "True"))
    # A frame has booleans where the file has words.
    expected = answers(client.infer("line", tmp_path / "others.csv"))
    job = client.infer("line", OTHERS)
    _same(answers(job), expected)
    assert not any("member" in note for note in job.notes)
    wrong = run(
        "train",
        tmp_path / "rows.csv",
        "--model",
        "m",
        "--family",
        "linear",
        "--target",
        TARGET,
        "--preprocess",
        "age=date",
    )
    assert wrong.code == 2
    assert "preprocess" in wrong.err


@pytest.mark.parametrize(
    ("preprocess", "reason"),
    [
        ({"agee": "number"}, "no column 'agee'; the data has 'id', 'age'"),
        ({TARGET: "category"}, "'left' is the target; only features are preprocessed"),
        ({"part": "category"}, "column 'part' is not a feature; name it in features, or leave it out here"),
        ({"member": "text"}, "column 'member' has one number per row (bool), not text"),
        ({"joined": "category"}, "column 'joined' has dates or times"),
        ({"joined": "number"}, "column 'joined' has dates or times"),
        ({"age": "datetime"}, "column 'age' has one number per row (double), not dates or times"),
        ({"age": {"width": 3}}, "column 'age': width is only for the kind category or text"),
        ({"joined": {"missing": 0}}, "column 'joined' has dates; missing: a date cannot be replaced by a number"),
        ({"age": {"missing": 0, "length": 3}}, "length is only for the kind text; leave it out, or change the kind"),
        ({"age": "colour"}, "Input should be 'number', 'category', 'datetime', 'text' or 'drop'"),
        ({"plan": "number"}, "row 0: column 'plan': "),
    ],
)
def test_what_is_refused_at_submission(client: Client, preprocess: dict[str, object], reason: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(reason)):
        client.train("m", "mlp", FRAME, TARGET, split="part", preprocess=preprocess)  # type: ignore[arg-type]


def test_options_that_only_the_values_refuse_fail_the_job(client: Client) -> None:
    options: TrainOptions = {**OPTIONS, "preprocess": {"plan": {"missing": "median"}}}
    job = client.train("m", "mlp", FRAME, TARGET, **options)
    with pytest.raises(JobFailed, match="column 'plan': missing is only for the kind number or datetime, and this col"):
        job.wait(TIMEOUT_S)
    nothing = FRAME.assign(empty=np.nan)
    with pytest.raises((InvalidInput, JobFailed), match="'empty'"):
        client.train("m", "mlp", nothing, TARGET, **OPTIONS).wait(TIMEOUT_S)
