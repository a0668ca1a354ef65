"""The report of a training job: what is marked, what comes first, and what is folded."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from xml.etree import ElementTree

from longshore.producers.reporting.curves import panels
from longshore.producers.reporting.given_options import given_options
from longshore.producers.reporting.html_report import report_html
from longshore.producers.reporting.plots import svg
from longshore.shared.ledger.records import JobRecord
from longshore.shared.specs.jobs import InlineInput
from longshore.shared.specs.train import TrainSpec
from longshore.shared.vocabulary import State
from tests.unit.producers.reporting.metric_records import NOW, metric_records
from tests.unit.producers.reporting.test_best_epoch import METRICS, OUTCOME, job

GIVEN = {"epochs": 3, "learning_rate": 0.01, "freeze": ["0.*"], "config": {"hidden": [16]}}


def ended() -> JobRecord:
    data = InlineInput(block="b", offset=0, rows=1)
    spec = TrainSpec.model_validate({"model": "m", "family": "mlp", "data": data, "target": "y", **GIVEN})
    return replace(
        job(spec=spec.model_dump(mode="json"), outcome=OUTCOME, state=State.SUCCEEDED),
        finished_at=NOW + timedelta(seconds=200),
        notes=["overfitting: <b>", "constant: 'a'"],
    )


def page() -> ElementTree.Element:
    text = report_html(ended(), None, METRICS, [])
    return ElementTree.fromstring(text.replace("<!doctype html>\n", "").replace('<meta charset="utf-8">', ""))


def cells(table: ElementTree.Element) -> dict[str, str]:
    rows = [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]
    return {row[0]: row[1] for row in rows}


def test_duration_best_epoch_and_notes() -> None:
    root = page()
    fields = cells(next(root.iter("table")))
    assert fields["duration"] == "3m 20s"
    assert fields["best epoch"] == "2 of 3: val_loss=1.5 train_loss=2"
    assert fields["final metrics"] == "val_loss=2 train_loss=1"
    assert [item.text for item in root.iter("li")] == ["overfitting: <b>", "constant: 'a'"]


def test_the_best_epoch_is_marked_in_the_table_and_in_the_curves() -> None:
    root = page()
    [marked] = [row for row in root.iter("tr") if row.get("class") == "best"]
    assert [cell.text for cell in marked] == ["2 (best)", "2", "2", "0.5"]
    assert "<!-- best epoch 2 -->" in svg(panels(METRICS), 2)
    assert "best epoch" not in svg(panels(METRICS))
    assert "best epoch" not in svg(panels(METRICS), 9), "of a job that this one extends"


def test_curves_start_at_the_first_epoch() -> None:
    for epochs in (1, 2, 4, 20, 37, 1000):
        drawn = svg(panels(metric_records(train_loss=[1 / (1 + epoch) for epoch in range(epochs)])))
        labels = [int(text) for text in re.findall(r"<!-- (\d+) -->", drawn)]
        assert labels[0] == 1
        assert 0 not in labels
        assert labels == sorted(set(labels))
        assert labels[-1] <= epochs


def test_options_that_were_given_come_first_and_defaults_are_folded() -> None:
    given, defaults = given_options(ended())
    assert {**GIVEN, "model": "m", "family": "mlp", "target": "y"}.items() <= given.items()
    assert set(given) == {*GIVEN, "model", "family", "target", "data"}
    assert given | defaults == ended().spec
    [details] = page().iter("details")
    folded = cells(next(details.iter("table")))
    assert folded["batch_size"] == "128"
    assert "epochs" not in folded
    [summary] = details.iter("summary")
    assert summary.text == f"{len(folded)} defaults"


def test_options_of_other_jobs_are_all_shown() -> None:
    assert given_options(job(kind="tune", spec={"trials": 3})) == ({"trials": 3}, {})
