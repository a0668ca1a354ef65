"""Rows of a job that generates text: tokens as transformers makes them, options by row, and errors of rows."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from longshore.shared.errors import InvalidInput
from longshore.workers.generate.engines.base import Completion
from longshore.workers.generate.outputs import OutputWriter
from longshore.workers.generate.rows import PreparedRow, RowReader
from longshore.workers.generate.tokenizer import load_tokenizer
from longshore.workers.generate.version import GenerationDefaults, LanguageVersion
from tests.language_models import CHAT_TEMPLATE, CONTEXT, TOOLS_TEMPLATE, save_chat_tokenizer
from tests.unit.workers.generate.versions import error_of, language_version, read, read_one, spec_of

USER = {"role": "user", "content": "the cat sat"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    save_chat_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def version(folder: Path) -> LanguageVersion:
    return language_version(folder)


@pytest.mark.parametrize("prompt", ["the cat", " ", "a\nb", "naïve 東京 🦊", "<|im_start|>user", "x" * 1000])
def test_a_prompt_has_the_tokens_that_transformers_makes(folder: Path, prompt: str) -> None:
    version = language_version(folder, max_model_len=10_000)
    assert list(read_one(version, {"prompt": prompt}).tokens) == AutoTokenizer.from_pretrained(folder)(prompt).input_ids


def test_a_prompt_begins_with_the_token_that_the_tokenizer_puts_there_and_messages_do_not(tmp_path: Path) -> None:
    save_chat_tokenizer(tmp_path)
    file = tmp_path / "tokenizer.json"
    values = json.loads(file.read_text())
    begin = {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}
    values["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": begin["id"], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {begin["id"]: begin},
    }
    file.write_text(json.dumps(values))
    template = "{{ bos_token }}" + CHAT_TEMPLATE
    version = language_version(tmp_path, template, special_tokens={"bos_token": "<|endoftext|>"})
    prompt = list(read_one(version, {"prompt": "the cat"}).tokens)
    chat = list(read_one(version, {"messages": [USER]}).tokens)
    assert prompt[0] == 0
    assert prompt[1] != 0
    assert chat[0] == 0
    assert chat[1] != 0


def test_a_version_with_an_encoder_takes_no_prefix(version: LanguageVersion) -> None:
    translator = replace(version, model=replace(version.model, encoder_decoder=True))
    error = "prefix: the version has an encoder, which would read it as a part of the prompt; leave it out"
    assert error_of(translator, {"prompt": "the cat", "prefix": "le"}) == error
    assert read_one(translator, {"prompt": "the cat", "prefix": None}).prefix == ""


def test_a_system_text_stands_on_a_line_before_a_prompt_and_a_prefix_behind_it(version: LanguageVersion) -> None:
    row = read_one(version, {"prompt": "the cat", "system": "Be kind.", "prefix": " sat"})
    assert row.tokens == read_one(version, {"prompt": "Be kind.\nthe cat sat"}).tokens
    assert row.prefix == " sat"
    assert not row.is_chat


def test_options_of_a_row_come_before_those_of_the_job_and_these_before_those_of_the_version(folder: Path) -> None:
    version = language_version(folder, defaults=GenerationDefaults(max_tokens=7, temperature=0.5, top_k=3, top_p=0.9))
    rows = read(
        version,
        [{"prompt": "a", "temperature": 0.1, "seed": None}, {"prompt": "a", "temperature": None, "seed": 11}],
        temperature=0.2,
        top_k=4,
        seed=5,
    )
    first, second = (row.samplings[0] for row in rows if isinstance(row, PreparedRow))
    assert (first.temperature, first.top_k, first.top_p, first.max_tokens, first.seed) == (0.1, 4, 0.9, 7, 5)
    assert (second.temperature, second.top_k, second.top_p, second.max_tokens, second.seed) == (0.2, 4, 0.9, 7, 11)


def test_texts_of_a_row_have_seeds_that_follow_each_other(version: LanguageVersion) -> None:
    row = read_one(version, {"prompt": "a", "n": 3, "seed": 2**63 - 2, "temperature": 1.0})
    assert [sampling.seed for sampling in row.samplings] == [2**63 - 2, 2**63 - 1, 0]
    unseeded = read_one(version, {"prompt": "a", "n": 2, "temperature": 1.0})
    assert [sampling.seed for sampling in unseeded.samplings] == [None, None]


def test_tokens_that_were_not_asked_for_are_cut_to_what_fits(folder: Path) -> None:
    version = language_version(folder, max_model_len=20)
    row = read_one(version, {"prompt": "x " * 6})
    assert row.samplings[0].max_tokens == 20 - len(row.tokens)
    assert read_one(version, {"prompt": "x", "max_tokens": 19}).samplings[0].max_tokens == 19


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": ""}, "prompt: empty"),
        ({"prompt": None}, "prompt: missing"),
        ({"prompt": "x", "max_tokens": CONTEXT}, "max_tokens: 512, and 1 tokens of the prompt, .* give at most 511"),
        ({"prompt": "x " * 600}, "the prompt has .* tokens; the version takes 512"),
        ({"prompt": "x", "max_tokens": 0}, "column 'max_tokens': 0: Input should be greater than or equal to 1"),
        ({"prompt": "x", "max_tokens": 1.5}, "column 'max_tokens': 1.5"),
        ({"prompt": "x", "max_tokens": "many"}, "column 'max_tokens': 'many'"),
        ({"prompt": "x", "max_tokens": True}, "column 'max_tokens'"),
        ({"prompt": "x", "temperature": -1.0}, "column 'temperature': -1.0: .* greater than or equal to 0"),
        ({"prompt": "x", "top_p": 0.0}, "column 'top_p': 0.0: .* greater than 0"),
        ({"prompt": "x", "top_p": float("inf")}, "column 'top_p': inf"),
        ({"prompt": "x", "min_p": 2.0}, "column 'min_p': 2.0"),
        ({"prompt": "x", "n": 2}, "n: 2: the temperature of the version is 0, .* give a temperature"),
        ({"prompt": "x", "n": 129}, "column 'n': 129: .* less than or equal to 128"),
        ({"prompt": "x", "logprobs": 21}, "column 'logprobs': 21"),
        ({"prompt": "x", "stop": [""]}, "column 'stop'"),
        ({"prompt": "x", "seed": -1}, "column 'seed': -1"),
        ({"prompt": "x", "min_tokens": 9, "max_tokens": 8}, "min_tokens.*9.* more than max_tokens, which is 8"),
        ({"prompt": "x", "min_tokens": 300}, "min_tokens: 300 is more than max_tokens, which is 256"),
        ({"messages": []}, "messages: an empty list"),
        ({"messages": "hello"}, "messages: 'hello' is not a list in JSON"),
        ({"messages": [{"role": "robot", "content": "x"}]}, r"messages\[0\].role: 'robot'; give system"),
        ({"messages": [USER, {"role": "user"}]}, r"messages\[1\].content: missing"),
        (
            {"messages": json.dumps([{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}])},
            r"messages\[0\].content: .* is no text",
        ),
        ({"messages": [{"role": "system", "content": "a"}, USER], "system": "b"}, "system: the messages have a system"),
    ],
)
def test_a_row_that_cannot_be_run_is_an_error(version: LanguageVersion, row: dict[str, object], reason: str) -> None:
    error = error_of(version, row)
    assert re.search(reason, error), error


def test_a_bad_row_does_not_touch_its_neighbours(version: LanguageVersion) -> None:
    rows = read(version, [{"prompt": "the cat"}, {"prompt": ""}, {"prompt": "a dog"}])
    assert [isinstance(row, str) for row in rows] == [False, True, False]
    assert rows[2] == read_one(version, {"prompt": "a dog"})


def test_columns_of_a_csv_file_are_texts(version: LanguageVersion) -> None:
    messages = json.dumps([USER])
    [row] = read(
        version,
        [{"messages": messages, "max_tokens": "12", "temperature": "0.5", "stop": '["a", "b"]', "seed": "", "n": "1"}],
    )
    assert isinstance(row, PreparedRow)
    sampling = row.samplings[0]
    assert (sampling.max_tokens, sampling.temperature, sampling.stop, sampling.seed) == (12, 0.5, ("a", "b"), None)
    assert row.tokens == read_one(version, {"messages": [USER]}).tokens


def test_parts_of_a_message_are_its_text(version: LanguageVersion) -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "the cat sat"}]}]
    assert read_one(version, {"messages": parts}).tokens == read_one(version, {"messages": [USER]}).tokens


@pytest.mark.parametrize(
    ("columns", "options", "field"),
    [
        (["text"], {}, "data"),
        (["prompt", "messages"], {}, "data"),
        (["prompt"], {"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    ],
)
def test_columns_that_cannot_be_answered_are_refused(
    folder: Path, columns: list[str], options: dict[str, object], field: str
) -> None:
    version = language_version(folder, "{{ messages }}{{ tools }}")
    with pytest.raises(InvalidInput) as raised:
        RowReader(version, spec_of(**options)).columns(columns)
    assert raised.value.field == field


def test_messages_need_a_chat_template_and_tools_need_a_place_in_it(folder: Path) -> None:
    with pytest.raises(InvalidInput, match="no chat template"):
        RowReader(language_version(folder, None), spec_of()).columns(["messages"])
    tools = [{"type": "function", "function": {"name": "f"}}]
    with pytest.raises(InvalidInput, match=r"tools: .* no place for tools"):
        RowReader(language_version(folder), spec_of(tools=tools))
    with pytest.raises(InvalidInput, match="model: the chat template cannot be compiled"):
        RowReader(language_version(folder, "{% for %}"), spec_of())


def test_messages_with_tools_have_the_template_for_tools(folder: Path) -> None:
    version = language_version(folder, tool_template=TOOLS_TEMPLATE)
    tools: list[dict[str, object]] = [{"type": "function", "function": {"name": "f", "description": "does it"}}]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = {"default": CHAT_TEMPLATE, "tool_use": TOOLS_TEMPLATE}
    for shown, options in ((tools, {"tools": tools}), (None, {"tools": tools, "tool_choice": "none"}), (None, {})):
        text = tokenizer.apply_chat_template([USER], tools=shown, tokenize=False, add_generation_prompt=True)  # type: ignore[arg-type]
        assert list(read_one(version, {"messages": [USER]}, **options).tokens) == tokenizer(str(text)).input_ids
    call = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    row = read_one(version, {"messages": [USER]}, tools=tools)
    [tokens] = load_tokenizer(folder).encode([call], special_tokens=False)
    assert not isinstance(tokens, str)
    output = OutputWriter(version, spec_of(tools=tools)).write(
        row, [Completion(id=0, tokens=tokens, text=call, finish="stop")]
    )
    assert isinstance(output, dict)
    assert output["finish_reason"] == "tool_calls"


def test_only_columns_with_a_meaning_are_read(version: LanguageVersion) -> None:
    columns = RowReader(version, spec_of()).columns(["id", "prompt", "temperature", "label"])
    assert columns == ["prompt", "temperature"]


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "prompt": st.text(max_size=20),
                "max_tokens": st.none() | st.integers(-5, 600),
                "temperature": st.none() | st.floats(allow_nan=False),
                "top_k": st.none() | st.integers(-2, 2_000_000),
                "n": st.none() | st.integers(-1, 3),
            }
        ),
        min_size=1,
        max_size=4,
    )
)
def test_every_row_is_prepared_within_its_bounds_or_is_an_error(
    version: LanguageVersion, rows: list[dict[str, object]]
) -> None:
    types = {"prompt": pa.string(), "temperature": pa.float64()}
    schema = pa.schema([(name, types.get(name, pa.int64())) for name in rows[0]])
    batch = pa.RecordBatch.from_pylist(rows, schema=schema)
    prepared = RowReader(version, spec_of()).read(batch)
    assert len(prepared) == len(rows)
    for row, result in zip(rows, prepared, strict=True):
        if isinstance(result, str):
            assert result
            continue
        assert len(result.samplings) == (1 if row["n"] is None else row["n"])
        for sampling in result.samplings:
            assert len(result.tokens) + sampling.max_tokens <= CONTEXT
            assert row["max_tokens"] in (None, sampling.max_tokens)
            assert row["temperature"] in (None, sampling.temperature)
            assert row["top_k"] in (None, sampling.top_k)
