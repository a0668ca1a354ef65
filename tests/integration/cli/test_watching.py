"""What people see of a training: live, in the terminal, as a picture, as a page, in TensorBoard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from longshore.producers import Client, Job
from longshore.shared.errors import InvalidInput
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.command_line import PROGRAM, CommandLine
from tests.terminal import on_a_terminal

EPOCHS = 4
SECRET = "a-key-that-is-nobodys-business"


@pytest.fixture(scope="module")
def trained(cluster: Cluster) -> Job:
    images, labels = digits.digits()
    with cluster.client() as client:
        job = client.train(
            "digits", "mlp", {"pixels": images, "<label>": labels}, "<label>", epochs=EPOCHS, metrics=["accuracy", "f1"]
        )
        job.wait(120)
    return job


@pytest.fixture
def job(cluster: Cluster, trained: Job) -> Iterator[Job]:
    with cluster.client() as client:
        yield client.job(trained.id)


@pytest.fixture(scope="module")
def longshore(cluster: Cluster) -> CommandLine:
    return CommandLine(cluster.environment)


def test_the_terminal_shows_curves(cluster: Cluster, job: Job) -> None:
    shown = on_a_terminal([*PROGRAM, "jobs", "show", str(job.id)], cluster.environment, 200)
    assert "train_loss" in shown
    assert f"└epoch 1{EPOCHS:>57}" in shown
    assert any(0x2800 < ord(mark) < 0x2900 for mark in shown), "dots of a curve"


def test_a_job_that_is_waited_for_shows_its_newest_metrics(cluster: Cluster, job: Job) -> None:
    newest = {metric.name: metric.value for metric in job.metrics() if metric.step == EPOCHS}
    shown = on_a_terminal([*PROGRAM, "jobs", "wait", str(job.id)], cluster.environment, 200)
    assert f"val_accuracy {newest['val_accuracy']:.4g}" in shown


def test_a_plot(longshore: CommandLine, job: Job, tmp_path: Path) -> None:
    path = tmp_path / "curve.png"
    assert longshore("jobs", "plot", str(job.id), "-o", path).out == f"wrote {path}\n"
    with Image.open(path) as image:
        assert image.format == "PNG"
    assert longshore("jobs", "plot", str(job.id), "-o", tmp_path / "curve.txt").code == 2


def test_a_page_that_needs_nothing_beside_it(longshore: CommandLine, job: Job, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    assert longshore("jobs", "report", str(job.id), "-o", path, "--json").fields == {"output": str(path)}
    text = path.read_text()
    page = ElementTree.fromstring(text.replace("<!doctype html>\n", "").replace('<meta charset="utf-8">', ""))
    outside = [
        value
        for element in page.iter()
        for name, value in element.attrib.items()
        if name.rpartition("}")[2] in ("href", "src") and not value.startswith("#")
    ]
    assert not outside
    assert not list(page.iter("script"))
    words = " ".join(page.itertext())
    outcome = job.record().outcome
    assert outcome is not None
    for word in (f"digits:{outcome['version']}", str(outcome["digest"]), "Lineage", "<label>", "learning_rate"):
        assert word in words
    rows = [[cell.text for cell in row] for row in page.iter("tr")]
    confusion = outcome["confusion_matrix"]
    assert isinstance(confusion, dict)
    counts = confusion["counts"]
    assert isinstance(counts, list)
    assert confusion["labels"] == list(range(10))
    third = counts[3]
    assert isinstance(third, list)
    assert [row for row in rows if row == ["3", *map(str, third)]]
    first = {metric.name: metric.value for metric in job.metrics() if metric.step == 1}
    assert ["1", *(f"{first[name]:.6g}" for name in ("train_loss", "val_loss", "val_accuracy", "val_f1"))] in rows


def test_event_files_for_tensorboard(longshore: CommandLine, job: Job, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "digits"
    assert longshore("jobs", "tensorboard", str(job.id), "-o", folder).code == 0
    found = EventAccumulator(str(folder))
    found.Reload()
    written = {event.step: event.value for event in found.Scalars("epoch/val_loss")}
    measured = {metric.step: metric.value for metric in job.metrics() if metric.name == "val_loss"}
    assert written == pytest.approx(measured)


def test_a_training_that_gets_no_better_ends_with_its_best_epoch(client: Client) -> None:
    images, labels = digits.digits()
    table = digits.table(images[:300], labels[:300])
    options = {"epochs": 200, "learning_rate": 0.03, "early_stopping": 3, "monitor": "val_accuracy"}
    job = client.train("stopped", "mlp", table, "label", **options).wait(120)  # type: ignore[arg-type]
    accuracies = [metric.value for metric in job.metrics() if metric.name == "val_accuracy"]
    best = accuracies.index(max(accuracies)) + 1
    assert len(accuracies) == best + 3 < 200
    said = f"the version has the weights of epoch {best} of {best + 3}, whose val_accuracy was the best"
    assert said in job.notes
    outcome = job.record().outcome
    assert outcome is not None
    metrics = outcome["metrics"]
    assert isinstance(metrics, dict)
    assert metrics["val_accuracy"] == max(accuracies)


def test_a_job_without_metrics_says_so(cluster: Cluster, client: Client, tmp_path: Path) -> None:
    job = client.infer("digits:1", digits.digits()[0][:1]).wait(120)
    for draw in (job.plot, job.tensorboard):
        with pytest.raises(InvalidInput, match=r"^job: there are no metrics to (plot|write) yet"):
            draw(tmp_path / "curve.png")


@pytest.fixture
def client(cluster: Cluster, trained: Job) -> Iterator[Client]:
    with cluster.client() as client:
        yield client
