"""Runs an evaluation job: runs the version on every row and compares its outputs with the targets."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import JsonValue

from longshore.shared.datasets.open import notes_of, open_source
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.errors import DataError, InvalidInput
from longshore.shared.ledger.records import Claim
from longshore.shared.specs.evaluate import Evaluation
from longshore.shared.specs.jobs import EvaluateSpec, FileInput
from longshore.shared.specs.positive import PositiveClass, read_positive
from longshore.shared.specs.signature import Signature
from longshore.workers.context import WorkerContext
from longshore.workers.evaluation.bootstrap import Bootstrap
from longshore.workers.evaluation.classes import ClassRows
from longshore.workers.evaluation.judging import JudgedRun
from longshore.workers.evaluation.known import KnownTargets
from longshore.workers.evaluation.known_sets import KnownSets
from longshore.workers.evaluation.label_sets import SetRows
from longshore.workers.evaluation.language_job import LanguageRun
from longshore.workers.evaluation.rows import Collector, Measured
from longshore.workers.evaluation.values import ValueRows
from longshore.workers.inference.batch_runner import BatchRunner
from longshore.workers.inference.heads import Heads, VectorHead
from longshore.workers.inference.table_job import Steps
from longshore.workers.inputs.reading import window_rows
from longshore.workers.inputs.row_numbers import number
from longshore.workers.inputs.shard_reader import prepare_windows
from longshore.workers.pipeline import prefetch
from longshore.workers.process.heartbeat import Heartbeat

#: Maximum output values in a window. With many classes a window has fewer rows.
WINDOW_OUTPUTS = 16 * 2**20


def run_evaluation(context: WorkerContext, claim: Claim, beat: Heartbeat) -> None:
    """Measure the version and commit the result. A lost attempt leaves only its own attempt metrics behind.

    :raises AttemptLost: a newer attempt owns the shard, or the job was cancelled.
    :raises DataError: the input has changed since submission, or no row of it can be measured.
    """
    spec = EvaluateSpec.model_validate(claim.spec)
    run: _Run | LanguageRun | JudgedRun
    if spec.judge is not None:
        run = JudgedRun(context, claim, spec, beat)
    elif _is_language_model(context, claim):
        run = LanguageRun(context, claim, spec, beat)
    else:
        run = _Run(context, claim, spec, beat)
    run.rows()
    measured, evaluation = run.measure()
    context.ledger.attempts.record_metrics(claim, 0, evaluation.metrics)
    outcome: dict[str, JsonValue] = evaluation.model_dump(mode="json")
    with context.ledger.attempts.writing(claim) as writer:
        writer.fence(measured.rows)
        writer.row_errors(run.errors)
        writer.notes([*run.notes, *measured.notes])
        context.logs.say(*run.notes, *measured.notes)
        writer.finish(outcome, rows_total=measured.rows + len(run.errors))


def _is_language_model(context: WorkerContext, claim: Claim) -> bool:
    return claim.digest is not None and context.store.get_manifest(claim.digest).signature.task == "generation"


class _Run:
    """One attempt at the job."""

    def __init__(self, context: WorkerContext, claim: Claim, spec: EvaluateSpec, beat: Heartbeat) -> None:
        inference = spec.inference()
        self._spec = spec
        self._beat = beat
        self._runtime = context.models.for_job(claim, inference)
        signature = self._runtime.signature
        rows = max(min(window_rows(signature, spec.batch_size), WINDOW_OUTPUTS // (signature.outputs or 1)), 1)
        sizes = context.batch_sizes.get(claim, inference, self._runtime, rows)
        self._runner = BatchRunner(
            self._runtime,
            Heads((VectorHead("outputs", signature.activation),)),
            sizes,
            allow_nan=False,
            step=Steps(beat).add,
        )
        self._batches = _batches(context, spec, signature, rows, self._runner.notes)
        sets = signature.task == "multilabel"
        self._targets = KnownSets(signature) if sets else KnownTargets(signature)
        self._positive = read_positive(signature, spec.positive, spec.threshold)
        self._collector = _collector(signature, self._positive)
        #: Error messages by row number.
        self.errors: dict[int, str] = {}

    @property
    def notes(self) -> list[str]:
        """Remarks on the computation for the owner of the job, one sentence each."""
        return self._runner.notes

    def rows(self) -> None:
        """Run the version on every row and collect what the metrics need."""
        done = 0
        with prefetch(prepare_windows(self._runtime, number(self._batches, 0))) as ready:
            for window in ready:
                outputs, errors = self._runner.run(window.prepared)
                known = self._targets.read(window.read.batch.column(self._spec.target))
                wrong = {**known.errors, **errors}
                self.errors |= {int(window.read.rows[place]): reason for place, reason in wrong.items()}
                good = np.ones(len(window.read.rows), bool)
                good[list(wrong)] = False
                if good.any():
                    numbers = _matrix(outputs)
                    self._collector.add(window.read.rows[good], numbers[good], known.values[good])
                    done += int(good.sum())
        if not done:
            first = next(iter(self.errors.items()), None)
            raise DataError(
                "there are no rows to measure"
                if first is None
                else f"none of {len(self.errors)} rows can be measured; row {first[0]}: {first[1]}"
            )

    def measure(self) -> tuple[Measured, Evaluation]:
        """Compute the metrics of all rows."""
        signature, spec = self._runtime.signature, self._spec
        measured = self._collector.measure(Bootstrap(spec.bootstrap, spec.seed, self._beat.check), spec.worst)
        evaluation = Evaluation(
            task=signature.task,
            target=spec.target,
            rows=measured.rows,
            failed=len(self.errors),
            metrics=measured.metrics,
            intervals=measured.intervals,
            classes=measured.classes,
            classes_total=len(signature.labels or ()),
            confusion_matrix=measured.confusion_matrix,
            worst=measured.worst,
            unknown_rows=measured.unknown_rows,
            unknown_labels=tuple(self._targets.unknown),
            positive=None if self._positive is None else (signature.labels or ())[self._positive.index],
            threshold=None if self._positive is None else spec.threshold,
            bootstrap=spec.bootstrap,
            seed=spec.seed,
        )
        if signature.output_kind == "scores" and "log_loss" in measured.metrics:
            self._runner.notes.append(
                "the version gives scores that are not probabilities; log_loss is that of their softmax"
            )
        if measured.unknown_rows:
            labels = ", ".join(self._targets.unknown[:5])
            self._runner.notes.append(
                f"{measured.unknown_rows} rows have labels that the version does not know ({labels}); "
                "they count as wrong"
            )
        return measured, evaluation


def _collector(signature: Signature, positive: PositiveClass | None) -> Collector:
    """:raises InvalidInput: no column can be compared with the outputs. In a chain only this check finds it."""
    if signature.task == "embedding":
        raise InvalidInput("model", "the version gives embeddings, which no column can be compared with")
    if signature.target_width is not None:
        raise InvalidInput("model", "the version predicts lists of numbers; train with a test to measure it")
    if signature.labels is None:
        return ValueRows()
    if signature.task == "multilabel":
        return SetRows(signature.labels)
    return ClassRows(signature.labels, positive, signature.output_kind or "logits")


def _batches(
    context: WorkerContext, spec: EvaluateSpec, signature: Signature, rows: int, notes: list[str]
) -> Iterator[pa.RecordBatch]:
    """The rows of the job; notes on their files are appended to ``notes``."""
    columns = list(dict.fromkeys([*(feature.name for feature in signature.features), spec.target]))
    if not isinstance(spec.data, FileInput):
        table = context.inputs.blocks.rows(spec.data).select(columns)
        yield from table.combine_chunks().to_batches(max_chunksize=rows)
        return
    source = open_source(spec.data, uses=ColumnUses.of(signature, target=spec.target))
    notes += notes_of(source)
    for segment in source.segments(None):
        # Not strict: a value that does not fit its column is an error of its row only.
        yield from source.batches(segment, columns, rows, strict=False)


def _matrix(outputs: pa.StructArray) -> npt.NDArray[np.float32]:
    """The outputs of the n rows of a window, ``(n, outputs)``, including bad rows."""
    lists = outputs.field(0)
    numbers: npt.NDArray[np.float32] = lists.values.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
    return numbers.reshape(len(lists), -1)
