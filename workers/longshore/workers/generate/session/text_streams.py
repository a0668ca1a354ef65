"""Publishes the texts of jobs that ask for it while they are written: :mod:`~longshore.broker.gateway.text_deltas`."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from uuid import UUID

from longshore.broker.gateway.text_deltas import TextDelta, encode_deltas, text_channel
from longshore.broker.redis_address import RedisAddress
from longshore.broker.redis_errors import RedisUnavailable, redis_errors
from longshore.workers.generate.outputs import stored_text
from longshore.workers.generate.text_decoder import TextDecoder

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

#: Seconds between two messages of a job, at least: what comes meanwhile goes with the next one. Nobody reads faster.
PUBLISH_INTERVAL_S: Final = 0.02
#: Seconds without another try after Redis could not be reached.
OUTAGE_PAUSE_S: Final = 2.0


@dataclass
class StreamedText:
    """A text that is written, and how much of it is published."""

    job: UUID
    row: int
    index: int
    attempt: int
    decoder: TextDecoder
    #: What it begins with before the first token.
    prefix: str
    #: Tokens that were not looked at.
    tokens: list[int] = field(default_factory=list)
    #: The whole text, once it has ended.
    final: str | None = None
    #: What is published, and how many characters that is.
    _published: list[str] = field(default_factory=list)
    _length: int = 0
    _unpublished: str = ""

    def begin(self) -> StreamedText:
        """Publish the prefix with the first tokens."""
        self._unpublished = self.prefix
        return self

    def next_delta(self, tokens: Sequence[int], final: str | None) -> TextDelta | None:
        """What was not published. Called by the thread that publishes.

        :param tokens: those that have come.
        """
        self._unpublished += self.decoder.add(tokens)
        if final is not None:
            text = self.prefix + final
            known = "".join(self._published)
            # Of a text that goes on otherwise, as after a restart of an engine, the reader gets the row.
            self._unpublished = stored_text(text)[self._length :] if stored_text(text).startswith(known) else ""
        if not self._unpublished:
            return None
        return TextDelta(self.row, self.index, self.attempt, self._length, stored_text(self._unpublished))

    def published(self, delta: TextDelta) -> None:
        """The delta is on its way."""
        self._published.append(delta.text)
        self._length += len(delta.text)
        self._unpublished = ""


class TextPublisher:
    """Publishes in a thread, which starts with the first text. The engine never waits for it: while Redis is slow,
    each message has more, and while it is away, what ends is not published at all.
    """

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._texts: dict[int, StreamedText] = {}
        #: Those with something new, in the order in which they got it.
        self._changed: dict[int, StreamedText] = {}
        self._condition = threading.Condition()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, id: int, text: StreamedText) -> None:
        """Publish the text of a request of the engine from now on."""
        with self._condition:
            self._texts[id] = text.begin()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="text publisher", daemon=True)
                self._thread.start()

    def add(self, new_tokens: Mapping[int, Sequence[int]]) -> None:
        """Requests have got tokens."""
        if not new_tokens or not self._texts:
            return
        with self._condition:
            for id_, tokens in new_tokens.items():
                if (text := self._texts.get(id_)) is not None:
                    text.tokens += tokens
                    self._changed[id_] = text
            self._condition.notify()

    def end(self, id: int, final: str) -> None:
        """A request has ended, with this text."""
        if not self._texts:
            return
        with self._condition:
            if (text := self._texts.pop(id, None)) is not None:
                text.final = final
                self._changed[id] = text
                self._condition.notify()

    def discard(self, ids: Collection[int]) -> None:
        """Requests have no text: publish no more of it."""
        if not self._texts:
            return
        with self._condition:
            for id_ in ids:
                if self._texts.pop(id_, None) is not None:
                    self._changed.pop(id_, None)

    def close(self) -> None:
        """Publish no more."""
        self._closed.set()
        with self._condition:
            self._condition.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        client = self._address.client()
        while (changed := self._next()) is not None:
            pause = PUBLISH_INTERVAL_S
            try:
                self._publish(client, changed)
            except RedisUnavailable as error:
                log.warning("%s; texts are not streamed now", error)
                pause = OUTAGE_PAUSE_S
            except Exception:  # the texts themselves are written all the same
                log.exception("texts are not streamed now")
                pause = OUTAGE_PAUSE_S
            self._closed.wait(pause)
        client.close()

    def _next(self) -> list[tuple[StreamedText, list[int], str | None]] | None:
        """The texts with something new, and what it is; ``None`` at the end."""
        with self._condition:
            while not self._changed and not self._closed.is_set():
                self._condition.wait()
            if self._closed.is_set():
                return None
            changed = []
            for text in self._changed.values():
                changed.append((text, text.tokens, text.final))
                text.tokens = []
            self._changed.clear()
            return changed

    def _publish(self, client: Redis, changed: Sequence[tuple[StreamedText, list[int], str | None]]) -> None:
        deltas: defaultdict[UUID, list[tuple[StreamedText, TextDelta]]] = defaultdict(list)
        for text, tokens, final in changed:
            delta = text.next_delta(tokens, final)
            if delta is not None:
                deltas[text.job].append((text, delta))
        if not deltas:
            return
        with redis_errors():
            pipeline = client.pipeline(transaction=False)
            for job, those in deltas.items():
                pipeline.publish(text_channel(self._address, job), encode_deltas([delta for _, delta in those]))
            pipeline.execute()
        for those in deltas.values():
            for text, delta in those:
                text.published(delta)
