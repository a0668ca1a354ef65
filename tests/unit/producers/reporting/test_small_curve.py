"""The curve of a training in a notebook: the losses, the best epoch, and nothing that could run."""

from __future__ import annotations

import math
from xml.etree import ElementTree

from longshore.producers.reporting.small_curve import MAX_POINTS, small_curve
from tests.unit.producers.reporting.metric_records import metric_records

SVG = "{http://www.w3.org/2000/svg}"


def test_the_losses_and_the_best_epoch() -> None:
    metrics = metric_records(
        **{
            "train_loss": [3.0, 2.0, 1.0],
            "val_loss": [3.0, 2.5, 2.75],
            "val_f1": [0.1, 0.2, 0.3],
            "step/loss": [9.0, 9.0],
        }
    )
    svg = ElementTree.fromstring(small_curve(metrics, "val_loss"))
    texts = [each.text for each in svg.iter(f"{SVG}text")]
    assert texts == ["3", "1", "epoch 1", "3", "train_loss", "val_loss", "best val_loss: epoch 2"]
    lines = [each.attrib["points"].split() for each in svg.iter(f"{SVG}polyline")]
    assert [len(line) for line in lines] == [3, 3]
    mark = [each.attrib["d"] for each in svg.iter(f"{SVG}path")][-1]
    assert mark.removeprefix("M").split(",")[0] == lines[0][1].split(",")[0]
    assert "best val_f1: epoch 3" in small_curve(metrics, "val_f1")


def test_a_long_training_has_a_small_drawing() -> None:
    svg = small_curve(metric_records(train_loss=[1 / epoch for epoch in range(1, 10_000)]), "val_loss")
    line = next(ElementTree.fromstring(svg).iter(f"{SVG}polyline")).attrib["points"].split()
    assert len(line) <= MAX_POINTS + 1
    assert "best train_loss: epoch 9999" in svg


def test_there_is_none_before_two_epochs_have_a_loss() -> None:
    assert small_curve([], "val_loss") == ""
    assert small_curve(metric_records(val_f1=[0.5, 0.5]), "val_loss") == ""
    assert small_curve(metric_records(train_loss=[0.5, math.nan]), "val_loss") == ""
    level = small_curve(metric_records(train_loss=[0.5, 0.5]), "val_loss")
    assert "best train_loss: epoch 1" in level


def test_names_are_escaped() -> None:
    svg = small_curve(metric_records(**{"<b>_loss": [0.5, 0.25], "train_loss": [1.0, 2.0]}), "<b>_loss")
    assert "<b>" not in svg
