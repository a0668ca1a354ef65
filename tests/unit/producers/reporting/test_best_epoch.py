"""The best epoch of a training job, so far and in its outcome."""

from __future__ import annotations

from dataclasses import replace

from longshore.producers.reporting.best_epoch import best_epoch, final_metrics_line
from longshore.producers.reporting.live_line import live_line
from longshore.producers.reporting.progress import progress_of
from longshore.shared.ledger.records import JobRecord
from longshore.shared.vocabulary import State
from tests.unit.producers.reporting.metric_records import NOW, metric_records

METRICS = metric_records(train_loss=[3, 2, 1], val_loss=[3.5, 2, 2], val_accuracy=[0.1, 0.5, 0.9])
OUTCOME = {
    **{"best_epoch": 2, "epochs": 3, "monitor": "val_loss", "best_metrics": {"train_loss": 2.0, "val_loss": 1.5}},
    **{"final_metrics": {"train_loss": 1.0, "val_loss": 2.0}},
}


def job(**values: object) -> JobRecord:
    record = JobRecord(
        **{"id": None, "kind": "train", "state": State.RUNNING, "producer": "p", "queue": "cpu", "priority": 4},  # type: ignore[arg-type]
        **{"spec": {"monitor": "val_loss"}, "model": "m", "version": None, "digest": None, "rows_total": 4},  # type: ignore[arg-type]
        **{"rows_done": 3, "rows_failed": 0, "shards_total": 1, "shards_done": 0, "shards_failed": 0},  # type: ignore[arg-type]
        **{"outcome": None, "error": None, "created_at": NOW, "started_at": NOW, "finished_at": None},  # type: ignore[arg-type]
        **{"deadline": None, "read_at": NOW},  # type: ignore[arg-type]
    )
    return replace(record, **values)  # type: ignore[arg-type]


def test_the_first_of_equal_epochs_by_the_metric_that_is_watched() -> None:
    best = best_epoch(job(), METRICS)
    assert best is not None
    assert (best.epoch, best.epochs) == (2, 3)
    assert best.text == "2 of 3: val_loss=2 train_loss=2 val_accuracy=0.5"
    last = best_epoch(job(spec={"monitor": "val_accuracy"}), METRICS)
    assert last is not None
    assert last.text == "3 of 3, by val_accuracy"


def test_without_rows_held_out_it_is_by_train_loss() -> None:
    best = best_epoch(job(), metric_records(train_loss=[3, 1, 2], test_loss=[0, 0, 0]))
    assert best is not None
    assert (best.epoch, best.monitor, dict(best.metrics)) == (2, "train_loss", {"train_loss": 1})


def test_no_epoch_and_no_training() -> None:
    assert best_epoch(job(), []) is None
    assert best_epoch(job(kind="evaluate", spec={}), metric_records(accuracy=[1.0])) is None
    assert final_metrics_line({}) == ""


def test_the_outcome_comes_first() -> None:
    best = best_epoch(job(outcome=OUTCOME), METRICS)
    assert best is not None
    assert best.text == "2 of 3: val_loss=1.5 train_loss=2"
    assert final_metrics_line(OUTCOME) == "val_loss=2 train_loss=1"
    assert final_metrics_line({**OUTCOME, "best_epoch": 3}) == ""


def test_the_live_line_names_a_best_epoch_that_is_past() -> None:
    for metrics, said in ((METRICS, True), (METRICS[:2] + METRICS[3:5], False)):
        line = live_line(job(), progress_of(job()), {"val_loss": 2.0}, best_epoch(job(), metrics))
        assert ("best epoch 2" in line.metrics) is said
        assert "val_loss 2" in line.metrics
