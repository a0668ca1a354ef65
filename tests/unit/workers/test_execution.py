"""Which function runs a shard, and what is stored of an error."""

from __future__ import annotations

import pytest

from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.vocabulary import Action
from longshore.workers.attempt_ends import MAX_ERROR_CHARS, describe
from longshore.workers.handlers import HANDLERS, SESSIONS


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (InvalidInput("label", "is missing"), "label: is missing"),
        (DataError("rows.csv ends early"), "rows.csv ends early"),
        (ValueError("no"), "ValueError: no"),
        (ValueError("a\x00b"), "ValueError: ab"),
        (ValueError("half \ud800 of a pair"), "ValueError: half ? of a pair"),
    ],
)
def test_an_error_is_kept_as_its_owner_can_read_it(error: Exception, kept: str) -> None:
    assert describe(error) == kept


def test_a_long_error_is_cut() -> None:
    assert len(describe(ValueError("x" * 10 * MAX_ERROR_CHARS))) == MAX_ERROR_CHARS


def test_every_action_has_a_handler() -> None:
    assert {*HANDLERS, *SESSIONS} == set(Action)
    assert not HANDLERS.keys() & SESSIONS.keys()
