"""Curves as image files and as TensorBoard event files."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from longshore.producers.reporting.curves import panels
from longshore.producers.reporting.plots import save_plot
from longshore.producers.reporting.tensorboard import write_event_file
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.records import MetricRecord
from tests.unit.producers.reporting.metric_records import NOW, metric_records

METRICS = metric_records(train_loss=[3, 2, 1], val_loss=[3.5, 2.5, 2], val_accuracy=[0.1, 0.5, 0.9])


def test_save_a_png(tmp_path: Path) -> None:
    path = tmp_path / "curve.png"
    path.write_text("an older file")
    assert save_plot(panels(METRICS), path, "digits") == path
    with Image.open(path) as image:
        assert image.format == "PNG"
        colours = image.convert("RGB").getcolors(1 << 24)
    assert colours is not None
    assert len(colours) > 10, "the curves are visible"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("suffix", "start"), [(".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_other_formats(tmp_path: Path, suffix: str, start: bytes) -> None:
    path = save_plot(panels(METRICS), tmp_path / f"curve{suffix}", "digits")
    assert path.read_bytes().startswith(start)


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInput, match=r"^output: .*curve.gif: the suffix of a plot must be one of .png, .svg, .pdf$"
    ):
        save_plot(panels(METRICS), tmp_path / "curve.gif", "digits")


def test_without_metrics_no_file_is_written(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"^job: there are no metrics to plot yet"):
        save_plot([], tmp_path / "curve.png", "digits")
    with pytest.raises(InvalidInput, match=r"^job: there are no metrics to write yet"):
        write_event_file([], tmp_path / "events")
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"^output: cannot write .*No such file"):
        save_plot(panels(METRICS), tmp_path / "none" / "curve.png", "digits")


def test_event_files_contain_every_value(tmp_path: Path) -> None:
    steps = [MetricRecord(step=100, name="step/loss", value=0.5, recorded_at=NOW)]
    assert write_event_file([*METRICS, *steps], tmp_path / "runs" / "a") == len(METRICS) + 1
    events = EventAccumulator(str(tmp_path / "runs" / "a"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"epoch/train_loss", "epoch/val_loss", "epoch/val_accuracy", "step/loss"}
    losses = events.Scalars("epoch/val_loss")
    assert [(event.step, event.value) for event in losses] == [(1, 3.5), (2, 2.5), (3, 2)]
    assert losses[0].wall_time == NOW.timestamp()


def test_a_file_at_the_path_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("")
    with pytest.raises(InvalidInput, match=r"^output: cannot write .*events"):
        write_event_file(METRICS, tmp_path / "events")
