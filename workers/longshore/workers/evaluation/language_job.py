"""Measures a language model: generates a text for every row, and compares it with the expected one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pyarrow as pa

from longshore.shared.datasets.columns.reference_texts import read_references
from longshore.shared.datasets.open import open_source
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.errors import DataError
from longshore.shared.ledger.records import Claim
from longshore.shared.specs.evaluate import Evaluation
from longshore.shared.specs.generate import GenerateSpec
from longshore.shared.specs.jobs import EvaluateSpec, FileInput
from longshore.workers.context import WorkerContext
from longshore.workers.evaluation.bootstrap import Bootstrap
from longshore.workers.evaluation.rows import Measured
from longshore.workers.evaluation.text_rows import TextRows
from longshore.workers.evaluation.texts import ReferenceScorer, generate_texts
from longshore.workers.generate.answers import AnswerChecker
from longshore.workers.generate.engines.base import Completion
from longshore.workers.generate.rows import PreparedRow, RowReader
from longshore.workers.generate.tokenizer import load_tokenizer
from longshore.workers.process.heartbeat import Heartbeat

#: Rows that are read and tokenized at a time.
WINDOW_ROWS = 256


class LanguageRun:
    """One attempt at the evaluation of a language model."""

    def __init__(self, context: WorkerContext, claim: Claim, spec: EvaluateSpec, beat: Heartbeat) -> None:
        self._context = context
        self._spec = spec
        self._beat = beat
        self._version = context.engines.version(claim)
        self._reader = RowReader(self._version, GenerateSpec.of_evaluation(spec))
        self._checker = (
            None if spec.json_schema is None else AnswerChecker(GenerateSpec.of_evaluation(spec, checked=True))
        )
        self._collector = TextRows(spec.worst)
        #: Error messages by row number.
        self.errors: dict[int, str] = {}
        #: Remarks for the owner of the job, one sentence each.
        self.notes: list[str] = []

    def rows(self) -> None:
        """Generate all texts and compare them; then measure the expected texts if the job asks for it."""
        model, engines = self._version.model, self._context.engines
        engine = engines.get(model, "auto", self._context.models)
        expected: dict[int, tuple[tuple[str, ...], str]] = {}

        def prepared() -> Iterator[tuple[int, PreparedRow]]:
            for row, run, references in self._read(self.errors):
                expected[row] = references, run.prefix
                yield row, run

        try:
            texts = generate_texts(engine, engines.ids, prepared(), self._version.adapter, self._beat.check)
            with closing(texts):
                for row, result in texts:
                    self._add(row, result, *expected.pop(row))
        except RuntimeError:
            engines.drop(engine)  # it may be in any state
            raise
        if not self._collector.rows:
            first = next(iter(self.errors.items()), None)
            raise DataError(
                "there are no rows to measure"
                if first is None
                else f"none of {len(self.errors)} rows can be measured; row {first[0]}: {first[1]}"
            )
        if self._spec.perplexity:
            size = sum(path.stat().st_size for path in model.folder.rglob("*.safetensors"))
            engines.free(engines.nbytes + size)
            self._score()

    def measure(self) -> tuple[Measured, Evaluation]:
        """Compute the metrics of all rows."""
        spec = self._spec
        measured = self._collector.measure(Bootstrap(spec.bootstrap, spec.seed, self._beat.check))
        return measured, Evaluation(
            task="generation",
            target=spec.target,
            rows=measured.rows,
            failed=len(self.errors),
            metrics=measured.metrics,
            intervals=measured.intervals,
            worst=measured.worst,
            bootstrap=spec.bootstrap,
            seed=spec.seed,
        )

    def _add(self, row: int, result: Completion | str, references: tuple[str, ...], prefix: str) -> None:
        if isinstance(result, str):
            self.errors[row] = result
            return
        text = prefix + result.text
        self._collector.add(row, text, references, valid=self._is_valid(text, result))
        self._beat.progress(len(self._collector.rows))

    def _is_valid(self, text: str, completion: Completion) -> bool | None:
        if self._checker is None:
            return None
        try:
            self._checker.check(text, completion)
        except ValueError:
            return False
        return True

    def _score(self) -> None:
        """Measure what the expected text of each measured row costs; of several, the first."""
        scorer = ReferenceScorer(self._version, self._context.device)
        tokenizer = load_tokenizer(self._version.model.folder)
        measured, left_out = set(self._collector.rows), 0
        for row, run, references in self._read({}):
            if row not in measured:
                continue
            self._beat.check()
            # The prompt has the beginning of the text already.
            begun = references[0].startswith(run.prefix)
            [tokens] = tokenizer.encode([references[0].removeprefix(run.prefix)], special_tokens=False)
            cost = scorer.cost(run.tokens, tokens) if begun and tokens and not isinstance(tokens, str) else None
            if cost is None:
                left_out += 1
            else:
                self._collector.add_cost(row, cost, len(tokens))
        if left_out:
            self.notes.append(
                f"perplexity leaves out {left_out:,} rows whose expected text is empty, does not begin with the "
                "prefix, has a token that the network does not have, or is longer than "
                f"{self._version.model.max_model_len:,} tokens with its prompt"
            )

    def _read(self, errors: dict[int, str]) -> Iterator[tuple[int, PreparedRow, tuple[str, ...]]]:
        """The rows that can be run, with their expected texts; the others are added to ``errors``."""
        first = 0
        for batch in self._batches():
            references = read_references(batch.column(self._spec.target))
            prepared = self._reader.read(batch.drop_columns([self._spec.target]))
            for row, (run, texts) in enumerate(zip(prepared, references, strict=True), first):
                if isinstance(run, str):
                    errors[row] = run
                elif isinstance(texts, str):
                    errors[row] = f"column {self._spec.target!r}: {texts}"
                else:
                    yield row, run, texts
            first += batch.num_rows

    def _batches(self) -> Iterator[pa.RecordBatch]:
        data, target = self._spec.data, self._spec.target
        if not isinstance(data, FileInput):
            table = self._context.inputs.blocks.rows(data)
            table = table.select(self._columns(table.column_names))
            yield from table.combine_chunks().to_batches(max_chunksize=WINDOW_ROWS)
            return
        source = open_source(data, uses=ColumnUses.for_generation((target,)))
        columns = self._columns(source.schema.names)
        for segment in source.segments(None):
            yield from source.batches(segment, columns, WINDOW_ROWS, strict=False)

    def _columns(self, names: list[str]) -> list[str]:
        return list(dict.fromkeys([*self._reader.columns(names), self._spec.target]))
