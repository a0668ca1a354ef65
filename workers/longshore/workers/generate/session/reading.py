"""Reads and prepares the rows of a session's shards in a thread, a window of each ahead."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final

from longshore.shared.datasets.outputs.result_keys import result_keys
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.specs.generate import GenerateSpec
from longshore.workers.context import WorkerContext
from longshore.workers.generate.outputs import OutputWriter
from longshore.workers.generate.rows import PreparedRow, RowReader
from longshore.workers.generate.session.partial_texts import begun_texts
from longshore.workers.generate.session.progress import SessionCounts
from longshore.workers.generate.session.shards import ReadRow, RunningShard
from longshore.workers.inputs.row_numbers import NumberedRows, number, pick

#: Rows that are read together. Among them, those with equal beginnings come together.
WINDOW_ROWS: Final = 256
#: Versions with options whose readers and writers are kept.
_KEPT_PARTS: Final = 64


class RowFeed:
    """Reads shards side by side, so that one with many rows holds up no other. A context manager.

    :param wake: called when there is something new.
    :param counts: of the session; rows that earlier attempts have done are added.
    """

    def __init__(self, context: WorkerContext, model_key: str, wake: Callable[[], None], counts: SessionCounts) -> None:
        self._context = context
        self._model_key = model_key
        self._wake = wake
        self._counts = counts
        self._shards: list[RunningShard] = []
        self._changed = threading.Condition()
        self._closed = False
        #: The reader and the writer of a job, by the version and the options, least recently used first.
        self._parts: OrderedDict[tuple[str, str], tuple[RowReader, OutputWriter]] = OrderedDict()
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def add(self, shard: RunningShard) -> None:
        """Read the rows of a shard."""
        with self._changed:
            self._shards.append(shard)
            self._changed.notify()

    def remove(self, shard: RunningShard) -> None:
        """Read no more of a shard. Rows that were read and not taken count as not read."""
        with self._changed:
            if shard in self._shards:
                self._shards.remove(shard)
            shard.read = shard.read and not shard.waiting
            shard.waiting.clear()

    def taken(self) -> None:
        """Rows were taken, so there is room for others."""
        with self._changed:
            self._changed.notify()

    def __enter__(self) -> RowFeed:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (shard := self._next()) is not None:
            error: Exception | None = None
            window: list[ReadRow] | None = None
            try:
                if shard.windows is None:
                    shard.windows = self._open(shard)
                window = next(shard.windows, None)
            except Exception as failure:  # any error is that of the shard
                error = failure
            with self._changed:
                if shard in self._shards:
                    shard.waiting.extend(window or ())
                    if window is None:
                        self._shards.remove(shard)
                        shard.error, shard.read = error, True
            self._wake()

    def _next(self) -> RunningShard | None:
        """The shard of which to read next: the one with the fewest rows ahead; ``None`` at the end."""
        with self._changed:
            while not self._closed:
                hungry = [shard for shard in self._shards if len(shard.waiting) < WINDOW_ROWS]
                if hungry:
                    return min(hungry, key=lambda shard: len(shard.waiting))
                self._changed.wait()
        return None

    def _open(self, shard: RunningShard) -> Iterator[list[ReadRow]]:
        claim = shard.claim
        if claim.attempt > 1:
            shard.before = self._context.ledger.attempts.begin_rows(claim)
            shard.begun = begun_texts(self._context.ledger.attempts.partial_texts(claim))
            shard.saved |= {row for row, _ in shard.begun}
        self._counts.kept += len(shard.before)
        spec = shard.spec = GenerateSpec.model_validate(claim.spec)
        version = self._context.engines.version(claim)
        if version.model.key != self._model_key:
            raise RuntimeError(f"shard {claim.token} is of another model than its batch key says")
        options = (version.digest, spec.model_dump_json(exclude={"data", "streamed"}, exclude_defaults=True))
        if options not in self._parts:
            self._parts[options] = RowReader(version, spec), OutputWriter(version, spec)
            while len(self._parts) > _KEPT_PARTS:
                self._parts.popitem(last=False)
        self._parts.move_to_end(options)
        reader, shard.writer = self._parts[options]
        shard.adapter = version.adapter
        inputs = self._context.inputs
        with self._changed:
            unread = [each.claim for each in self._shards if each.windows is None]
        inputs.fetch(unread)  # of many small shards in one query
        read = reader.columns(inputs.columns(claim, spec.data))
        columns = list(dict.fromkeys([*read, *spec.keep]))
        batches = inputs.batches(claim, spec.data, columns, WINDOW_ROWS, ColumnUses.for_generation(spec.keep))
        if len(shard.before):
            left = [row for row in range(claim.start, claim.stop) if row not in shard.before]
            return self._windows(reader, pick(batches, claim.start, left), spec.keep, read)
        return self._windows(reader, number(batches, claim.start), spec.keep, read)

    @staticmethod
    def _windows(
        reader: RowReader, windows: Iterator[NumberedRows], keep: tuple[str, ...], columns: list[str]
    ) -> Iterator[list[ReadRow]]:
        for rows in windows:
            keys = result_keys(rows.batch, keep) if keep else None
            prepared = reader.read(rows.batch.select(columns))
            read = []
            for index, row in enumerate(prepared):
                key = None if keys is None or index in keys.errors else keys.texts[index].as_py()
                reason = None if keys is None else keys.errors.get(index)
                read.append(ReadRow(int(rows.rows[index]), reason if reason is not None else row, key))
            yield sorted(read, key=_beginning)


def _beginning(row: ReadRow) -> list[int]:
    return list(row.prepared.tokens) if isinstance(row.prepared, PreparedRow) else []
