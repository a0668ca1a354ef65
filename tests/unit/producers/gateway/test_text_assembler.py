"""What a reader gets of texts, whatever arrives of them."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable

from longshore.broker.gateway.text_deltas import TextDelta, decode_deltas, encode_deltas
from longshore.producers.gateway.streaming import (
    RowFailed,
    RowFinished,
    TextAdded,
    TextAssembler,
    TextEvent,
    TextRestarted,
)


def read(events: Iterable[TextEvent]) -> dict[tuple[int, int], str]:
    """The texts as a reader has them."""
    texts: defaultdict[tuple[int, int], str] = defaultdict(str)
    for event in events:
        if isinstance(event, TextAdded):
            texts[event.row, event.index] += event.text
        elif isinstance(event, TextRestarted):
            texts[event.row, event.index] = ""
    return dict(texts)


def test_a_text_comes_in_parts() -> None:
    assembler = TextAssembler()
    events = [
        *assembler.add(TextDelta(0, 0, 1, 0, "the ")),
        *assembler.add(TextDelta(0, 0, 1, 4, "cat")),
        *assembler.finish(0, {"text": "the cat sat"}),
    ]
    output = RowFinished(0, {"text": "the cat sat"})
    assert events == [TextAdded(0, 0, "the "), TextAdded(0, 0, "cat"), TextAdded(0, 0, " sat"), output]


def test_a_second_attempt_with_the_same_words_goes_on() -> None:
    assembler = TextAssembler()
    first = [*assembler.add(TextDelta(0, 0, 1, 0, "the cat"))]
    assert [*assembler.add(TextDelta(0, 0, 2, 0, "the"))] == []
    assert [*assembler.add(TextDelta(0, 0, 1, 7, " of the attempt that is lost"))] == []
    second = [*assembler.add(TextDelta(0, 0, 2, 3, " cat sat"))]
    assert [*first, *second] == [TextAdded(0, 0, "the cat"), TextAdded(0, 0, " sat")]


def test_a_second_attempt_with_other_words_begins_anew() -> None:
    assembler = TextAssembler()
    assert [*assembler.add(TextDelta(0, 0, 1, 0, "the cat"))]
    assert [*assembler.add(TextDelta(0, 0, 2, 0, "the "))] == []
    events = [*assembler.add(TextDelta(0, 0, 2, 4, "dog ran"))]
    assert events == [TextRestarted(0, 0), TextAdded(0, 0, "the dog ran")]
    assert [*assembler.finish(0, {"text": "a"})][:2] == [TextRestarted(0, 0), TextAdded(0, 0, "a")]


def test_a_row_that_failed_has_no_text() -> None:
    assembler = TextAssembler()
    assert [*assembler.add(TextDelta(3, 0, 1, 0, "{"))]
    assert [*assembler.fail(3, "is not a JSON document")] == [RowFailed(3, "is not a JSON document")]
    assert [*assembler.add(TextDelta(3, 0, 1, 1, "}"))] == []


def test_whatever_is_lost_or_comes_twice_the_reader_has_the_row() -> None:
    generator = random.Random(0)
    for _ in range(500):
        final = [f"{'the cat sat 你'[: generator.randint(1, 13)]}{generator.choice('ab')}" for _ in range(2)]
        deltas = []
        for attempt in range(1, generator.randint(2, 4)):
            for index, text in enumerate(final):
                words = text if generator.random() < 0.6 else "the dog ran"
                start = 0
                while start < len(words):
                    stop = start + generator.randint(1, 4)
                    deltas.append(TextDelta(0, index, attempt, start, words[start:stop]))
                    start = stop
        deltas = [delta for delta in deltas if generator.random() < 0.9]
        if generator.random() < 0.3:
            generator.shuffle(deltas)
        assembler = TextAssembler()
        arrived = decode_deltas(encode_deltas(deltas))
        events = [event for delta in arrived for event in assembler.add(delta)]
        events += assembler.finish(0, {"text": final[0], "choices": [{"text": text} for text in final]})
        assert read(events) == dict(enumerate_texts(final))


def enumerate_texts(texts: Iterable[str]) -> Iterable[tuple[tuple[int, int], str]]:
    return (((0, index), text) for index, text in enumerate(texts))
