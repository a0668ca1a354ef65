"""Texts of a job while they are written.

What a worker adds to a text arrives by Redis, which may lose it, and a second attempt can begin with other words. The
row in the table ``results`` is the truth: a reader of a :class:`TextStream` either has exactly its text when the row is
finished, or was told before to forget what it has.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from pydantic import JsonValue
from uuid_utils.compat import uuid7

from longshore.broker.gateway.text_deltas import TextDelta
from longshore.producers.aio.client import AsyncClient
from longshore.producers.aio.job import AsyncJob
from longshore.producers.client import Client
from longshore.producers.data import GenerateData
from longshore.producers.gateway.access.callers import Caller
from longshore.producers.gateway.result_streams import JobResults
from longshore.producers.gateway.text_channels import TextChannels, TextInbox
from longshore.producers.options.keywords import GenerateOptions
from longshore.producers.requests import Generate
from longshore.shared.errors import LongshoreError
from longshore.shared.vocabulary import State


@dataclass(frozen=True)
class TextAdded:
    """The text of a row goes on."""

    row: int
    #: Which of the texts of the row, from 0.
    index: int
    text: str


@dataclass(frozen=True)
class TextRestarted:
    """A text begins anew: another attempt writes it, with other words. What was added before does not count."""

    row: int
    index: int


@dataclass(frozen=True)
class RowFinished:
    """A row is committed. The texts that were added are those of its output."""

    row: int
    #: docs/reference/outputs.md.
    output: dict[str, JsonValue]


@dataclass(frozen=True)
class RowFailed:
    """A row has an error in place of an output. What was added of its texts does not count."""

    row: int
    error: str


TextEvent: TypeAlias = TextAdded | TextRestarted | RowFinished | RowFailed


class TextAssembler:
    """Makes events of what arrives, in any order and number, and of the rows that are committed."""

    def __init__(self) -> None:
        #: What the reader has of each text.
        self._texts: dict[tuple[int, int], str] = {}
        self._attempts: dict[int, int] = {}
        self._ended: set[int] = set()

    def add(self, delta: TextDelta) -> Iterator[TextEvent]:
        """What a delta adds for the reader."""
        if delta.row in self._ended or delta.attempt < self._attempts.get(delta.row, 0):
            return
        self._attempts[delta.row] = delta.attempt
        name = (delta.row, delta.index)
        text = self._texts.get(name, "")
        if delta.start > len(text):  # something is missing: the row brings it
            return
        known = text[delta.start : delta.start + len(delta.text)]
        if delta.text.startswith(known):
            if added := delta.text[len(known) :]:
                yield self._added(name, added)
        else:
            yield from self._restarted(name, text[: delta.start] + delta.text)

    def finish(self, row: int, output: dict[str, JsonValue]) -> Iterator[TextEvent]:
        """What the reader has not got of a row that is committed, and its output."""
        if row in self._ended:
            return
        self._ended.add(row)
        for index, text in enumerate(_texts(output)):
            name = (row, index)
            known = self._texts.get(name, "")
            if not text.startswith(known):
                yield from self._restarted(name, text)
            elif added := text[len(known) :]:
                yield self._added(name, added)
            self._texts.pop(name, None)
        yield RowFinished(row, output)

    def fail(self, row: int, error: str) -> Iterator[TextEvent]:
        """The row has failed."""
        if row not in self._ended:
            self._ended.add(row)
            yield RowFailed(row, error)

    def _added(self, name: tuple[int, int], text: str) -> TextEvent:
        self._texts[name] = self._texts.get(name, "") + text
        return TextAdded(*name, text)

    def _restarted(self, name: tuple[int, int], text: str) -> Iterator[TextEvent]:
        self._texts[name] = ""
        yield TextRestarted(*name)
        if text:
            yield self._added(name, text)


class TextStream:
    """The events of one job. Iterate over it once, and close it in any case.

    The iteration ends with the job. It raises what :meth:`AsyncJob.wait` raises if the job fails.
    """

    def __init__(
        self,
        job: AsyncJob,
        client: AsyncClient,
        channels: TextChannels,
        inbox: TextInbox,
        changed: asyncio.Event,
        stack: AsyncExitStack,
    ) -> None:
        self.job = job
        self._client = client
        self._channels = channels
        self._inbox = inbox
        self._changed = changed
        self._stack = stack
        self._assembler = TextAssembler()
        self._rows: deque[RowFinished | RowFailed] = deque()
        self._follower: asyncio.Task[None] | None = None

    async def __aiter__(self) -> AsyncIterator[TextEvent]:
        self._follower = follower = asyncio.get_running_loop().create_task(self._follow(), name="longshore: rows")
        while True:
            self._changed.clear()
            ended = follower.done()
            while (delta := self._inbox.take()) is not None:
                for event in self._assembler.add(delta):
                    yield event
            while self._rows:
                for event in self._of_row(self._rows.popleft()):
                    yield event
            if ended:
                follower.result()
                return
            await self._changed.wait()

    async def close(self) -> None:
        """Listen no more. A job that has not ended is cancelled: nobody reads it."""
        follower = self._follower
        if follower is None or not follower.done():
            self._channels.run_in_background(_cancel(self.job))
        if follower is not None:
            follower.cancel()
        await self._stack.aclose()

    def _of_row(self, event: RowFinished | RowFailed) -> Iterator[TextEvent]:
        if isinstance(event, RowFinished):
            return self._assembler.finish(event.row, event.output)
        return self._assembler.fail(event.row, event.error)

    async def _follow(self) -> None:
        """Put rows into the deque as they are committed, until the job has ended."""
        try:
            done, taken = 0, _Taken()
            async for progress in self.job.follow():
                if progress.done + progress.failed > done or progress.state.final:
                    done = progress.done + progress.failed
                    events = await self._client.call(_rows_after, self.job.id, taken.last, bool(progress.failed))
                    self._rows += taken.add(events)
                    self._changed.set()
                if progress.state.final and progress.state is not State.SUCCEEDED:
                    await self.job.wait()
        finally:
            # The iteration looks whether this task has ended, which it has a moment later.
            asyncio.get_running_loop().call_soon(self._changed.set)


async def open_text_stream(
    channels: TextChannels, caller: Caller, model: str, data: GenerateData, options: GenerateOptions
) -> TextStream:
    """Submit a job that generates text, and listen to it.

    :param data: and the rest: as :meth:`AsyncClient.generate` takes them.
    :raises LongshoreError: as :meth:`AsyncClient.generate`.
    """
    id_, changed = uuid7(), asyncio.Event()
    async with AsyncExitStack() as stack:
        inbox = await stack.enter_async_context(channels.listening(id_, changed))
        job = await caller.submit(Generate(model, data, options, streamed_as=id_))
        return TextStream(job, caller.client, channels, inbox, changed, stack.pop_all())


class _Taken:
    """The rows that were read by now, so that no look reads all of them again."""

    def __init__(self) -> None:
        #: All rows up to this one were taken.
        self.last = -1
        self._beyond: set[int] = set()

    def add(self, events: Sequence[RowFinished | RowFailed]) -> list[RowFinished | RowFailed]:
        """Those that are new."""
        new = [event for event in events if event.row not in self._beyond]
        self._beyond.update(event.row for event in new)
        while self.last + 1 in self._beyond:
            self.last += 1
            self._beyond.remove(self.last)
        return new


def _rows_after(client: Client, job: UUID, row: int, has_errors: bool) -> list[RowFinished | RowFailed]:
    """The rows behind a row that are committed."""
    pages = JobResults(client.ledger, job, row, (), generated=True).pages()
    events: list[RowFinished | RowFailed] = [
        RowFinished(each.row, json.loads(each.output)) for page in pages for each in page
    ]
    after = row
    while has_errors and (errors := client.ledger.queries.row_errors(job, after=after)):
        events += [RowFailed(each.row, each.error) for each in errors]
        after = errors[-1].row
    return events


async def _cancel(job: AsyncJob) -> None:
    with suppress(LongshoreError):  # it goes on, and its results can be read
        await job.cancel()


def _texts(output: dict[str, JsonValue]) -> list[str]:
    choices = output.get("choices")
    documents = choices if isinstance(choices, list) else [output]
    return [str(each["text"]) for each in documents if isinstance(each, dict)]
