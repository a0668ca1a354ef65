"""How far rank 0 says that the training is."""

from __future__ import annotations

from pathlib import Path

from longshore.workers.train.distributed.progress import read_progress, write_progress


def test_the_last_that_was_told_counts(tmp_path: Path) -> None:
    assert read_progress(tmp_path) == 0
    write_progress(9, tmp_path)
    write_progress(10, tmp_path)
    assert read_progress(tmp_path) == 10
