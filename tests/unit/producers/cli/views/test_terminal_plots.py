"""Plots of characters."""

from __future__ import annotations

import itertools

import pytest

from longshore.producers.cli.views.terminal_plots import HEIGHT, WIDTH, plot_lines, print_curves
from longshore.producers.reporting.curves import panels
from tests.unit.producers.reporting.metric_records import metric_records


def test_a_falling_line_goes_from_the_top_left_to_the_bottom_right() -> None:
    title, *plot, axis = (line.plain for line in plot_lines(panels(metric_records(train_loss=[3, 2, 1]))[0]))
    assert title.strip() == "train_loss 1"
    assert len(plot) == HEIGHT
    assert [line.split("│")[0].strip() for line in plot] == ["3", *[""] * (HEIGHT - 2), "1"]
    cells = [line.split("│")[1] for line in plot]
    columns = [[column for column, mark in enumerate(line) if mark != " "] for line in cells]
    assert all(columns), "the curve crosses every line"
    assert columns[0][0] == 0
    assert columns[-1][-1] == WIDTH - 1
    # Each line continues where the line above it ended.
    assert all(below[0] - above[-1] in (0, 1) for above, below in itertools.pairwise(columns))
    assert axis.strip().startswith("└epoch 1")
    assert axis.endswith(" 3")


def test_a_flat_line_is_in_the_middle() -> None:
    _, *plot, _ = (line.plain for line in plot_lines(panels(metric_records(val_accuracy=[1, 1, 1]))[0]))
    marked = [row for row, line in enumerate(plot) if line.split("│")[1].strip()]
    assert marked in ([HEIGHT // 2 - 1], [HEIGHT // 2])


def test_a_single_epoch_is_not_plotted() -> None:
    assert [
        line.plain.strip() for line in plot_lines(panels(metric_records(train_loss=[0.5], val_loss=[0.25]))[0])
    ] == ["train_loss 0.5  val_loss 0.25"]


def test_curves_have_colours_and_names_are_no_markup() -> None:
    metrics = metric_records(**{"train_[red]x": [1.0, 2.0], "val_[red]x": [2.0, 1.0]})
    title = plot_lines(panels(metrics)[0])[0]
    assert title.plain.strip() == "train_[red]x 2  val_[red]x 1"
    assert len({str(span.style) for span in title.spans}) == 2


def test_a_pipe_gets_only_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_curves(metric_records(train_loss=[3, 2.5], val_loss=[4]))
    assert capsys.readouterr().out.splitlines() == [
        "",
        "EPOCH  train_loss  val_loss",
        "    1           3         4",
        "    2         2.5",
    ]
    print_curves([])
    assert capsys.readouterr().out == ""
