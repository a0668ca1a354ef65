"""Compares the texts of two language models by a third one, the judge.

As in Zheng et al., Judging LLM-as-a-Judge, 2023 (https://arxiv.org/abs/2306.05685): the judge sees each pair in both
orders, because many judges prefer the first of two answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa

from longshore.shared.datasets.open import open_source
from longshore.shared.datasets.prompts import PromptRow, read_prompts
from longshore.shared.datasets.uses import ColumnUses
from longshore.shared.errors import DataError
from longshore.shared.ledger.records import Claim
from longshore.shared.specs.evaluate import Evaluation
from longshore.shared.specs.generate import MESSAGES, PROMPT, GenerateSpec
from longshore.shared.specs.jobs import EvaluateSpec, FileInput
from longshore.workers.context import WorkerContext
from longshore.workers.evaluation.bootstrap import Bootstrap
from longshore.workers.evaluation.rows import Measured
from longshore.workers.evaluation.texts import generate_texts
from longshore.workers.generate.engines.base import Completion
from longshore.workers.generate.rows import PreparedRow, RowReader
from longshore.workers.generate.version import LanguageVersion
from longshore.workers.process.heartbeat import Heartbeat

#: Rows that are read and tokenized at a time.
_WINDOW_ROWS: Final = 256
#: What the judge can say, and what the first answer gets for it.
VERDICTS: Final[Mapping[str, float]] = {"A": 1.0, "B": 0.0, "tie": 0.5}
#: Tokens that a verdict takes, at most.
_VERDICT_TOKENS: Final = 16
QUESTION: Final = (
    "Two assistants have answered the same request. Which answer is better: more correct, more helpful, more to the "
    "point? The order of the answers and their length mean nothing.\n\n[Request]\n{request}\n\n[Answer A]\n{first}\n\n"
    "[Answer B]\n{second}\n\nThe better answer (A, B or tie): "
)


class JudgedRun:
    """One attempt at the comparison of two language models."""

    def __init__(self, context: WorkerContext, claim: Claim, spec: EvaluateSpec, beat: Heartbeat) -> None:
        self._context = context
        self._spec = spec
        self._beat = beat
        engines = context.engines
        self._versions = (engines.version(claim), engines.version(replace(claim, digest=spec.against_digest)))
        self._judge = engines.version(replace(claim, digest=spec.judge_digest))
        #: What the first version gets for each row, from 0 to 1.
        self._points: dict[int, float] = {}
        #: Error messages by row number.
        self.errors: dict[int, str] = {}
        #: Remarks for the owner of the job, one sentence each.
        self.notes: list[str] = []

    def rows(self) -> None:
        """Generate the texts of both versions, and have each pair judged in both orders."""
        first, second = (self._texts(version) for version in self._versions)
        requests = {
            row: request_text(prompt, self._spec.system)
            for batch, start in self._batches()
            for row, prompt in enumerate(read_prompts(batch), start)
            if row in first and row in second and not isinstance(prompt, str)
        }
        forward = self._verdicts(requests, first, second)
        backward = self._verdicts(requests, second, first)
        for row in requests:
            if row in forward and row in backward:
                self._points[row] = (forward[row] + 1.0 - backward[row]) / 2
        if not self._points:
            reason = next(iter(self.errors.items()), None)
            raise DataError("there are no rows to compare" if reason is None else f"row {reason[0]}: {reason[1]}")

    def measure(self) -> tuple[Measured, Evaluation]:
        """Compute the win rate."""
        spec = self._spec
        points = np.array(list(self._points.values()))
        metrics = {"win_rate": float(points.mean())}
        bootstrap = Bootstrap(spec.bootstrap, spec.seed, self._beat.check)
        intervals = bootstrap.of_means(metrics, {"win_rate": points})
        ties = int((points == 0.5).sum())
        self.notes.append(
            f"of {len(points):,} rows, {int((points > 0.5).sum()):,} are won, {ties:,} are ties, and "
            f"{int((points < 0.5).sum()):,} are lost against {spec.against}"
        )
        measured = Measured(rows=len(points), metrics=metrics, intervals=intervals, worst=())
        return measured, Evaluation(
            task="generation",
            target=spec.target,
            rows=measured.rows,
            failed=len(self.errors),
            metrics=metrics,
            intervals=intervals,
            bootstrap=spec.bootstrap,
            seed=spec.seed,
        )

    def _texts(self, version: LanguageVersion) -> dict[int, str]:
        """What a version writes, by row."""
        reader = RowReader(version, GenerateSpec.of_evaluation(self._spec))
        prefixes: dict[int, str] = {}

        def prepared() -> Iterator[tuple[int, PreparedRow]]:
            for batch, start in self._batches():
                for row, run in enumerate(reader.read(batch), start):
                    if isinstance(run, str):
                        self.errors[row] = run
                    else:
                        prefixes[row] = run.prefix
                        yield row, run

        written = {}
        for row, result in self._run(version, prepared()):
            if isinstance(result, str):
                self.errors[row] = result
            else:
                written[row] = prefixes[row] + result.text
        return written

    def _verdicts(
        self, requests: Mapping[int, str], first: Mapping[int, str], second: Mapping[int, str]
    ) -> dict[int, float]:
        """What the first text of each row gets."""
        spec = GenerateSpec(data=self._spec.data, max_tokens=_VERDICT_TOKENS, temperature=0.0, choices=tuple(VERDICTS))
        reader = RowReader(self._judge, spec)
        chats = self._judge.chat_template is not None

        def prepared() -> Iterator[tuple[int, PreparedRow]]:
            for row, request in requests.items():
                question = QUESTION.format(request=request, first=first[row], second=second[row])
                column, value = (MESSAGES, [{"role": "user", "content": question}]) if chats else (PROMPT, question)
                [run] = reader.read(pa.RecordBatch.from_pylist([{column: value}]))
                if isinstance(run, str):
                    self.errors[row] = f"the judge cannot read it: {run}"
                else:
                    yield row, run

        verdicts = {}
        for row, result in self._run(self._judge, prepared()):
            points = None if isinstance(result, str) else VERDICTS.get(result.text)
            if points is None:
                said = result if isinstance(result, str) else result.text
                self.errors[row] = f"the judge gives no verdict: {said[:200]}"
            else:
                verdicts[row] = points
        return verdicts

    def _run(
        self, version: LanguageVersion, rows: Iterator[tuple[int, PreparedRow]]
    ) -> Iterator[tuple[int, Completion | str]]:
        engines = self._context.engines
        engine = engines.get(version.model, "auto", self._context.models)
        with closing(generate_texts(engine, engines.ids, rows, version.adapter, self._beat.check)) as texts:
            yield from texts

    def _batches(self) -> Iterator[tuple[pa.RecordBatch, int]]:
        """The rows of the job, each batch with the number of its first row."""
        data, start = self._spec.data, 0
        if isinstance(data, FileInput):
            source = open_source(data, uses=ColumnUses.for_generation())
            columns = self._columns(source.schema.names)
            batches = (
                batch
                for segment in source.segments(None)
                for batch in source.batches(segment, columns, _WINDOW_ROWS, strict=False)
            )
        else:
            table = self._context.inputs.blocks.rows(data)
            table = table.select(self._columns(table.column_names)).combine_chunks()
            batches = iter(table.to_batches(max_chunksize=_WINDOW_ROWS))
        for batch in batches:
            yield batch, start
            start += batch.num_rows

    def _columns(self, names: list[str]) -> list[str]:
        return RowReader(self._versions[0], GenerateSpec.of_evaluation(self._spec)).columns(names)


def request_text(row: PromptRow, system: str | None) -> str:
    """What both versions were asked, as a text.

    :param system: that of the job, for rows that have none of their own.
    """
    system = str(row.options.get("system") or system or "")
    if row.messages is None:
        return f"{system}\n{row.prompt}" if system else row.prompt or ""
    said = [f"{message.get('role')}: {message.get('content') or ''}" for message in row.messages]
    return "\n".join([f"system: {system}", *said] if system else said)
