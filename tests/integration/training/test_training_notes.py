"""A training says what went wrong, wherever people look, and the same after its worker was killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import psycopg
import pytest

from longshore.producers import Client, Job
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.command_line import CommandLine
from tests.waiting import TIMEOUT_S, wait_until

EPOCHS = 40
OVERFITTING = "overfitting: val_loss rises from epoch "
OPTIONS: dict[str, object] = {
    **{"epochs": EPOCHS, "validation": 0.3, "learning_rate": 3e-3},
    **{"checkpoint_seconds": None, "checkpoint_steps": 7, "keep_checkpoints": 3},
}


@pytest.fixture(scope="module")
def mislabelled() -> dict[str, object]:
    """Few images, a quarter of them with a label by chance: what is learned of these helps no other row."""
    images, labels = digits.digits()
    random = np.random.default_rng(0)
    wrong = random.random(600) < 0.25
    mixed = np.where(wrong, random.integers(0, 10, 600), labels[:600])
    return {"pixels": images[:600], "label": mixed, "seven": [7] * 600}


@pytest.fixture(scope="module")
def overfitted(cluster: Cluster, mislabelled: dict[str, object]) -> Job:
    with cluster.client() as client:
        return client.train("overfitted", "mlp", mislabelled, "label", **OPTIONS).wait(TIMEOUT_S)  # type: ignore[arg-type]


def outcome_of(job: Job) -> dict[str, object]:
    outcome = job.record().outcome
    assert outcome is not None
    return {name: value for name, value in outcome.items() if name not in ("model", "version", "digest")}


def test_notes_are_wherever_people_look(cluster: Cluster, client: Client, overfitted: Job, tmp_path: Path) -> None:
    job = client.job(overfitted.id)
    overfitting, constant = job.record().notes
    assert overfitting.startswith(OVERFITTING)
    assert constant.startswith("constant in the rows to train on, which teaches nothing: 'seven' (7)")
    lineage = client.models.get("overfitted:1").manifest["lineage"]
    assert isinstance(lineage, dict)
    assert lineage["notes"] == [overfitting, constant]
    longshore = CommandLine(cluster.environment)
    shown = (
        longshore("jobs", "show", str(job.id)).out,
        longshore("models", "show", "overfitted:1").out,
        "\n".join(line.text for line in job.logs()),
        longshore("jobs", "wait", str(job.id)).out,
    )
    for text in shown:
        for note in (overfitting, constant):
            assert sum(note in line for line in text.splitlines()) == 1
    assert longshore("jobs", "show", str(job.id), "--json").fields["notes"] == [overfitting, constant]
    page = job.report(tmp_path / "report.html").read_text()
    assert f"<li>{overfitting}</li>" in page


def test_the_best_epoch_is_that_of_the_table_of_metrics(cluster: Cluster, client: Client, overfitted: Job) -> None:
    outcome = outcome_of(overfitted)
    with psycopg.connect(cluster.settings.database_url) as conn:

        def metrics(epoch: int) -> dict[str, float]:
            query = "SELECT name, value FROM metrics WHERE job_id = %s AND step = %s AND name NOT LIKE 'step/%%'"
            return dict(conn.execute(query, (overfitted.id, epoch)).fetchall())

        losses = "FROM metrics WHERE job_id = %(job)s AND name = 'val_loss'"
        best, last = conn.execute(
            f"SELECT (SELECT step {losses} ORDER BY value, step LIMIT 1), (SELECT max(step) {losses})",
            {"job": overfitted.id},
        ).fetchone() or (0, 0)
        assert 1 < best < last == EPOCHS
        assert (outcome["best_epoch"], outcome["epochs"], outcome["stopped_early"]) == (best, last, False)
        assert outcome["best_metrics"] == metrics(best)
        assert outcome["final_metrics"] == outcome["metrics"] == metrics(last)
    assert f"best epoch {best}, with" in overfitted.notes[0]
    lineage = client.models.get("overfitted:1").manifest["lineage"]
    assert isinstance(lineage, dict)
    training = lineage["training"]
    assert isinstance(training, dict)
    assert training == {name: outcome[name] for name in training}
    shown = CommandLine(cluster.environment)("jobs", "show", str(overfitted.id)).out
    assert f"best epoch     {best} of {last}: val_loss=" in shown
    assert "final metrics  val_loss=" in shown


def test_a_killed_training_says_the_same(
    cluster: Cluster, client: Client, mislabelled: dict[str, object], overfitted: Job
) -> None:
    def train_and_kill() -> Job:
        job = client.train("killed", "mlp", mislabelled, "label", **OPTIONS)  # type: ignore[arg-type]

        def reached() -> bool:
            checkpoint = cluster.ledger.checkpoints.newest(job.id)
            # After the best epoch, and before the losses say that it was the best.
            return checkpoint is not None and checkpoint.epoch >= 10

        children = cluster.child_pids()
        wait_until(reached, "a checkpoint", TIMEOUT_S)
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        return job.wait(TIMEOUT_S)

    # It is short: the kill can come after its end.
    job = next(job for job in (train_and_kill() for _ in range(20)) if job.shards()[0].attempt == 2)
    assert job.notes == overfitted.notes
    assert outcome_of(job) == outcome_of(overfitted)


def test_early_stopping_gives_its_reason_and_both_metrics(client: Client, mislabelled: dict[str, object]) -> None:
    job = client.train("stopped", "mlp", mislabelled, "label", early_stopping=5, **OPTIONS).wait(TIMEOUT_S)  # type: ignore[arg-type]
    outcome = outcome_of(job)
    best, last = outcome["best_epoch"], outcome["epochs"]
    assert last == int(str(best)) + 5
    assert outcome["stopped_early"] is True
    assert job.notes[:2] == [
        f"stopped early, after epoch {last} of {EPOCHS}: 5 epochs without a better val_loss (early_stopping)",
        f"the version has the weights of epoch {best} of {last}, whose val_loss was the best",
    ]
    by_epoch = {metric.step: metric.value for metric in job.metrics() if metric.name == "val_loss"}
    metrics, final = outcome["metrics"], outcome["final_metrics"]
    assert isinstance(metrics, dict)
    assert isinstance(final, dict)
    assert (metrics["val_loss"], final["val_loss"]) == (by_epoch[int(str(best))], by_epoch[int(str(last))])


def test_digits_give_no_alarm(client: Client) -> None:
    images, labels = digits.digits()
    job = client.train("fine", "mlp", digits.table(images, labels), "label", epochs=20).wait(TIMEOUT_S)
    assert job.notes == []
