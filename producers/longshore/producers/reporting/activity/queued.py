"""Why a job is not run by a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from longshore.producers.reporting.activity.devices import DeviceWork, described, read_devices
from longshore.producers.reporting.activity.reason import NextStep, Reason
from longshore.producers.reporting.human import time_text
from longshore.shared.ledger.activity import MAX_SHARDS_OF_JOB, AheadRecord, QueuedShardRecord
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import JobRecord, WorkerRecord
from longshore.shared.ledger.workers import count_devices, joined

#: Seconds after which a free worker should have taken a shard, and a relay should have published it.
PATIENCE_S = 15.0
#: Seconds of silence after which the leading relay counts as frozen.
MAX_RELAY_SILENCE_S = 30.0

_DOCTOR = NextStep("to check the cluster", "longshore doctor")


def why_queued(ledger: Ledger, record: JobRecord) -> Reason:
    """Why no worker runs a job that is queued, or whose next shard is."""
    shard = ledger.activity.next_shard(record.id, record.shards_done + record.shards_failed)
    if shard is None:
        if record.shards_total > MAX_SHARDS_OF_JOB:
            return Reason("its next shards are queued")
        return Reason("a worker takes it, or ends it, at this moment")
    devices = read_devices(ledger)
    able = [each for each in devices if each.worker.alive and _lack(each.worker, record) is None]
    if not able:
        reason = _no_worker(record, [each.worker for each in devices])
    elif shard.not_before is not None and shard.not_before > shard.read_at:
        reason = _paused(shard)
    else:
        is_late = shard.published_at is None and _waited_s(record.created_at, shard) > PATIENCE_S
        reason = (check_relay(ledger) if is_late else None) or _in_queue(
            record, shard, able, ledger.activity.ahead(shard)
        )
    return replace(reason, details=(*_outages(shard), *reason.details))


def _in_queue(record: JobRecord, shard: QueuedShardRecord, able: Sequence[DeviceWork], ahead: AheadRecord) -> Reason:
    """Why the workers that are able to run a shard, which may run now, have not taken it yet."""
    place = f"in the {shard.queue} queue, priority {shard.priority}"
    count = f"{_counted(ahead.jobs, 'job')} ({_counted(ahead.shards, 'shard')})"
    position = f"{count} ahead of it {place}" if ahead.shards else f"nothing is ahead of it {place}"
    details = (f"at least {position}" if ahead.at_least else position,)
    free = [each.worker.name for each in able if not each.jobs]
    if not free:
        return Reason(_busy(able), details=details)
    if ahead.only_own:
        text = f"{_counted(len(able), 'worker')} can take it, free or busy with jobs of other producers"
        return Reason(text, details=details)
    waited_s = _waited_s(shard.published_at or record.created_at, shard)
    if ahead.shards or waited_s <= PATIENCE_S:
        return Reason(f"{free[0]} can take it and is free: it starts in a moment", details=details)
    text = f"{free[0]} can take it and is free, but has not done so for {time_text(waited_s)}: is Redis away?"
    return Reason(text, details=details, next=(_DOCTOR,))


def check_relay(ledger: Ledger) -> Reason | None:
    """What is wrong with the relay; ``None`` if nothing is known to be."""
    silence_s = ledger.queries.relay_silence()
    start = NextStep("to start one", "longshore relay")
    if silence_s is None:
        return Reason("no relay is running, which publishes what waits", next=(start, _DOCTOR))
    if silence_s > MAX_RELAY_SILENCE_S:
        return Reason(f"the relay, which publishes what waits, has done nothing for {time_text(silence_s)}")
    return None


def _lack(worker: WorkerRecord, record: JobRecord) -> str | None:
    """What a worker lacks to run a job; ``None`` if it can run it."""
    if record.queue == "gpu" and worker.queue != "gpu":
        return "they have no GPU"
    training = record.spec.get("train", record.spec)
    if not isinstance(training, dict):
        return None
    family, devices = training.get("family"), training.get("devices", 1)
    if isinstance(family, str) and family not in worker.families:
        return f"they cannot train the family {family}"
    if record.queue == "gpu" and isinstance(devices, int) and count_devices(worker.device) < devices:
        return f"they have fewer than {devices} GPUs"
    return None


def _no_worker(record: JobRecord, workers: Sequence[WorkerRecord]) -> Reason:
    """That no worker can take the job, and what lacks."""
    of_queue = [worker for worker in workers if record.queue == "cpu" or worker.queue == record.queue]
    if living := [worker for worker in of_queue if worker.alive]:
        lacks = sorted({lack for worker in living if (lack := _lack(worker, record)) is not None})
        text = f"none of the live workers can take it ({', '.join(lacks)})"
        training = record.spec.get("train", record.spec)
        devices = training.get("devices", 1) if isinstance(training, dict) else 1
        if any("GPUs" in lack for lack in lacks) and isinstance(devices, int):
            return Reason(text, next=(NextStep("to start one", f"longshore worker --devices {joined(devices)}"),))
        return Reason(text, next=(NextStep("to see the families of each worker", "longshore status --json"),))
    kind = "" if record.queue == "cpu" else f"{record.queue} "
    text = f"no {kind}worker is alive"
    if of_queue:
        last = max(of_queue, key=lambda worker: worker.seen_at)
        silent_s = (record.read_at - last.seen_at).total_seconds()
        text = f"{text}; {last.name} was seen {time_text(silent_s)} ago"
    devices_option = "" if record.queue == "cpu" else " --devices cuda"
    steps = (
        NextStep("to start one", f"longshore worker{devices_option}"),
        NextStep("to see what has become of them", "longshore status"),
    )
    return Reason(text, next=steps)


def _paused(shard: QueuedShardRecord) -> Reason:
    assert shard.not_before is not None
    wait = time_text((shard.not_before - shard.read_at).total_seconds())
    if shard.waits_for is not None:
        return Reason(f"it waits for the end of an outage and tries again in {wait}: {shard.waits_for}")
    return Reason(f"attempt {shard.attempt} of {shard.attempt_limit} failed, and the next one starts in {wait}")


def _outages(shard: QueuedShardRecord) -> tuple[str, ...]:
    if not shard.outages:
        return ()
    return (f"shard {shard.index} was handed back because of {_counted(shard.outages, 'outage')}: no failed attempts",)


def _busy(busy: Sequence[DeviceWork]) -> str:
    """That all workers which can take a job are busy, and what the first of them that becomes free does."""
    known = [each for each in busy if each.remaining is not None]
    first = min(known, key=lambda each: each.remaining or 0.0) if known else busy[0]
    with_ = "another job" if first.job is None else described(first.job)
    if len(busy) == 1:
        more = f" and {_counted(first.jobs - 1, 'more job')}" if first.jobs > 1 else ""
        return f"1 worker can take it, busy with {with_}{more}"
    return f"{len(busy)} workers can take it, all busy; {first.worker.name} may be the first to end, with {with_}"


def _counted(number: int, name: str) -> str:
    return f"1 {name}" if number == 1 else f"{number:,} {name}s"


def _waited_s(since: datetime, shard: QueuedShardRecord) -> float:
    return (shard.read_at - since).total_seconds()
