"""Hears what workers add to texts while they write them: one connection to Redis for all that listen."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final
from uuid import UUID

from longshore.broker.gateway.text_deltas import TextDelta, decode_deltas, text_channel
from longshore.broker.redis_address import RedisAddress
from longshore.broker.redis_errors import RedisUnavailable, redis_errors

if TYPE_CHECKING:
    from redis.asyncio.client import PubSub

log = logging.getLogger(__name__)

#: Characters that wait for a listener, at most. One that reads slower misses what comes then, and gets the end.
MAX_WAITING_CHARACTERS: Final = 1 << 20
#: Seconds until Redis must have confirmed that a listener gets the messages.
SUBSCRIBE_TIMEOUT_S: Final = 2.0
#: Seconds between two tries to reach Redis.
RECONNECT_INTERVAL_S: Final = 1.0
#: Seconds that the connection waits for a message until it checks that it is alive.
_READ_TIMEOUT_S: Final = 1.0
#: Its channel has no messages.
_NO_JOB: Final = UUID(int=0)


class TextInbox:
    """What one listener has not taken.

    :param changed: set when there is something.
    """

    def __init__(self, changed: asyncio.Event) -> None:
        self._changed = changed
        self._deltas: deque[TextDelta] = deque()
        self._characters = 0
        self.confirmed = asyncio.Event()

    def put(self, deltas: Sequence[TextDelta]) -> None:
        """Add what fits. What is left out shows by the places of what follows."""
        for delta in deltas:
            if self._characters + len(delta.text) <= MAX_WAITING_CHARACTERS:
                self._deltas.append(delta)
                self._characters += len(delta.text)
        self._changed.set()

    def take(self) -> TextDelta | None:
        """The next one; ``None`` if there is none now."""
        if not self._deltas:
            return None
        delta = self._deltas.popleft()
        self._characters -= len(delta.text)
        return delta


class TextChannels:
    """The listeners of one event loop.

    If Redis cannot be reached, they hear nothing, and everything else goes on.
    """

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._inboxes: dict[str, TextInbox] = {}
        self._pubsub: PubSub | None = None
        self._task: asyncio.Task[None] | None = None
        self._background: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self, job: UUID, changed: asyncio.Event) -> AsyncIterator[TextInbox]:
        """Hear the texts of a job. Whatever is published from now on is heard, unless Redis is away.

        :param job: has no other listener here.
        :param changed: set when there is something.
        """
        channel = text_channel(self._address, job)
        inbox = self._inboxes[channel] = TextInbox(changed)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="longshore: texts")
        elif self._pubsub is not None:
            # Else the task subscribes to it when it has connected.
            with suppress(RedisUnavailable):
                await self._subscribe(self._pubsub, channel)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(inbox.confirmed.wait(), SUBSCRIBE_TIMEOUT_S)
            yield inbox
        finally:
            del self._inboxes[channel]
            if self._pubsub is not None:
                self.run_in_background(self._unsubscribe(self._pubsub, channel))

    def run_in_background(self, work: Coroutine[None, None, None]) -> None:
        """Do something to the end although the request for which it is done has ended."""
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def close(self) -> None:
        """Hear nothing any more, after the work in the background."""
        if self._background:
            await asyncio.wait(self._background)
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        client = self._address.async_client()
        try:
            while True:
                pubsub = client.pubsub()
                try:
                    await self._listen(pubsub)
                except RedisUnavailable as error:
                    log.warning("%s; texts are not streamed now", error)
                finally:
                    self._pubsub = None
                    with suppress(Exception):  # of a connection that is broken
                        await pubsub.aclose()  # type: ignore[no-untyped-call]
                await asyncio.sleep(RECONNECT_INTERVAL_S)
        finally:
            await client.aclose()

    async def _listen(self, pubsub: PubSub) -> None:
        with redis_errors():
            await pubsub.connect()  # type: ignore[no-untyped-call]
            self._pubsub = pubsub
            # Without any channel, a command would first ask whether the connection is alive, and read the answer, while
            # this task reads.
            await pubsub.subscribe(text_channel(self._address, _NO_JOB), *self._inboxes)
            while True:
                message = await pubsub.get_message(timeout=_READ_TIMEOUT_S)
                if message is None:
                    continue
                inbox = self._inboxes.get(_text(message["channel"]))
                if inbox is None:
                    continue
                if message["type"] == "subscribe":
                    inbox.confirmed.set()
                elif message["type"] == "message":
                    inbox.put(decode_deltas(message["data"]))

    @staticmethod
    async def _subscribe(pubsub: PubSub, channel: str) -> None:
        with redis_errors():
            await pubsub.subscribe(channel)

    @staticmethod
    async def _unsubscribe(pubsub: PubSub, channel: str) -> None:
        with suppress(RedisUnavailable), redis_errors():
            await pubsub.unsubscribe(channel)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
