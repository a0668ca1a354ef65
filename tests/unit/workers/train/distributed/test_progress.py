"""How far rank 0 says that the training is."""

from __future__ import annotations

from pathlib import Path

from longshore.workers.train.distributed.progress import tell, told


def test_the_last_that_was_told_counts(tmp_path: Path) -> None:
    assert told(tmp_path) == 0
    tell(9, tmp_path)
    tell(10, tmp_path)
    assert told(tmp_path) == 10
