"""What a training in several processes ends with, by what they say and how they ended."""

from __future__ import annotations

from pathlib import Path

import pytest

from longshore.shared.errors import AttemptLost, CorruptBlob, DataError, InvalidInput, ServiceUnavailable, UnknownModel
from longshore.workers.train.distributed.failures import ProcessFailed, attempt_error, write_exit_codes, write_failure


def test_what_one_refuses_goes_before_what_the_others_die_of(tmp_path: Path) -> None:
    write_failure(RuntimeError("Connection closed by peer"), 0, tmp_path)
    write_failure(InvalidInput("data", "row 7: nan; correct or remove it"), 1, tmp_path)
    write_exit_codes({0: 1, 1: 1}, tmp_path)
    found = attempt_error(tmp_path, 2)
    assert isinstance(found, InvalidInput)
    assert (found.field, found.reason) == ("data", "row 7: nan; correct or remove it")


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (AttemptLost("1/0/2: not the current one"), AttemptLost, "1/0/2: not the current one"),
        (CorruptBlob("sha256:1"), CorruptBlob, "sha256:1"),
        (DataError("rows.csv is gone"), DataError, "rows.csv is gone"),
        (ServiceUnavailable("Postgres is away"), ServiceUnavailable, "Postgres is away"),
        (UnknownModel("base", "'m' is none"), InvalidInput, "base: 'm' is none"),
        (KeyError("x"), ProcessFailed, "rank 1 of 3: KeyError: 'x'"),
    ],
)
def test_errors_keep_their_kind_and_words(tmp_path: Path, error: Exception, kind: type[Exception], said: str) -> None:
    write_failure(error, 1, tmp_path)
    found = attempt_error(tmp_path, 3)
    assert type(found) is kind
    assert str(found) == said


def test_a_killed_rank_goes_before_the_errors_that_it_causes(tmp_path: Path) -> None:
    write_failure(RuntimeError("Connection closed by peer"), 0, tmp_path)
    write_exit_codes({0: 1, 1: -9}, tmp_path)
    wanted = "rank 1 (SIGKILL) of 2 was killed; it may have taken more memory than there is"
    assert str(attempt_error(tmp_path, 2)) == wanted


def test_of_errors_the_first_counts(tmp_path: Path) -> None:
    write_failure(ValueError("first"), 2, tmp_path)
    write_failure(RuntimeError("second"), 0, tmp_path)
    assert str(attempt_error(tmp_path, 3)) == "rank 2 of 3: ValueError: first"


def test_who_says_nothing_is_named_by_its_status(tmp_path: Path) -> None:
    assert "the launcher did not say why" in str(attempt_error(tmp_path, 2))
    write_exit_codes({1: 3}, tmp_path)
    assert "rank 1 with status 3" in str(attempt_error(tmp_path, 2))
