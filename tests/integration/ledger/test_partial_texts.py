"""What texts have that are being generated: only the current attempt saves it, and it goes with its row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import pytest

from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.shards.partial_texts import TextPiece
from longshore.shared.ledger.shards.row_commits import CommittedRows
from tests.integration.support import claim, end_attempt, lines, new_job


def submit(ledger: Ledger, *rows: int) -> UUID:
    return ledger.submissions.submit([new_job(*rows, kind="generate", max_row_errors=1)])[0]


def part(row: int, start: int, tokens: Sequence[int], *, index: int = 0, logprobs: str | None = None) -> TextPiece:
    return TextPiece(row=row, index=index, start=start, tokens=list(tokens), logprobs=logprobs)


def commit_rows(
    ledger: Ledger, of: Claim, rows: Sequence[int], saved: Sequence[int], *, failed: int = 0, whole: int | None = None
) -> None:
    errors = dict.fromkeys(rows[:failed], "it is too long")
    done = CommittedRows(claim=of, rows=len(rows) - failed, errors=errors, saved=saved, finished_rows=whole)
    assert ledger.attempts.commit_rows([done], lines(of, rows[failed:])) == set()


@contextmanager
def out_of_reach(ledger: Ledger) -> Iterator[None]:
    """Whoever touches the table waits for ever."""
    with ledger.database.own_connection() as conn, conn.transaction(force_rollback=True):
        conn.execute("LOCK TABLE partial_texts IN ACCESS EXCLUSIVE MODE")
        yield


def test_parts_follow_each_other_and_replace_what_came_after(ledger: Ledger) -> None:
    first = claim(ledger, submit(ledger, 3, 2))
    texts = [part(1, 0, [1, 2]), part(1, 0, [7], index=1, logprobs="[[-1.5, []]]"), part(2, 0, [3])]
    assert ledger.attempts.save_texts([(first, text) for text in texts]) == set()
    assert ledger.attempts.partial_texts(first) == texts
    more = [part(1, 2, [9]), part(1, 3, [10])]
    for text in more:
        assert ledger.attempts.save_texts([(first, text)]) == set()
    assert ledger.attempts.partial_texts(first) == [texts[0], *more, *texts[1:]]
    # As after a save whose answer was lost, and of a text that has begun anew.
    again = [part(1, 2, [9, 10, 11]), part(2, 0, [4, 5])]
    assert ledger.attempts.save_texts([(first, text) for text in again]) == set()
    assert ledger.attempts.partial_texts(first) == [texts[0], again[0], texts[1], again[1]]
    assert ledger.attempts.partial_texts(claim(ledger, first.job_id, 1)) == []


def test_rows_that_are_committed_leave_nothing(ledger: Ledger) -> None:
    first = claim(ledger, submit(ledger, 4))
    ledger.attempts.save_texts([(first, part(row, 0, [1])) for row in (0, 1, 3)])
    commit_rows(ledger, first, [0, 1, 2], [0, 1], failed=1)
    assert [text.row for text in ledger.attempts.partial_texts(first)] == [3]
    commit_rows(ledger, first, [3], [3], whole=3)
    assert ledger.attempts.partial_texts(first) == []


@pytest.mark.parametrize("end", ["expire", "fail", "release", "cancel"])
def test_an_attempt_that_has_ended_saves_nothing_and_leaves_what_it_has_saved(ledger: Ledger, end: str) -> None:
    other = claim(ledger, submit(ledger, 1))
    job = submit(ledger, 2)
    first = claim(ledger, job)
    ledger.attempts.save_texts([(first, part(1, 0, [1, 2]))])
    end_attempt(ledger, first, end)
    if end == "cancel":
        ledger.control.retry(job)
    second = claim(ledger, job)
    late = [(first, part(1, 2, [3])), (first, part(0, 0, [5])), (other, part(0, 0, [6]))]
    assert ledger.attempts.save_texts(late) == {(job, 0)}
    assert ledger.attempts.partial_texts(second) == [part(1, 0, [1, 2])]
    assert ledger.attempts.partial_texts(other) == [part(0, 0, [6])]


def test_short_texts_cost_no_statement(ledger: Ledger) -> None:
    with out_of_reach(ledger):
        first = claim(ledger, submit(ledger, 3))
        ledger.attempts.begin_rows(first)
        commit_rows(ledger, first, [0, 1], [])
        commit_rows(ledger, first, [2], [], whole=3)
