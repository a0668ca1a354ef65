"""From a training that has ended to one that goes on from its end."""

from __future__ import annotations

from longshore.producers.planning.job_builder import Draft
from longshore.shared.errors import InvalidInput, ResultsPruned
from longshore.shared.ledger.records import CheckpointRecord, JobRecord, NewJob, NewShard
from longshore.shared.specs.families import TREES
from longshore.shared.specs.jobs import JobOptions
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.validation import build, shorten
from longshore.shared.vocabulary import Action, JobKind, State


def extension(record: JobRecord, last: CheckpointRecord | None, epochs: int) -> NewJob:
    """The job that trains for more epochs.

    :param last: the last checkpoint of the ended job.
    :raises InvalidInput: the job is not a successful training, or has no checkpoint.
    :raises ResultsPruned: its rows are not there any more.
    """
    if not isinstance(epochs, int) or isinstance(epochs, bool) or epochs < 1:
        raise InvalidInput("epochs", f"{shorten(epochs)}: give 1 or more")
    if record.kind != JobKind.TRAIN or record.state is not State.SUCCEEDED:
        said = f"is of kind {record.kind}" if record.kind != JobKind.TRAIN else f"is {record.state}"
        raise InvalidInput("job", f"{record.id} {said}; a training that has succeeded can be extended")
    if last is None:
        raise InvalidInput("job", f"{record.id} has kept no checkpoint (keep_checkpoints=0), so it cannot go on")
    if record.pruned_at is not None:
        raise ResultsPruned("job", f"the rows that came with {record.id} were pruned; submit a training anew")
    before = build(TrainSpec, record.spec)
    if before.schedule in ("cosine", "linear", "one_cycle"):
        raise InvalidInput(
            "schedule", f"the learning rate of {before.schedule} ended with the job; train from its version with base="
        )
    if before.early_stopping is not None and last.epoch <= before.epochs:
        instead = "train from its version with base=, and another learning rate or more data"
        if before.family in TREES:
            instead = "train anew, with a larger early_stopping, another config.learning_rate or more data"
        raise InvalidInput(
            "job",
            f"{record.id} stopped early, after epoch {last.epoch - 1} of {before.epochs}, because it no longer "
            f"improved; {instead}",
        )
    spec = build(TrainSpec, {**record.spec, "epochs": before.epochs + epochs, "extends": record.id})
    draft = Draft(
        kind=JobKind.TRAIN,
        model=record.model,
        version=None,
        digest=None,
        options=JobOptions(priority=record.priority),
        queue=record.queue,
        producer=record.producer,
    )
    shards = [NewShard(action=Action.TRAIN, start=before.epochs, stop=spec.epochs)]
    return draft.job(spec.model_dump_json(), shards, epochs, b"")
