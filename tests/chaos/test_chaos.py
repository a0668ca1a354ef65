"""A bounded run: every test run attacks for some minutes. Longer ones are made by ``python -m tests.chaos``."""

from __future__ import annotations

import os
from functools import partial

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.run import make_faults, run

pytestmark = pytest.mark.slow

#: Minutes of faults, and the seed of their order.
MINUTES = float(os.environ.get("LONGSHORE_CHAOS_MINUTES", "4"))
SEED = int(os.environ.get("LONGSHORE_CHAOS_SEED", "0"))


def test_no_row_is_lost_or_doubled_whatever_fails() -> None:
    said: list[str] = []
    attack = partial(make_faults, seconds=60 * MINUTES, kinds=list(FAULTS), say=said.append)
    outcome = run(seed=SEED, rows=50_000, during=attack, say=said.append)
    assert outcome.problems() == [], "\n".join(said)
    assert outcome.faults >= 5
    assert outcome.report.acknowledged >= 500
    assert outcome.report.rows >= 50_000
