"""What strangers give to a job: templates that loop, broken messages, wrong options. Each is an error of its row."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from pydantic import JsonValue

from longshore.producers import Client
from longshore.shared.errors import InvalidInput
from tests.integration.generation.answers import MODEL, import_model
from tests.language_models import save_language_model
from tests.waiting import TIMEOUT_S

USER = {"role": "user", "content": "the cat"}
#: It answers short messages, and does to others what no template should.
TRAP = """{{- messages[0].content }}{% if messages|length > 1 %}
{%- for a in range(100000) %}{% for b in range(100000) %}{{ a ~ b }}{% endfor %}{% endfor %}{% endif %}
{%- if messages[0].content == 'reach' %}{{ ''.__class__.__mro__[1].__subclasses__() }}{% endif %}
{%- if messages[0].content == 'refuse' %}{{ raise_exception('no such words, please') }}{% endif %}"""
#: Rows by what their error says; the last one can be run.
ROWS = {
    "the chat template was stopped": {"messages": [USER, USER]},
    "the chat template does what it may not: .*__class__": {"messages": [{"role": "user", "content": "reach"}]},
    "the chat template refuses it: no such words": {"messages": [{"role": "user", "content": "refuse"}]},
    r"messages\[0\].role: 'wizard'": {"messages": [{"role": "wizard", "content": "a"}]},
    r"messages\[1\].content: missing": {"messages": [USER, {"role": "user"}]},
    r"messages\[0\].tool_calls: 5; give a list of": {"messages": [{"role": "assistant", "tool_calls": 5}]},
    r"messages\[0\].tool_calls\[1\]: 'b'; give": {
        "messages": [{"role": "assistant", "content": "a", "tool_calls": [{"function": {}}, "b"]}]
    },
    "column 'temperature': -1": {"messages": [USER], "temperature": -1},
    "max_tokens: 600.* give at most": {"messages": [USER], "max_tokens": 600},
    "min_tokens.* more than max_tokens": {"messages": [USER], "min_tokens": 9, "max_tokens": 3},
    "messages: 'hello'": {"messages": "hello"},
    "": {"messages": [USER], "max_tokens": 3},
}


def deep(levels: int) -> JsonValue:
    """A schema of lists in each other."""
    schema: JsonValue = {"type": "string"}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


@pytest.fixture(scope="module")
def folder(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    import_model(client, folder)
    save_language_model(folder / "trap", template=TRAP)
    client.models.import_(folder / "trap", "trap")
    return folder


def test_bad_rows_fail_alone_and_say_why(client: Client, folder: Path) -> None:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS.values()))
    job = client.generate("trap", file, max_row_errors=len(ROWS)).wait(TIMEOUT_S)
    errors = {error.row: error.message for error in job.errors()}
    assert errors.keys() == set(range(len(ROWS) - 1))
    for row, reason in enumerate(ROWS):
        assert re.search(reason, errors.get(row, "")), (reason, errors.get(row))
    assert [result.row for result in job.stream()] == [len(ROWS) - 1]
    assert job.texts() == [None] * (len(ROWS) - 1) + job.results().texts


def test_documents_of_a_random_model_match_their_schema_in_every_row(client: Client, folder: Path) -> None:
    schema: dict[str, JsonValue] = {
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 8},
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "tags": {"type": "array", "items": {"enum": ["red", "blue"]}, "maxItems": 3},
        },
        "required": ["name", "age", "tags"],
        "additionalProperties": False,
    }
    prompts = [f"person {number}" for number in range(100)]
    job = client.generate(MODEL, prompts, schema=schema, temperature=1.0, seed=1, max_tokens=300).wait(TIMEOUT_S)
    outputs = [row.output for row in job.stream()]
    assert len(outputs) == 100
    for output in outputs:
        jsonschema.Draft202012Validator(schema).validate(output["data"])
        assert json.loads(str(output["text"])) == output["data"]


def test_a_document_that_is_cut_off_is_an_error_of_its_row(client: Client, folder: Path) -> None:
    rows = [{"prompt": "a", "max_tokens": 2}, {"prompt": "a", "max_tokens": 60}]
    schema: dict[str, JsonValue] = {"type": "array", "items": {"const": "cat"}, "minItems": 3, "maxItems": 3}
    job = client.generate(MODEL, rows, schema=schema, max_row_errors=1).wait(TIMEOUT_S)
    assert [error.row for error in job.errors()] == [0]
    assert "ended after 2 tokens inside the JSON document; raise max_tokens" in job.errors()[0].message
    assert [row.output["data"] for row in job.stream()] == [["cat", "cat", "cat"]]


def test_choices_and_regular_expressions_hold_in_every_row(client: Client, folder: Path) -> None:
    prompts = [f"word {number}" for number in range(30)]
    job = client.generate(MODEL, prompts, choices=["yes", "no", "may be"], temperature=2.0, seed=3).wait(TIMEOUT_S)
    texts = {str(row.output["text"]) for row in job.stream()}
    assert texts == {"yes", "no", "may be"}
    job = client.generate(MODEL, prompts, regex=r"[a-f]{4}-\d{2}", temperature=1.0, seed=3).wait(TIMEOUT_S)
    assert all(re.fullmatch(r"[a-f]{4}-\d{2}", str(row.output["text"])) for row in job.stream())


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"schema": {"not": {"type": "string"}}}, "schema"),
        ({"schema": {"$ref": "https://example.com/x.json"}}, "schema"),
        ({"regex": "(a"}, "regex"),
        ({"schema": {}, "regex": "a"}, "regex"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}], "choices": ["a"]}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": "no name"}}]}, "tools[0]"),
        ({"schema": deep(300)}, "schema"),
        ({"schema": deep(3000)}, "schema"),
        ({"temperature": -1}, "temperature"),
        ({"max_new_tokens": 4}, "max_new_tokens"),
    ],
)
def test_options_that_cannot_be_followed_are_refused(
    client: Client, folder: Path, options: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInput) as raised:
        client.generate(MODEL, [[USER]], **options)  # type: ignore[arg-type]
    assert raised.value.field == field
    assert len(raised.value.reason) < 400


def test_tools_without_a_place_in_the_template_are_refused(client: Client, folder: Path) -> None:
    tools: list[dict[str, JsonValue]] = [{"type": "function", "function": {"name": "f"}}]
    with pytest.raises(InvalidInput, match=r"^tools: the chat template .* has no place for tools"):
        client.generate(MODEL, [[USER]], tools=tools)


def test_calls_of_tools_are_read_back_and_can_be_answered(client: Client, folder: Path) -> None:
    template = (
        "{% for tool in tools or [] %}<tools>{{ tool | tojson }}</tools>{% endfor %}"
        "{% for m in messages %}<|im_start|>{{ m.role }}: {{ m.content or '' }}{% for call in m.tool_calls or [] %}"
        "<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}"
        "{% if m.role != 'assistant' or not loop.last %}<|im_end|>{% endif %}{% endfor %}"
    )
    save_language_model(folder / "tools", template=template)
    client.models.import_(folder / "tools", "tools")
    tools: list[dict[str, JsonValue]] = [{"type": "function", "function": {"name": "clock", "parameters": {}}}]
    # A model of random weights calls nothing by itself: its answer begins with a call, and ends there.
    call = '<tool_call>{"name": "clock", "arguments": {"zone": "CET"}}</tool_call>'
    [row] = client.generate("tools", [[USER]], tools=tools, prefix=call, max_tokens=1).wait(TIMEOUT_S).stream()
    stop = str(row.output["text"]).removeprefix(call)[:1]
    options = {"stop": [stop] if stop else [], "max_tokens": 1, "prefix": call}
    [row] = client.generate("tools", [{"messages": [USER], **options}], tools=tools).wait(TIMEOUT_S).stream()
    assert row.output["text"] == call
    assert row.output["finish_reason"] == "tool_calls"
    message = row.output["message"]
    assert isinstance(message, dict)
    calls = row.output["tool_calls"]
    assert isinstance(calls, list)
    [written] = calls
    assert message == {"role": "assistant", "content": None, "tool_calls": [written]}
    assert isinstance(written, dict)
    assert written["function"] == {"name": "clock", "arguments": '{"zone": "CET"}'}
    answer: dict[str, JsonValue] = {"role": "tool", "tool_call_id": written["id"], "content": "12:00"}
    [row] = client.generate("tools", [[USER, message, answer]], tools=tools, max_tokens=2).wait(TIMEOUT_S).stream()
    assert row.output["usage"]["prompt_tokens"] > 20  # type: ignore[index,call-overload,operator]
