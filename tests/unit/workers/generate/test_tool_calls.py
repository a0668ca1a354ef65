"""Calls of functions, read back from what models of several families write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longshore.workers.generate.engines.base import Completion, EngineFinish, Sampling
from longshore.workers.generate.outputs import Output, OutputWriter
from longshore.workers.generate.rows import PreparedRow
from longshore.workers.generate.tokenizer import load_tokenizer
from longshore.workers.generate.tool_calls import (
    CallingText,
    ToolCall,
    ToolReader,
    call_documents,
    choose_reader,
    read_hermes,
    read_json,
    read_mistral,
)
from tests.language_models import save_chat_tokenizer
from tests.unit.workers.generate.versions import language_version, spec_of

NAMES = ("weather", "clock")
WEATHER = ToolCall("weather", '{"place": "Köln"}')
CLOCK = ToolCall("clock", "{}")


@pytest.mark.parametrize(
    ("read", "text", "calls", "content"),
    [
        (
            read_hermes,
            '<tool_call>\n{"name": "weather", "arguments": {"place": "Köln"}}\n</tool_call><|im_end|>',
            [WEATHER],
            "",
        ),
        (
            read_hermes,
            'I look.\n<tool_call>{"name": "weather", "arguments": {"place": "Köln"}}</tool_call>\n'
            '<tool_call>{"name": "clock", "arguments": {}}</tool_call>',
            [WEATHER, CLOCK],
            "I look.",
        ),
        (read_hermes, '<tool_call>{"name": "clock", "arguments": "{}"}<|im_end|>', [], ""),
        (read_hermes, '<tool_call>{"name": "clock", "arguments": "{}"}', [CLOCK], ""),
        (read_hermes, '<tool_call>{"name": "clock", "arguments": {}</tool_call>', [], ""),
        (read_hermes, '<tool_call>{"name": "clock", "arguments": [1]}</tool_call>', [], ""),
        (read_hermes, '<tool_call>{"name": "clock", "arguments": {"a": NaN}}</tool_call>', [], ""),
        (read_hermes, '{"name": "clock", "arguments": {}}', [], ""),
        (
            read_mistral,
            '[TOOL_CALLS] [{"name": "weather", "arguments": {"place": "Köln"}}, '
            '{"name": "clock", "arguments": {}}]</s>',
            [WEATHER, CLOCK],
            "",
        ),
        (
            read_mistral,
            'Well.[TOOL_CALLS]weather[ARGS]{"place": "Köln"}[TOOL_CALLS]clock[CALL_ID]123456789[ARGS]{}</s>',
            [WEATHER, CLOCK],
            "Well.",
        ),
        (read_mistral, "[TOOL_CALLS] I do not know", [], ""),
        (read_mistral, "[1, 2]", [], ""),
        (read_json, '{"name": "weather", "parameters": {"place": "Köln"}}<|eot_id|>', [WEATHER], ""),
        (read_json, '<|python_tag|>{"name": "clock", "parameters": {}}<|eom_id|>', [CLOCK], ""),
        (read_json, '{"name": "clock", "parameters": {}}; {"name": "clock", "parameters": {}}', [CLOCK, CLOCK], ""),
        (read_json, '[{"name": "clock", "arguments": {}}]', [CLOCK], ""),
        (read_json, '{"name": "Ann", "parameters": {}}', [], ""),
        (read_json, '{"name": "clock", "parameters": {}} and more', [], ""),
        (read_json, "17", [], ""),
        (read_json, "", [], ""),
    ],
)
def test_calls_are_read_or_the_text_is_a_text(read: ToolReader, text: str, calls: list[ToolCall], content: str) -> None:
    assert read(text, NAMES) == (CallingText(tuple(calls), content) if calls else None)


@given(st.text(), st.sampled_from([read_hermes, read_mistral, read_json]))
def test_no_text_breaks_a_reader(text: str, read: ToolReader) -> None:
    for each in (text, f"<tool_call>{text}</tool_call>", f"[TOOL_CALLS]{text}", "[" * 5000):
        result = read(each, NAMES)
        assert result is None or result.calls


def test_the_reader_is_chosen_by_the_template_and_the_special_tokens() -> None:
    assert choose_reader("{{ '<tool_call>' }}", ()) is read_hermes
    assert choose_reader("{{ tools }}", ("[TOOL_CALLS]",)) is read_mistral
    assert choose_reader("{{ '[TOOL_CALLS]' }}", ()) is read_mistral
    assert choose_reader('{{ \'{"name": "\' }}', ("<|python_tag|>",)) is read_json


def test_calls_have_ids_of_nine_letters_that_differ_and_do_not_change() -> None:
    first, second = call_documents([CLOCK, CLOCK]), call_documents([CLOCK, CLOCK])
    assert first == second
    ids = [call["id"] for call in first if isinstance(call, dict)]
    assert len(set(ids)) == 2
    assert all(isinstance(each, str) and len(each) == 9 and each.isalnum() for each in ids)


TEMPLATE = "{{ tools }}{{ messages }}<tool_call>"
TOOLS = [{"type": "function", "function": {"name": name}} for name in NAMES]


def written(
    folder: Path, text: str, *, finish: EngineFinish = "stop", prefix: str = "", is_chat: bool = True
) -> Output:
    """The output of a row for which a model wrote a text."""
    if not (folder / "tokenizer.json").exists():
        save_chat_tokenizer(folder)
    version = language_version(folder, TEMPLATE)
    tokens = load_tokenizer(folder).native.encode(text).ids
    completion = Completion(id=0, tokens=tokens, text=text, finish=finish)
    row = PreparedRow(tokens=[1], samplings=(Sampling(max_tokens=9),), prefix=prefix, is_chat=True)
    output = OutputWriter(version, spec_of(tools=TOOLS)).write(row, [completion])
    assert isinstance(output, dict)
    return output


def test_an_output_with_calls_is_as_in_the_api_of_openai(tmp_path: Path) -> None:
    text = 'I look. <tool_call>{"name": "weather", "arguments": {"place": "Köln"}}</tool_call>'
    output = written(tmp_path, text)
    [call] = call_documents([WEATHER])
    assert output["text"] == text
    assert output["finish_reason"] == "tool_calls"
    assert output["tool_calls"] == [call]
    assert output["message"] == {"role": "assistant", "content": "I look.", "tool_calls": [call]}
    assert isinstance(call, dict)
    assert call["function"] == {"name": "weather", "arguments": '{"place": "Köln"}'}


def test_a_call_can_be_begun_by_the_prefix(tmp_path: Path) -> None:
    output = written(tmp_path, '", "arguments": {}}</tool_call>', prefix='<tool_call>{"name": "clock')
    assert output["tool_calls"] == call_documents([CLOCK])
    assert output["message"] == {"role": "assistant", "content": None, "tool_calls": call_documents([CLOCK])}


@pytest.mark.parametrize(
    ("text", "finish"),
    [("It is warm.", "stop"), ("<tool_call>nothing</tool_call>", "stop"), ('<tool_call>{"name": "clock', "length")],
)
def test_a_text_without_calls_stays_a_text(tmp_path: Path, text: str, finish: EngineFinish) -> None:
    output = written(tmp_path, text, finish=finish)
    assert output["finish_reason"] == finish
    assert output["message"] == {"role": "assistant", "content": text}
    assert "tool_calls" not in output
    assert json.loads(json.dumps(output)) == output


@pytest.mark.parametrize("character", [r"\u0000", r"\ud800"])
def test_calls_have_no_characters_that_cannot_be_stored(tmp_path: Path, character: str) -> None:
    call = f'{{"name": "clock{character}", "arguments": {{"place{character}": "{character}"}}}}'
    output = written(tmp_path, f"<tool_call>{call}</tool_call>")
    [document] = output["tool_calls"] if isinstance(output["tool_calls"], list) else []
    text = json.dumps(document, ensure_ascii=False)
    assert text.encode().decode() == text
    assert isinstance(document, dict)
    function = document["function"]
    assert isinstance(function, dict)
    assert function["name"] == "clock\N{REPLACEMENT CHARACTER}"
    assert "\0" not in str(function["arguments"])
    assert isinstance(json.loads(str(function["arguments"])), dict)


def test_a_call_with_a_number_out_of_range_is_a_text() -> None:
    assert read_hermes('<tool_call>{"name": "clock", "arguments": {"hour": 1e999}}</tool_call>', NAMES) is None
