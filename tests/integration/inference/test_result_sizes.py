"""A result that is too large to be stored is an error of its row alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from longshore.shared import limits
from longshore.shared.datasets.outputs.folder import OutputFolder
from longshore.shared.datasets.outputs.pattern import OutputPattern
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.vocabulary import State
from longshore.workers.batching.run import ComputedBatch, commit_batch
from longshore.workers.inference.file_sink import FileSink
from longshore.workers.inference.sinks import ComputedWindow, ErrorSink, TableSink, storable
from tests.integration.support import claim, row_errors_of, submit

#: Numbers of each row's output.
WIDTHS = [1, 200, 3, 400]
OUTPUTS = pa.array([{"output": [1.5] * width} for width in WIDTHS])
STORED = {0: {"output": [1.5]}, 2: {"output": [1.5] * 3}}


@pytest.fixture(autouse=True)
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_RESULT_BYTES", 500)


def check(ledger: Ledger, of: object) -> None:
    [job] = ledger.queries.jobs()
    assert job.id == of
    assert (job.state, job.rows_done, job.rows_failed) == (State.SUCCEEDED, 2, 2)
    assert {row: json.loads(output) for row, output, _ in ledger.queries.results(job.id)} == STORED
    sizes = {row: len(json.dumps({"output": [1.5] * WIDTHS[row]})) for row in (1, 3)}
    said = "its result has {:,} bytes as JSON, and at most 500 are stored; write the results to files with output"
    assert dict(row_errors_of(ledger, job.id)) == {row: said.format(size) for row, size in sizes.items()}


def test_in_a_shard_of_its_own(ledger: Ledger) -> None:
    job = submit(ledger, 4, max_row_errors=2)
    of = claim(ledger, job)
    inputs = pa.RecordBatch.from_pydict({"x": WIDTHS})
    window = ComputedWindow(np.arange(4), inputs, OUTPUTS, {})
    errors = ErrorSink()
    with ledger.attempts.writing(of) as writer:
        for sink in (TableSink(of, writer), errors):
            sink.take(window)
        writer.fence(4 - len(errors.errors))
        writer.row_errors(errors.errors)
        writer.finish()
    check(ledger, job)


def test_a_row_with_an_error_is_in_no_output_file(ledger: Ledger, tmp_path: Path) -> None:
    job = submit(ledger, 4, max_row_errors=2)
    of = claim(ledger, job)
    pattern = OutputPattern.parse(f"{tmp_path}/*.jsonl")
    window = ComputedWindow(np.arange(4), pa.RecordBatch.from_pydict({"x": WIDTHS}), OUTPUTS, {})
    files, errors = FileSink(OutputFolder(pattern, job), pattern.hidden(job, 0, 1), []), ErrorSink()
    with ledger.attempts.writing(of) as writer:
        for sink in (TableSink(of, writer), files, errors):
            sink.take(window)
        name = files.finish()
        writer.decide(name, [])
        writer.row_errors(errors.errors)
    assert sorted(errors.errors) == [1, 3]
    [file] = tmp_path.rglob(Path(name).name)
    assert [json.loads(line)["row"] for line in file.read_text().splitlines()] == [0, 2]
    ledger.attempts.finish_output_file(of)
    check(ledger, job)


def test_in_a_batch_of_shards(ledger: Ledger) -> None:
    job = submit(ledger, 2, 2, max_row_errors=2)
    claims = [claim(ledger, job, shard) for shard in range(2)]
    commit_batch(ledger, ComputedBatch(claims, [2, 2], [(OUTPUTS.slice(0, 3), {}), (OUTPUTS.slice(3), {})], [[], []]))
    check(ledger, job)


def test_results_below_the_limit_are_left_as_they_are() -> None:
    texts = pa.array(["a" * 200, None, "b" * 400], pa.large_string())
    assert storable(texts) == (texts, {})
