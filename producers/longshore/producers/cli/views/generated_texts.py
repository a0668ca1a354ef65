"""Waiting for texts, and printing them."""

from __future__ import annotations

import itertools
import json
import re
import sys
from typing import TYPE_CHECKING

from longshore.producers.cli.options import Options
from longshore.producers.cli.output import note, print_json, print_table
from longshore.producers.cli.table_layout import TableColumn
from longshore.producers.cli.views.addresses import in_home
from longshore.producers.cli.views.job_view import interruptible
from longshore.producers.documents.jobs import job_document
from longshore.shared.errors import JobFailed

if TYPE_CHECKING:
    from longshore.producers.job import Job
    from longshore.producers.results import ResultRow

#: Rows that are printed at most.
MAX_ROWS = 20
#: Everything that controls a terminal, but the ends of lines and tabs.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_COLUMNS = (TableColumn("ROW"), TableColumn("TEXT", wrap=True), TableColumn("FINISH", rank=1))


def print_texts(options: Options, job: Job) -> None:
    """Wait for a job, with a progress bar on a terminal, and print its texts: at most :data:`MAX_ROWS` of them.

    As JSON: the job, with its first results.

    :raises JobFailed: the job failed or was cancelled.
    :raises KeyboardInterrupt: on Ctrl-C; the message says that the job continues to run.
    """
    with interruptible(options, job):
        note(f"submitted {job.id}")
        try:
            job.wait()
        except JobFailed as error:
            if options.as_json:
                print_json(job_document(job.record()))
            raise JobFailed(f"{error} (see {in_home(options.home, f'longshore jobs show {job.id}')})") from None
    record = job.record()
    rows = list(itertools.islice(job.stream(), MAX_ROWS))
    if options.as_json:
        results = [{"row": row.row, "output": row.output} for row in rows]
        print_json({**vars(job_document(record)), "results": results})
    elif record.rows_total == 1 and rows:
        for text in _texts(rows[0]):
            sys.stdout.write((_CONTROL.sub("", text) if sys.stdout.isatty() else text) + "\n")
    else:
        print_table(
            _COLUMNS, [(row.row, text, row.output["finish_reason"]) for row in rows for text in _texts(row)], hint=None
        )
        if record.rows_done > len(rows):
            all_rows = in_home(options.home, f"longshore results {job.id} -o texts.jsonl")
            note(f"showing {len(rows)} of {record.rows_done:,} rows; for all: {all_rows}")
    for remark in record.notes:
        note(remark)


def _texts(row: ResultRow) -> list[str]:
    """The texts of a row; what a model calls stands for a text that it has not."""
    choices = row.output.get("choices")
    texts = [str(each["text"]) for each in choices if isinstance(each, dict)] if isinstance(choices, list) else []
    texts = texts or [str(row.output["text"])]
    if not any(texts) and row.output.get("tool_calls"):
        return [json.dumps(row.output["tool_calls"], ensure_ascii=False)]
    return texts
