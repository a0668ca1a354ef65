"""Texts that are being generated: what an attempt saves of them, so that the next one goes on with them."""

from __future__ import annotations

from typing import Final

#: Before other parts are saved in their place: what a text has from there on. The caller has locked the shards.
DELETE_TEXT_ENDS: Final = """
    DELETE FROM partial_texts
    USING unnest(%(jobs)b::uuid[], %(rows)b::bigint[], %(indexes)b::int[], %(starts)b::int[])
        AS saved (job_id, row, index, start)
    WHERE partial_texts.job_id = saved.job_id AND partial_texts.row = saved.row
      AND partial_texts.index = saved.index AND partial_texts.start >= saved.start
"""
COPY_TEXTS: Final = "COPY partial_texts (job_id, row, index, start, tokens, logprobs) FROM STDIN"
LIST_TEXTS: Final = """
    SELECT row, index, start, tokens, logprobs::text FROM partial_texts
    WHERE job_id = %(job)s AND row >= %(start)s AND row < %(stop)s
    ORDER BY row, index, start
"""
#: Of rows that are done.
DELETE_TEXTS_OF_ROWS: Final = """
    DELETE FROM partial_texts USING unnest(%(jobs)b::uuid[], %(rows)b::bigint[]) AS done (job_id, row)
    WHERE partial_texts.job_id = done.job_id AND partial_texts.row = done.row
"""
