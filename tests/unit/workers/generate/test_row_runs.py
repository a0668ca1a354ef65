"""A row that the engine has, and its texts."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import replace
from uuid import UUID

import pytest

from longshore.shared import limits
from longshore.shared.ledger.records import Claim
from longshore.shared.ledger.shards.partial_texts import TextPiece
from longshore.workers.generate.engines.base import BegunText, Completion, Sampling, TokenLogprob
from longshore.workers.generate.rows import PreparedRow
from longshore.workers.generate.session.partial_texts import begun_texts
from longshore.workers.generate.session.saving import TextSaver
from longshore.workers.generate.session.shards import DoneRow, ReadRow, RowRun, RunningShard


class Texts:
    """Texts that grow by a token each second from their start on, and the clock for it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.started: dict[int, float] = {}

    def read(self, ids: Collection[int]) -> Mapping[int, BegunText]:
        return {id_: BegunText(tokens=(1,) * int(1 + self.now - self.started[id_])) for id_ in ids}


@pytest.fixture
def shard() -> RunningShard:
    claim = Claim(
        job_id=UUID(int=1),
        shard=0,
        attempt=1,
        attempt_limit=1,
        action="generate",
        start=0,
        stop=1,
        offset=None,
        length=None,
        kind="generate",
        spec={},
        model="story",
        version=1,
        digest=None,
        rows_per_shard=None,
        max_attempts=1,
        producer="tests",
        queue="cpu",
        priority=4,
    )
    return RunningShard(claim, ExitStack())


@pytest.mark.parametrize("logprobs", [0, 20])
def test_a_row_ends_with_the_first_texts_that_are_more_than_is_stored(shard: RunningShard, logprobs: int) -> None:
    prepared = PreparedRow(tokens=(1,), samplings=(Sampling(max_tokens=1, logprobs=logprobs),) * 4)
    run = RowRun(shard, ReadRow(0, prepared), prepared, [5, 6, 7, 8])
    # The bytes of the log probabilities of a token, at least; three of the texts are just too many.
    token = len('{"token": "", "logprob": 0.0}, ') * (1 + logprobs)
    tokens = limits.MAX_RESULT_BYTES // token * 2 // 5
    each = TokenLogprob(1, 0.0, ((1, 0.0),) * logprobs)
    for id_ in (5, 6, 7):
        assert run.excess is None
        text = Completion(id=id_, tokens=(1,) * tokens, text="", finish="length", logprobs=(each,) * tokens)
        assert not run.take(text)
    assert "ask for fewer tokens, texts or log probabilities" in (run.excess or "")


def test_rows_are_committed_in_parts_of_bounded_size(shard: RunningShard) -> None:
    shard.claim = replace(shard.claim, stop=5)
    shard.read = True
    for number, size in enumerate((40, 40, 300, 1, 1)):
        shard.add(DoneRow(number, "x" * size, None, None))
    parts = []
    while shard.done:
        assert shard.done_size == sum(row.size for row in shard.done)
        parts.append(shard.take_part(100))
    assert [[row.number for row in part.rows] for part in parts] == [[0, 1, 2], [3, 4]]
    assert [part.finished_rows for part in parts] == [None, 5]
    assert (shard.done_size, shard.finishing) == (0, True)


def test_what_is_saved_of_texts_in_parts_is_what_they_have(shard: RunningShard) -> None:
    prepared = PreparedRow(tokens=(1,), samplings=(Sampling(max_tokens=9, logprobs=1),) * 2)
    run = RowRun(shard, ReadRow(0, prepared), prepared, [5, 6])
    logprobs = (
        TokenLogprob(7, -0.1, ((7, -0.1),)),
        TokenLogprob(8, -math.inf, ((9, math.nan),)),
        TokenLogprob(9, -2.0),
    )
    texts = {5: BegunText((7, 8, 9), logprobs), 6: BegunText((4,), (TokenLogprob(4, -1.0),))}
    assert run.unsaved({}) == []
    assert shard.saved == set()
    first = run.unsaved({5: BegunText((7,), logprobs[:1]), 99: texts[6]})
    second = run.unsaved(texts)
    assert [(part.index, part.start, list(part.tokens)) for part in first + second] == [
        (0, 0, [7]),
        (0, 1, [8, 9]),
        (1, 0, [4]),
    ]
    assert shard.saved == {0}
    # As in an output, where JSON has no infinity.
    stored = (logprobs[0], TokenLogprob(8, -9999.0, ((9, -9999.0),)), logprobs[2])
    whole = {(0, 0): BegunText([7, 8, 9], list(stored)), (0, 1): BegunText([4], list(texts[6].logprobs or ()))}
    assert begun_texts(first + second) == whole
    run.forget_saved()
    assert begun_texts(run.unsaved(texts)) == whole


def test_parts_that_are_damaged_do_not_become_other_texts() -> None:
    parts = [TextPiece(row=0, index=0, start=start, tokens=[start, start + 1]) for start in (0, 2, 6)]
    assert begun_texts(parts) == {(0, 0): BegunText([0, 1, 2, 3])}
    assert begun_texts(parts[1:]) == {}
    for logprobs in ("{}", "[[1, []]]", "[[1, 2], [3, 4]]"):
        assert begun_texts([replace(parts[0], logprobs=logprobs)]) == {(0, 0): BegunText([0, 1])}


def test_texts_that_are_due_at_about_the_same_time_are_saved_together(shard: RunningShard) -> None:
    texts = Texts()
    saver = TextSaver(texts.read, 10, clock=lambda: texts.now)
    prepared = PreparedRow(tokens=(1,), samplings=(Sampling(max_tokens=99),))
    runs = {id_: RowRun(shard, ReadRow(id_, prepared), prepared, [id_]) for id_ in range(4)}

    def saved_at(second: float) -> list[tuple[int, int]]:
        """The rows of which something is saved then, and how many tokens."""
        texts.now = second
        return [(each.run.row.number, len(each.part.tokens)) for each in saver.take_due()]

    for id_, start in enumerate((0, 3, 5, 7)):
        texts.now = texts.started[id_] = float(start)
        saver.start([id_], runs)
    assert saved_at(9.9) == []
    saver.end([runs[1]])
    # The first one is due, and the third one has half of an interval behind it.
    assert saved_at(10) == [(0, 11), (2, 6)]
    assert saved_at(16.9) == []
    # Those that were saved before come later.
    assert saved_at(17) == [(3, 11), (0, 7), (2, 7)]
    assert saved_at(26.9) == []
    texts.now = 27.5
    assert [each.run.row.number for each in saver.take_all()] == [3, 0, 2]
    assert saved_at(37.4) == []
    assert [row for row, _ in saved_at(37.5)] == [3, 0, 2]
