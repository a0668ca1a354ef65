"""Batch sizes learned on this device, by this worker or another."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import BatchSizeRecord, Claim
from longshore.shared.specs.jobs import InferSpec
from longshore.workers.inputs.reading import default_batch_size
from longshore.workers.models.batch_size import BatchSizes, LearnedBatchSize
from longshore.workers.runtimes.base import Runtime

log = logging.getLogger(__name__)


class BatchSizeCache:
    """Reads the ledger's batch sizes once for each version, and saves new ones."""

    def __init__(self, ledger: Ledger, device: torch.device) -> None:
        self._ledger = ledger
        self._device = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        self._known: dict[tuple[str, str], dict[int, LearnedBatchSize]] = {}
        #: Those of small jobs that run together: each time they are too few to learn from them alone.
        self._together: dict[tuple[str, str], BatchSizes] = {}

    def get(self, claim: Claim, spec: InferSpec, runtime: Runtime, largest: int) -> BatchSizes:
        """The sizes for one shard, of windows of ``largest`` rows."""
        if spec.batch_size != "auto":
            return BatchSizes(spec.batch_size, largest, fixed=spec.batch_size)
        start = default_batch_size(runtime.signature)
        if claim.stop - claim.start <= start:  # a single batch: nothing to choose
            return BatchSizes(start, largest, fixed=start)
        return BatchSizes(start, largest, known=self._read(claim, spec))

    def get_together(self, claims: Sequence[Claim], spec: InferSpec, runtime: Runtime, largest: int) -> BatchSizes:
        """The sizes for small shards of one version with the same options, which run together."""
        start = default_batch_size(runtime.signature)
        if spec.batch_size != "auto" or sum(claim.stop - claim.start for claim in claims) <= start:
            return self.get(claims[0], spec, runtime, largest)
        key = self._key(claims[0], spec)
        if key not in self._together:
            self._together[key] = BatchSizes(start, largest, known=self._read(claims[0], spec))
        return self._together[key]

    def save(self, claim: Claim, spec: InferSpec, sizes: BatchSizes) -> None:
        """Save the sizes that a shard has learned. If this fails, the next shard learns them again."""
        if not sizes.learned:
            return
        digest, device = self._key(claim, spec)
        known = self._known.setdefault((digest, device), {})
        learned = {length: each for length, each in sizes.learned.items() if known.get(length) != each}
        if not learned:
            return
        records = [
            BatchSizeRecord(length=length, batch_size=each.rows, rows_per_second=each.rate, settled=each.settled)
            for length, each in learned.items()
        ]
        try:
            self._ledger.batch_sizes.write(digest, device, records)
        except ServiceUnavailable as error:
            log.info("%s; the batch sizes of %s are not saved", error, claim.token)
        else:
            known.update(learned)

    def _read(self, claim: Claim, spec: InferSpec) -> dict[int, LearnedBatchSize]:
        key = self._key(claim, spec)
        if key not in self._known:
            rows = self._ledger.batch_sizes.read(*key)
            self._known[key] = {
                each.length: LearnedBatchSize(each.batch_size, each.rows_per_second, each.settled) for each in rows
            }
        return self._known[key]

    def _key(self, claim: Claim, spec: InferSpec) -> tuple[str, str]:
        """Digest and device. Another precision or compilation counts as another device."""
        precision = [] if spec.precision == "auto" else [spec.precision]
        return str(claim.digest), " ".join([self._device, *precision, *(["compiled"] if spec.compile else [])])
