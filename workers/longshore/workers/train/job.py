"""Runs a training job and stores its result as a version."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
from pydantic import JsonValue

from longshore.shared.ledger.models.registry import NewVersion
from longshore.shared.ledger.records import CheckpointRecord, Claim
from longshore.shared.model_formats.huggingface.language import SIGNATURE
from longshore.shared.specs.families import LANGUAGE_MODELS
from longshore.shared.specs.jobs import FileInput
from longshore.shared.specs.tokenizer import TOKENIZER_FILE
from longshore.shared.specs.train import TrainSpec
from longshore.shared.store.address import public
from longshore.shared.store.manifest import Manifest, content_file
from longshore.shared.vocabulary import RuntimeName
from longshore.workers.context import WorkerContext
from longshore.workers.families.trees.boosted import BoostedTrees
from longshore.workers.families.weights import save_weights
from longshore.workers.process.heartbeat import Heartbeat
from longshore.workers.train.checkpoint.manager import CheckpointManager, read_checkpoint
from longshore.workers.train.data.load_rows import open_rows
from longshore.workers.train.distributed.run import plan_launch, train_on_devices
from longshore.workers.train.language.result import TrainedLanguageModel
from longshore.workers.train.loop.context import CheckpointHooks, TrainingContext
from longshore.workers.train.loop.pretrained import load_pretrained
from longshore.workers.train.loop.result import TrainedModel
from longshore.workers.train.loop.trainer import train


def run_training(context: WorkerContext, claim: Claim, beat: Heartbeat) -> None:
    """Train, and commit the new version with its metrics. A lost attempt creates no version.

    :raises AttemptLost: a newer attempt has the shard, or the job was cancelled.
    :raises InvalidInput: the spec does not fit the data.
    """
    spec = TrainSpec.model_validate(claim.spec)
    checkpoints = CheckpointManager(context.ledger, context.store, claim, spec)
    trained = _train(context, claim, spec, beat, checkpoints)
    manifest, digest = store_version(context, claim, spec, trained)
    new = NewVersion(
        model=spec.model,
        digest=digest,
        manifest=manifest.model_dump(mode="json"),
        alias=spec.alias,
        promote_if=spec.promote_if,
        set_by=claim.producer,
    )
    with context.ledger.attempts.writing(claim) as writer:
        writer.fence(claim.stop - claim.start)
        version = writer.version(new)
        # Inside the transaction, so that the store knows every version of the ledger.
        context.store.write_version_pointer(spec.model, version, digest)
        promotion = writer.promotion
        if promotion is not None and promotion.promoted:
            context.store.write_alias_pointer(spec.model, promotion.alias, version)
        writer.notes(trained.notes)
        writer.finish(
            {
                **{"model": spec.model, "version": version, "digest": digest, "metrics": dict(trained.metrics)},
                **({} if trained.summary is None else trained.summary.document()),
                **_confusion(trained),
                **({} if promotion is None else promotion.document()),
            }
        )
    if trained.summary is not None:
        context.logs.say(trained.summary.text)
    context.logs.say(*trained.notes)
    checkpoints.prune()


def _train(
    context: WorkerContext, claim: Claim, spec: TrainSpec, beat: Heartbeat, checkpoints: CheckpointManager
) -> TrainedModel | TrainedLanguageModel:
    """Train from the last checkpoint, if there is one."""

    def progress(epoch: int) -> None:
        # A job that extends another begins after the epochs of the other.
        beat.progress(max(0, epoch - claim.start))

    def report(epoch: int, metrics: dict[str, float]) -> None:
        context.ledger.attempts.record_metrics(claim, epoch, metrics)
        progress(epoch)
        context.logs.say(f"epoch {epoch}: {', '.join(f'{name} {value:.4g}' for name, value in metrics.items())}")

    def report_step(step: int, metrics: dict[str, float]) -> None:
        context.ledger.attempts.record_metrics(claim, step, metrics)

    record, state = checkpoints.latest() or (None, None)
    _rewind(context, claim, record)
    if spec.devices > 1:
        most = partial(context.ledger.workers.most_devices, claim.queue)
        launch = plan_launch(claim, spec, context.worker, most, state, checkpoints.last)
        return train_on_devices(launch, spec, progress, beat.check_lease)
    training = TrainingContext(
        context.device,
        report,
        report_step,
        beat.check,
        CheckpointHooks(checkpoints, None if state is None else read_checkpoint(state)),
    )
    try:
        if spec.family in LANGUAGE_MODELS:
            return _train_language_model(context, spec, training)
        training = replace(training, pretrained=load_pretrained(spec, context.store))
        return train(spec, open_rows(spec, context.inputs.blocks), training)
    finally:
        # A later attempt must find the last checkpoint of this one.
        checkpoints.wait()


def _train_language_model(context: WorkerContext, spec: TrainSpec, training: TrainingContext) -> TrainedLanguageModel:
    # Imported late: it needs transformers, which not every worker has.
    from longshore.workers.train.language.read_texts import open_texts
    from longshore.workers.train.language.trainer import load_bases, train_language_model

    streams = open_texts(spec, context.inputs.blocks, training.check)
    return train_language_model(spec, streams, training, load_bases(spec, context.store))


def _confusion(trained: TrainedModel | TrainedLanguageModel) -> dict[str, JsonValue]:
    if not isinstance(trained, TrainedModel) or trained.confusion is None:
        return {}
    return {
        "confusion_matrix": {
            "labels": list(trained.signature.labels or ()),
            "counts": [list(row) for row in trained.confusion],
        }
    }


def _rewind(context: WorkerContext, claim: Claim, checkpoint: CheckpointRecord | None) -> None:
    """Delete the metrics that earlier attempts reported for epochs and steps that run again."""
    if checkpoint is None or checkpoint.job_id != claim.job_id:
        context.ledger.checkpoints.rewind(claim, step=0, epochs=0)
        return
    context.ledger.checkpoints.rewind(claim, step=checkpoint.step, epochs=checkpoint.epoch - 1)


def store_version(
    context: WorkerContext, claim: Claim, spec: TrainSpec, trained: TrainedModel | TrainedLanguageModel
) -> tuple[Manifest, str]:
    """Put a trained model into the store, without a name yet. Returns its manifest and digest."""
    with tempfile.TemporaryDirectory(prefix="longshore-") as folder:
        if isinstance(trained, TrainedModel):
            manifest = _family_manifest(context, claim, spec, trained, Path(folder))
        else:
            manifest = Manifest(
                runtime=RuntimeName.HUGGINGFACE,
                files=trained.store_files(context.store, Path(folder)),
                signature=SIGNATURE,
                generation=trained.generation,
                metrics=trained.metrics,
                lineage={**_lineage(claim, spec, trained), **({} if spec.base is None else {"base": spec.base})},
                created_at=datetime.now(UTC).isoformat(),
            )
    return manifest, context.store.put_manifest(manifest)


def _family_manifest(
    context: WorkerContext, claim: Claim, spec: TrainSpec, trained: TrainedModel, folder: Path
) -> Manifest:
    path = folder / content_file(spec.family)
    if isinstance(trained.module, BoostedTrees):
        trained.module.save(path)
    else:
        save_weights(trained.module, path)
    weights = context.store.put_blob(path)
    tokenizer = None
    if trained.tokenizer is not None:
        written = folder / TOKENIZER_FILE
        written.write_text(trained.tokenizer, "utf-8")
        tokenizer = context.store.put_blob(written)
    return Manifest(
        runtime=RuntimeName.FAMILY,
        family=spec.family,
        config=trained.config.model_dump(mode="json"),
        weights=weights,
        tokenizer=tokenizer,
        signature=trained.signature,
        statistics=trained.statistics,
        metrics=trained.metrics,
        lineage={
            **_lineage(claim, spec, trained),
            **({"importance": dict(trained.importance)} if trained.importance else {}),
        },
        created_at=datetime.now(UTC).isoformat(),
    )


def _lineage(claim: Claim, spec: TrainSpec, trained: TrainedModel | TrainedLanguageModel) -> dict[str, JsonValue]:
    return {
        **{"job": str(claim.job_id), "spec": _public(spec), "torch": torch.__version__},
        # Not fields of the manifest, which workers of releases before these could not read.
        **({} if trained.summary is None else {"training": trained.summary.document()}),
        **({"notes": list(trained.notes)} if trained.notes else {}),
    }


def _public(spec: TrainSpec) -> dict[str, JsonValue]:
    """The spec without secrets of URLs, for everyone who can see the version."""
    document = spec.model_dump(mode="json")
    for name in ("data", "validation", "test"):
        part = getattr(spec, name)
        if isinstance(part, FileInput):
            document[name]["uri"] = public(part.uri)
    return document
