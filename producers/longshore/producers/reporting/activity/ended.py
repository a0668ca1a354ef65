"""Why a job has ended, what of it was kept, and what can be done next."""

from __future__ import annotations

from longshore.producers.reporting.activity.devices import progress_text
from longshore.producers.reporting.activity.reason import NextStep, Reason
from longshore.producers.reporting.human import duration_text
from longshore.producers.reporting.progress import progress_of
from longshore.shared.errors import UnknownJob
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.ledger.records import JobRecord, Json
from longshore.shared.vocabulary import JobKind, State

#: Kinds of jobs with a result for each row.
_WITH_RESULTS = (JobKind.INFER, JobKind.GENERATE)


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
    epoch = ledger.queries.last_epoch(record.id) if record.kind == JobKind.TRAIN else None
    kept = what_is_kept(ledger, record, "a retry")
    if epoch is not None and not kept:
        kept = ("it has no checkpoint, so a retry begins with epoch 1",)
    steps = []
    if record.rows_failed:
        steps.append(NextStep("to see the errors of rows", f"longshore jobs show {record.id}"))
    is_done = record.shards_done >= record.shards_total
    if not record.rows_failed or not is_done:
        steps.append(NextStep("to run what is not done", f"longshore jobs retry {record.id}"))
    if record.rows_failed:
        text = "to run the failed rows again" if is_done else "to run the failed rows again, too"
        steps.append(NextStep(text, f"longshore jobs retry {record.id} --rows failed"))
    return Reason(_ending(record, epoch), details=(*kept, *details), next=tuple(steps))


def what_is_kept(ledger: Ledger, record: JobRecord, who: str) -> tuple[str, ...]:
    """What earlier attempts have left that the next one goes on from.

    :param who: what goes on: ``a retry``, or ``it`` for a job that is queued again.
    """
    if record.kind == JobKind.GENERATE:
        return (f"{record.rows_done:,} rows are done and kept",) if record.rows_done else ()
    kept = [f"{record.shards_done:,} of {record.shards_total:,} shards are done and kept"] if record.shards_done else []
    if record.kind == JobKind.TRAIN:
        epochs = record.spec.get("epochs")
        checkpoint = ledger.checkpoints.newest(record.id)
        if checkpoint is not None and isinstance(epochs, int) and checkpoint.epoch > epochs:
            kept.append(f"the checkpoint after its last epoch is kept, and {who} goes on from it")
        elif checkpoint is not None:
            kept.append(
                f"the checkpoint saved in epoch {checkpoint.epoch:,} of {epochs:,} is kept, and {who} goes on from it"
            )
        elif record.extends is not None:
            kept.append(f"{who} goes on from the last checkpoint of {record.extends}, which it extends")
    return tuple(kept)


def _ending(record: JobRecord, epoch: int | None = None) -> str:
    """How a job ended without success.

    :param epoch: the last one of a training that was measured.
    """
    if record.kind == JobKind.TRAIN:
        # The progress of a training counts its epochs once it has succeeded.
        epochs = record.spec.get("epochs")
        total = f"{epochs:,}" if isinstance(epochs, int) else "?"
        at = "" if epoch is None else f" after epoch {epoch:,} of {total}"
    else:
        at = f" at {progress}" if record.started_at is not None and (progress := progress_text(record)) else ""
    reason = "" if record.error in (None, str(record.state)) else f": {record.error}"
    return f"it {'was cancelled' if record.state is State.CANCELLED else 'failed'}{at}{reason}"


def _succeeded(record: JobRecord) -> Reason:
    steps = []
    outcome = record.outcome or {}
    if "version" in outcome:
        steps.append(NextStep("to see the version", f"longshore models show {record.model}:{outcome['version']}"))
        if _can_be_extended(record.spec):
            more = f"longshore jobs extend {record.id} --epochs 10"
            steps.append(NextStep("to train it for more epochs", more))
    elif record.kind in _WITH_RESULTS and record.spec.get("output") is None and record.pruned_at is None:
        steps.append(NextStep("to see the results", f"longshore results {record.id}"))
    else:
        steps.append(NextStep("to see the outcome", f"longshore jobs show {record.id}"))
    if record.rows_failed and record.pruned_at is None:
        steps.append(NextStep("to run the failed rows again", f"longshore jobs retry {record.id} --rows failed"))
    text = f"it succeeded in {duration_text(progress_of(record).seconds)}"
    return Reason(text, details=tuple(record.notes), next=tuple(steps))


def _can_be_extended(spec: Json) -> bool:
    """Whether a training that has succeeded keeps what its extension needs; see :mod:`..planning.resume`."""
    return (
        "epochs" in spec
        and spec.get("keep_checkpoints") != 0
        and spec.get("early_stopping") is None
        and spec.get("schedule") in ("constant", "step", "plateau")
    )


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
