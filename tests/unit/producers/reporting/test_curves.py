"""Grouping metrics into curves and panels."""

from __future__ import annotations

from longshore.producers.reporting.curves import Curve, latest, panels
from longshore.shared.ledger.records import MetricRecord
from tests.unit.producers.reporting.metric_records import NOW, metric_records


def test_the_same_metric_of_several_splits_shares_a_panel() -> None:
    metrics = metric_records(val_accuracy=[0.5, 0.7], val_loss=[2, 1], train_loss=[3, 1.5], lr=[0.1, 0.1])
    loss, accuracy, rate = panels(metrics)
    assert (loss.title, loss.axis) == ("loss", "epoch")
    assert loss.curves == (Curve("train_loss", (1, 2), (3, 1.5)), Curve("val_loss", (1, 2), (2, 1)))
    assert (accuracy.title, [curve.name for curve in accuracy.curves]) == ("accuracy", ["val_accuracy"])
    assert (rate.title, [curve.name for curve in rate.curves]) == ("lr", ["lr"])


def test_metrics_by_step_come_last_with_their_own_axis() -> None:
    steps = [MetricRecord(step=step, name="step/loss", value=1 / step, recorded_at=NOW) for step in (200, 100)]
    epochs, by_step = panels([*steps, *metric_records(train_loss=[1])])
    assert (epochs.axis, by_step.axis, by_step.title) == ("epoch", "step", "loss")
    assert by_step.curves == (Curve("step/loss", (100, 200), (0.01, 0.005)),)


def test_the_latest_value_is_that_of_each_metrics_own_last_step() -> None:
    metrics = [*metric_records(val_loss=[2, 1], train_loss=[3, 1.5, 1.25])]
    assert latest(metrics) == {"train_loss": 1.25, "val_loss": 1}
    assert list(latest(metrics)) == ["train_loss", "val_loss"]
    assert latest([]) == {}
