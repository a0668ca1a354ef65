"""Why a job has ended, what of it was kept, and what can be done next."""

from __future__ import annotations

from longshore.producers.reporting.activity.devices import progress_text
from longshore.producers.reporting.activity.reason import NextStep, Reason
from longshore.producers.reporting.human import time_text
from longshore.producers.reporting.progress import progress_of
from longshore.shared.errors import UnknownJob
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import JobRecord
from longshore.shared.vocabulary import JobKind, State


def why_ended(ledger: Ledger, record: JobRecord) -> Reason:
    """Why a job has ended, and what can be done next."""
    if record.state is State.SUCCEEDED:
        return _succeeded(record)
    details = tuple(record.notes)
    if record.pruned_at is not None:
        return Reason(_ending(record), details=(*details, "its rows were pruned, so it cannot run again"))
    upstream = _ended_upstream(ledger, record)
    if upstream is not None:
        step = NextStep("to run the job before it again, and then this one", f"longshore jobs retry {upstream.id}")
        return Reason(_ending(record), details=details, next=(step,))
    epochs = record.spec.get("epochs")
    kept = [f"{record.shards_done:,} of {record.shards_total:,} shards are done and kept"] if record.shards_done else []
    if record.kind == JobKind.TRAIN and (checkpoint := ledger.checkpoints.newest(record.id)) is not None:
        kept.append(f"the checkpoint of epoch {checkpoint.epoch} of {epochs} is kept, and a retry goes on from it")
    steps = [NextStep("to run what is not done", f"longshore jobs retry {record.id}")]
    if record.rows_failed:
        rows = f"longshore jobs retry {record.id} --rows failed"
        steps = [
            NextStep("to see the errors of rows", f"longshore jobs show {record.id}"),
            NextStep("to run the failed rows again", rows),
        ]
    return Reason(_ending(record), details=(*kept, *details), next=tuple(steps))


def _ending(record: JobRecord) -> str:
    """How a job ended without success."""
    # The epochs of a training count once it has succeeded.
    is_known = record.started_at is not None and record.kind != JobKind.TRAIN
    at = f" at {progress}" if is_known and (progress := progress_text(record)) else ""
    reason = "" if record.error in (None, str(record.state)) else f": {record.error}"
    return f"it {'was cancelled' if record.state is State.CANCELLED else 'failed'}{at}{reason}"


def _succeeded(record: JobRecord) -> Reason:
    steps = []
    outcome = record.outcome or {}
    if "version" in outcome:
        steps.append(NextStep("to see the version", f"longshore models show {record.model}:{outcome['version']}"))
    elif record.kind == JobKind.INFER and record.spec.get("output") is None and record.pruned_at is None:
        steps.append(NextStep("to see the results", f"longshore results {record.id}"))
    else:
        steps.append(NextStep("to see the outcome", f"longshore jobs show {record.id}"))
    if record.rows_failed and record.pruned_at is None:
        steps.append(NextStep("to run the failed rows again", f"longshore jobs retry {record.id} --rows failed"))
    text = f"it succeeded in {time_text(progress_of(record).seconds)}"
    return Reason(text, details=tuple(record.notes), next=tuple(steps))


def _ended_upstream(ledger: Ledger, record: JobRecord) -> JobRecord | None:
    """The first job up the chain that did not succeed; ``None`` if the job itself is the first."""
    found = None
    upstream = record
    for _ in range(100):
        if upstream.depends_on is None:
            return found
        try:
            upstream = ledger.queries.job(upstream.depends_on)
        except UnknownJob:
            return found
        if upstream.state is State.SUCCEEDED:
            return found
        if upstream.state.final:
            found = upstream
    return found
