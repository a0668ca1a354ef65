"""The tokens that callers have shown lately, so that a request does not cost a query.

Postgres announces a token that is revoked, and every gateway forgets it at once. A gateway that cannot listen keeps
nothing, and asks Postgres for each request. A connection that is lost without a word is noticed within some ten
seconds, and no token is kept for longer than :data:`KEEP_S`: so long can a revoked one still be used in the worst case.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Final

from longshore.producers.aio.gathered import Gathered
from longshore.producers.aio.threads import Threads
from longshore.shared.errors import LongshoreError
from longshore.shared.ledger.gateway.tokens import AccessTokens, ShownToken, ValidToken
from longshore.shared.ledger.notifications import SILENCE_S, Listener

log = logging.getLogger(__name__)

#: Seconds for which a token is taken as valid without asking Postgres.
KEEP_S: Final = 10.0
#: Tokens that are kept, those that were used last.
MAX_KEPT: Final = 10_000
#: Seconds between two tries to listen.
RECONNECT_INTERVAL_S: Final = 1.0


@dataclass(frozen=True)
class _Kept:
    token: ValidToken
    #: Of ``time.monotonic()``.
    until: float


class TokenCache:
    """The valid tokens, in one event loop.

    :param tokens: where they are.
    :param threads: in which Postgres is asked.
    """

    def __init__(self, tokens: AccessTokens, threads: Threads) -> None:
        self._tokens = tokens
        self._threads = threads
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        #: What many requests ask at once is one query: when a token that all of them show is not kept any more.
        self._reads: Gathered[str, ValidToken | None] = Gathered(threads, self._read_each)
        self._listens = False
        #: Counts what may have made an answer of Postgres wrong while it was on its way.
        self._changes = 0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Listen for tokens that are revoked, in the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="longshore: revoked tokens")

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def valid(self, text: str) -> ValidToken | None:
        """The token that a caller shows; ``None`` if it is no token, or an unknown, expired or revoked one.

        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        shown = ShownToken.parse(text)
        if shown is None:
            return None
        kept = self._kept.get(shown.id)
        if kept is None or time.monotonic() >= kept.until:
            token = await self._read(shown.id)
        else:
            self._kept.move_to_end(shown.id)
            token = kept.token
        return token if shown.matches(token) else None

    async def _read(self, id: str) -> ValidToken | None:
        changes, read_at = self._changes, time.monotonic()
        token = await self._reads.call(id)
        if token is None:
            self._kept.pop(id, None)
        elif self._listens and changes == self._changes:
            # By the clock of Postgres, so exact also if that of this machine is wrong.
            left = KEEP_S if token.seconds is None else min(KEEP_S, token.seconds)
            self._kept[id] = _Kept(token, read_at + left)
            if len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)
        return token

    def _read_each(self, ids: list[str]) -> list[ValidToken | Exception | None]:
        tokens = {id_: self._tokens.read(id_) for id_ in dict.fromkeys(ids)}
        return [tokens[id_] for id_ in ids]

    async def _run(self) -> None:
        while True:
            try:
                with ExitStack() as stack:
                    listener = await asyncio.to_thread(stack.enter_context, self._tokens.revocations())
                    stack.callback(self._forget_all)
                    self._listens = True
                    await self._listen(listener)
            except LongshoreError as error:
                log.warning("tokens are not kept in memory while the gateway cannot listen: %s", error)
            await asyncio.sleep(RECONNECT_INTERVAL_S)

    async def _listen(self, listener: Listener) -> None:
        while True:
            await _readable(listener, SILENCE_S)
            # It has something to read, or asks whether Postgres is still there, which can take a while.
            for notice in await asyncio.to_thread(listener.wait, 0.0):
                self._changes += 1
                self._kept.pop(notice.payload, None)

    def _forget_all(self) -> None:
        self._listens = False
        self._changes += 1
        self._kept.clear()


async def _readable(listener: Listener, timeout_s: float) -> None:
    """Wait until there is something to read, or for so many seconds."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    fileno = listener.fileno()
    loop.add_reader(fileno, readable.set)
    try:
        with suppress(TimeoutError):
            await asyncio.wait_for(readable.wait(), timeout_s)
    finally:
        loop.remove_reader(fileno)
