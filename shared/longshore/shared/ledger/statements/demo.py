"""What the demonstration shows people of its results; ``{job}`` is filled in with the id of a job."""

from __future__ import annotations

from typing import Final

SAMPLE_ROWS_QUERY: Final = "SELECT row, output FROM results WHERE job_id = '{job}' ORDER BY row LIMIT 5"
#: Rows without a result count as wrong.
ACCURACY_QUERY: Final = """\
SELECT avg(coalesce((output->>'label' = truth.label)::int, 0))
FROM unnest(%(labels)s::text[]) WITH ORDINALITY AS truth (label, position)
LEFT JOIN results ON results.row = position - 1 AND results.job_id = '{job}'"""
