"""Batch sizes that were learned on this device, by this worker or another."""

from __future__ import annotations

import logging

import torch

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import BatchSizeRecord, Claim
from longshore.shared.specs.jobs import InferSpec
from longshore.workers.inputs.reading import default_batch_size
from longshore.workers.models.batch_size import BatchSizes, Learned
from longshore.workers.runtimes.base import Runtime

log = logging.getLogger("longshore.worker")


class KnownBatchSizes:
    """What the ledger knows of the versions that run here; asked once a version."""

    def __init__(self, ledger: Ledger, device: torch.device) -> None:
        self._ledger = ledger
        self._device = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        self._known: dict[tuple[str, str], dict[int, Learned]] = {}

    def get(self, claim: Claim, spec: InferSpec, runtime: Runtime, largest: int) -> BatchSizes:
        """The sizes for one shard, of windows of ``largest`` rows."""
        if spec.batch_size != "auto":
            return BatchSizes(spec.batch_size, largest, given=spec.batch_size)
        start = default_batch_size(runtime.signature)
        if claim.stop - claim.start <= start:  # one batch, whatever is known
            return BatchSizes(start, largest, given=start)
        return BatchSizes(start, largest, known=self._read(claim, spec))

    def keep(self, claim: Claim, spec: InferSpec, sizes: BatchSizes) -> None:
        """Tell the ledger what a shard has found. Without it, the next one finds it again."""
        if not sizes.found:
            return
        digest, device = self._key(claim, spec)
        self._known.setdefault((digest, device), {}).update(sizes.found)
        found = [
            BatchSizeRecord(length=length, batch_size=each.rows, rows_per_second=each.rate, settled=each.settled)
            for length, each in sizes.found.items()
        ]
        try:
            self._ledger.batch_sizes.write(digest, device, found)
        except ServiceUnavailable as error:
            log.info("%s; the batch sizes of %s are not kept", error, claim.token)

    def _read(self, claim: Claim, spec: InferSpec) -> dict[int, Learned]:
        key = self._key(claim, spec)
        if key not in self._known:
            rows = self._ledger.batch_sizes.read(*key)
            self._known[key] = {
                each.length: Learned(each.batch_size, each.rows_per_second, each.settled) for each in rows
            }
        return self._known[key]

    def _key(self, claim: Claim, spec: InferSpec) -> tuple[str, str]:
        """Digest and device; what computes otherwise is another device."""
        told = [] if spec.precision == "auto" else [spec.precision]
        return str(claim.digest), " ".join([self._device, *told, *(["compiled"] if spec.compile else [])])
