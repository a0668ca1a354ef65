"""Checkpoints of one training attempt: a thread writes them to the store, and the ledger publishes them."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

from longshore.shared.errors import AttemptLost, CorruptBlob, InvalidInput, ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import CheckpointRecord, Claim
from longshore.shared.specs.train import TrainSpec
from longshore.shared.store.manifest import Blob
from longshore.shared.store.store import Store
from longshore.workers.train.checkpoint.state_file import State, copied, read_state, write_state

log = logging.getLogger(__name__)


class CheckpointManager:
    """Saves, finds and prunes checkpoints.

    It copies the state between two steps, and a thread writes the copy. It saves no other until the thread has ended.
    """

    def __init__(self, ledger: Ledger, store: Store, claim: Claim, spec: TrainSpec, last: str | None = None) -> None:
        self._ledger = ledger
        self._store = store
        self._claim = claim
        self._spec = spec
        self._next = time.monotonic() + (spec.checkpoint_seconds or 0)
        self._writing: threading.Thread | None = None
        self._last = last

    @property
    def last(self) -> str | None:
        """See :class:`~longshore.workers.train.loop.loop.Checkpointer`."""
        return self._last

    def latest(self) -> tuple[CheckpointRecord, Path] | None:
        """The checkpoint to resume from and its file: the newest of the job, or of the job that it extends.

        :raises InvalidInput: the extended job has no checkpoint.
        """
        known = self._ledger.checkpoints
        record = known.newest(self._claim.job_id)
        if record is None and self._spec.extends is not None:
            record = known.newest(self._spec.extends)
            if record is None:
                raise InvalidInput(
                    "extends", f"job {self._spec.extends} no longer has a checkpoint; train from the beginning"
                )
        if record is None:
            return None
        path = self._store.fetch_blob(Blob(digest=record.blob, size=record.size_bytes))
        self._last = f"epoch {record.epoch}, step {record.step}"
        return record, path

    def due(self, done: int) -> bool:
        """See :class:`~longshore.workers.train.loop.loop.Checkpointer`."""
        if self._spec.keep_checkpoints == 0 or (self._writing is not None and self._writing.is_alive()):
            return False
        if self._spec.checkpoint_steps is not None and done % self._spec.checkpoint_steps == 0:
            return True
        return self._spec.checkpoint_seconds is not None and time.monotonic() >= self._next

    def save(self, take: Callable[[], State], epoch: int, done: int) -> None:
        """See :class:`~longshore.workers.train.loop.loop.Checkpointer`."""
        if self._spec.keep_checkpoints == 0:
            return
        self.wait()
        self._next = time.monotonic() + (self._spec.checkpoint_seconds or 0)
        # The attempt's token makes the blob unique to this attempt, so that it can be removed with it.
        state: State = {"attempt": self._claim.token, "state": copied(take())}
        self._writing = threading.Thread(target=self._write, args=(state, epoch, done), name="checkpoint", daemon=True)
        self._writing.start()

    def wait(self) -> None:
        """Wait until the last checkpoint is written."""
        if self._writing is not None:
            self._writing.join()
            self._writing = None

    def prune(self) -> None:
        """Remove the job's checkpoints, except the last, which another job may extend."""
        self.wait()
        self._remove(self._ledger.checkpoints.prune(self._claim.job_id, min(self._spec.keep_checkpoints, 1)))

    def _write(self, state: State, epoch: int, done: int) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="longshore-") as folder:
                path = Path(folder) / "checkpoint.safetensors"
                write_state(state, path)
                blob = self._store.put_blob(path)
            removed = self._ledger.checkpoints.add(
                *(self._claim,),
                step=done,
                epoch=epoch,
                blob=blob.digest,
                size_bytes=blob.size,
                keep=self._spec.keep_checkpoints,
            )
            self._last = f"epoch {epoch}, step {done}"
            self._remove(removed)
        except AttemptLost:
            log.info("a checkpoint of %s was dropped: the attempt is lost", self._claim.token)
        except (ServiceUnavailable, CorruptBlob) as error:
            # Training goes on; the next checkpoint may be saved again.
            log.warning("a checkpoint of %s was not saved: %s", self._claim.token, error)

    def _remove(self, blobs: Sequence[str]) -> None:
        for digest in blobs:
            try:
                self._store.delete_old_blob(digest, datetime.now(UTC) + timedelta(days=1))
            except ServiceUnavailable as error:
                log.warning("an old checkpoint stays in the store until garbage collection: %s", error)


def read_checkpoint(path: Path) -> Mapping[str, Any]:
    """Read the state of the training loop.

    :raises CorruptBlob: the file cannot be read, or is not a checkpoint.
    """
    content = read_state(path)
    if not isinstance(content, dict) or not isinstance(content.get("state"), dict):
        raise CorruptBlob(f"{path} is not a checkpoint of a training")
    return cast(Mapping[str, Any], content["state"])
