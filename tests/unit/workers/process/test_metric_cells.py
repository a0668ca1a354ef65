"""What a worker's child counts is what its parent reads, over the end of the child, too."""

from __future__ import annotations

from longshore.workers.process.monitoring.cells import (
    BUCKETS,
    Count,
    Distribution,
    Measurement,
    WorkerMetrics,
    add_counts,
    buckets_of,
)
from longshore.workers.process.watchdog.board import METRIC_CELLS, Board

NOTHING = (0.0,) * METRIC_CELLS


def test_no_two_numbers_share_a_cell() -> None:
    cells = [*Count, *Measurement]
    for each, limits in BUCKETS.items():
        cells += range(each, each + len(limits) + 2)
    assert len(cells) == len(set(cells))
    assert max(cells) < METRIC_CELLS


def test_the_parent_reads_what_the_child_counts() -> None:
    board = Board.private()
    metrics = WorkerMetrics(board.cells())
    metrics.count(Count.SHARDS_COMMITTED, 3)
    metrics.count(Count.SHARDS_COMMITTED)
    metrics.set(Measurement.MODEL_BYTES, 2.0**40)
    for rows in (1, 4, 5, 10**6):
        metrics.observe(Distribution.BATCH_ROWS, rows)
    cells = board.read_cells()
    assert (cells[Count.SHARDS_COMMITTED], cells[Measurement.MODEL_BYTES]) == (4, 2.0**40)
    buckets, total = buckets_of(cells, Distribution.BATCH_ROWS)
    assert buckets[:3] == [("1.0", 1), ("4.0", 2), ("16.0", 3)]
    assert buckets[-2:] == [("65536.0", 3), ("+Inf", 4)]
    assert total == 10 + 10**6


def test_counts_outlive_a_child_and_measurements_do_not() -> None:
    board = Board.private()
    metrics = WorkerMetrics(board.cells())
    metrics.count(Count.MODEL_LOADS, 2)
    metrics.set(Measurement.MODELS, 2)
    ended = add_counts(NOTHING, board.read_cells(), ended=True)
    assert (ended[Count.MODEL_LOADS], ended[Measurement.MODELS]) == (2, 0)
    both = add_counts(ended, board.read_cells())
    assert (both[Count.MODEL_LOADS], both[Measurement.MODELS]) == (4, 2)
