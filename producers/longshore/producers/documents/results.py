"""Results as lines of JSON."""

from __future__ import annotations

from longshore.producers.documents.json_text import on_one_line
from longshore.shared.ledger.queries import ResultRecord


def result_json(row: ResultRecord) -> str:
    """The result of a row as a JSON object on one line: ``row``, the columns that the job keeps, those of the output.

    Its numbers are written with the digits that they have in Postgres.
    """
    # Key and output are JSON already, so there is no need to parse and serialize them.
    output = row.output if row.output.startswith("{") else f'{{"output": {row.output}}}'
    members = [f'"row": {row.row}', *(text[1:-1] for text in (row.key, output) if text not in (None, "{}"))]
    return on_one_line(f"{{{', '.join(members)}}}")
