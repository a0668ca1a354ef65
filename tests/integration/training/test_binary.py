"""Two classes: the probability of one of them, a threshold, and labels that look the same wherever people read them."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as sk

from longshore.producers import Client, Job
from longshore.shared.errors import InvalidInput, JobFailed
from longshore.shared.ledger.records import NewShard
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.integration.support import new_job
from tests.waiting import TIMEOUT_S

ROWS = 300


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As pandas writes booleans."""
    random = np.random.default_rng(0)
    values = random.normal(size=(ROWS, 2))
    churned = values[:, 0] + random.normal(size=ROWS) > 0.5
    lines = [f"{a},{b},{churn}" for (a, b), churn in zip(values, churned, strict=True)]
    path = tmp_path_factory.mktemp("data") / "churn.csv"
    path.write_text("\n".join(["a,b,churn", *lines]))
    return path


@pytest.fixture(scope="module")
def trained(client: Client, table: Path) -> Job:
    options = {"epochs": 20, "validation": 0.2}
    return client.train("churn", "mlp", table, "churn", **options).wait(TIMEOUT_S)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def targets(table: Path) -> list[bool]:
    return [row["churn"] == "True" for row in csv.DictReader(io.StringIO(table.read_text()))]


def test_the_probability_and_the_threshold(client: Client, trained: Job, table: Path, targets: list[bool]) -> None:
    plain = client.infer("churn", table).wait(TIMEOUT_S).results().to_pylist()
    strict = client.infer("churn", table, positive="True", threshold=0.7).wait(TIMEOUT_S).results().to_pylist()
    for before, row in zip(plain, strict, strict=True):
        score, probability = before["score"], row["probability"]
        assert isinstance(score, float)
        assert isinstance(probability, float)
        assert probability == pytest.approx(score if before["label"] else 1 - score, abs=1e-6)
        assert row["label"] is bool(probability >= np.float32(0.7))
    assert [row["label"] for row in strict] != [row["label"] for row in plain]
    job = client.evaluate("churn", table, positive=True, threshold=0.7).wait(TIMEOUT_S)
    evaluation = job.evaluation()
    guesses, chances = [row["label"] for row in strict], [row["probability"] for row in strict]
    assert (evaluation.positive, evaluation.threshold) == (True, 0.7)
    found = evaluation.metrics
    assert found["positive_precision"] == pytest.approx(sk.precision_score(targets, guesses))
    assert found["positive_recall"] == pytest.approx(sk.recall_score(targets, guesses))
    assert found["positive_f1"] == pytest.approx(sk.f1_score(targets, guesses))
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(targets, guesses))
    assert found["auroc"] == pytest.approx(sk.roc_auc_score(targets, chances), abs=1e-4)
    client.models.promote("churn:1", "strict", if_="positive_precision >= 0.1")


def test_small_jobs_with_different_thresholds_are_apart(client: Client, trained: Job) -> None:
    rows = [{"a": 0.6, "b": 0.0}]
    jobs = [client.infer("churn:1", rows, positive="True", threshold=value) for value in (0.01, 0.99)]
    client.wait(jobs, TIMEOUT_S)
    assert [job.results()["label"].to_pylist() for job in jobs] == [[True], [False]]


def test_what_is_refused(client: Client, trained: Job, table: Path) -> None:
    for options, field in (
        ({"positive": "maybe"}, "positive"),
        ({"positive": 1.5}, "positive"),
        ({"positive": "True", "threshold": 1.0}, "threshold"),
        ({"positive": "True", "threshold": "much"}, "threshold"),
        ({"threshold": 0.7}, "threshold"),
    ):
        for submit in (client.infer, client.evaluate):
            with pytest.raises(InvalidInput) as refused:
                submit("churn", table, **options)
            assert refused.value.field == field
    with pytest.raises(InvalidInput, match=r"^positive: 'maybe' is no class of the version; give False or True$"):
        client.infer("churn", table, positive="maybe")
    client.train("amount", "linear", table, "b", features=["a"], epochs=1).wait(TIMEOUT_S)
    with pytest.raises(InvalidInput, match=r"^positive: 'True': .*; this version is for regression$"):
        client.infer("amount", table, positive="True")
    chained = client.train("amount", "linear", table, "b", features=["a"], epochs=50).then.infer(table, positive=True)
    with pytest.raises(JobFailed, match=r"positive: True: .*; this version is for regression"):
        chained.wait(TIMEOUT_S)


def test_a_worker_refuses_an_option_that_it_does_not_know(cluster: Cluster, client: Client, trained: Job) -> None:
    version = client.models.get("churn:1")
    block = {"block": "00000000-0000-0000-0000-000000000000", "offset": 0, "rows": 1}
    new = replace(
        new_job(1, model="churn"),
        digest=version.digest,
        spec=json.dumps({"data": block, "newer": "True"}),
        shards=[NewShard(action="infer", start=0, stop=1)],
        max_attempts=1,
    )
    cluster.ledger.submissions.submit([new])
    with pytest.raises(JobFailed, match="newer"):
        client.job(new.id).wait(TIMEOUT_S)


def test_labels_look_the_same_wherever_people_read_them(
    cluster: Cluster, client: Client, trained: Job, table: Path, tmp_path: Path
) -> None:
    line = CommandLine(cluster.environment)
    arguments = ("churn", table, "--positive", "true", "--threshold", "0.7", "--wait", "--json")
    inferred = str(line("infer", *arguments).fields["id"])
    shown = line("results", inferred, "--limit", str(ROWS)).out
    rows = list(csv.DictReader(io.StringIO(line("results", inferred, "--format", "csv").out)))
    assert {row["label"] for row in rows} == {"False", "True"}
    assert {text.split()[1] for text in shown.splitlines()[1:]} == {"False", "True"}
    first = json.loads(line("results", inferred, "--format", "jsonl").out.splitlines()[0])
    assert list(first) == ["row", "label", "score", "probability"]
    evaluated = str(line("evaluate", *arguments).fields["id"])
    document = line("jobs", "show", evaluated, "--json").fields["outcome"]
    assert isinstance(document, dict)
    training = trained.record().outcome
    assert training is not None
    confusion = training["confusion_matrix"]
    assert isinstance(confusion, dict)
    assert document["confusion_matrix"]["labels"] == confusion["labels"] == [False, True]
    tables = line("jobs", "show", evaluated).out
    assert "positive class  True, from a probability of 0.7 on" in tables
    texts = [tables, shown, trained.report(tmp_path / "report.html").read_text().partition("Configuration")[0]]
    assert all("true" not in text for text in texts)
    assert "the labels of column 'churn' were read as True and False" in trained.notes
