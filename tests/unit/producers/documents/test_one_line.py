"""Documents on one line."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from longshore.producers.documents.json_text import on_one_line, to_json
from longshore.producers.documents.results import result_json
from longshore.shared.ledger.queries import ResultRecord

TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.text("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029\\u8")


@given(st.dictionaries(TEXT.map(lambda text: f"a {text}"), TEXT | st.lists(TEXT)))
def test_a_document_is_one_line_for_every_reader(document: dict[str, object]) -> None:
    text = to_json(document)
    assert text.splitlines() == [text]
    assert json.loads(text) == document
    # As Postgres writes it.
    raw = json.dumps(document, ensure_ascii=False)
    assert json.loads(on_one_line(raw)) == document
    row = result_json(ResultRecord(row=1, key=json.dumps({"kept": "\u2028"}, ensure_ascii=False), output=raw))
    assert row.splitlines() == [row]
    assert json.loads(row) == {"row": 1, "kept": "\u2028", **document}
