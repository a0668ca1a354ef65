"""What a request for texts is refused for, at the call: options, columns, rows."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel

from longshore.producers.data import GenerateData
from longshore.producers.planning.kept_columns import KeptColumns
from longshore.producers.planning.language.generate import fit_prompts, open_prompts, read_options
from longshore.producers.planning.language.prompt_data import address_of, rows_of
from longshore.producers.planning.language.structured_output import schema_of
from longshore.shared.datasets.inline import to_table
from longshore.shared.datasets.prompts import PromptRow, read_prompts
from longshore.shared.errors import InvalidInput
from longshore.shared.specs.generate import GenerateSpec

HI = [{"role": "user", "content": "Hi"}]
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
NOBODY: dict[str, object] = {"role": "bot", "content": "Hi"}


class Person(BaseModel):
    name: str
    age: int


def spec_of(**options: object) -> GenerateSpec:
    return read_options(options)[1]


def table_of(data: GenerateData, **options: object) -> pa.Table:
    spec = spec_of(**options)
    table = to_table(rows_of(data))
    fitted = fit_prompts(table, spec)
    KeptColumns(spec.keep, spec.key_columns).check_rows(table)
    return fitted


OPTIONS: list[tuple[dict[str, object], str, str]] = [
    ({"max_token": 3}, "max_token", "did you mean max_tokens"),
    ({"max_tokens": 0}, "max_tokens", "0"),
    ({"max_tokens": "many"}, "max_tokens", "'many'"),
    ({"temperature": -0.5}, "temperature", "-0.5"),
    ({"top_p": 0}, "top_p", "greater than 0"),
    ({"n": 0}, "n", "greater than or equal to 1"),
    ({"n": 2, "temperature": 0}, "n", "give a temperature"),
    ({"logprobs": 21}, "logprobs", "20"),
    ({"stop": [""]}, "stop", "at least 1 character"),
    ({"stop": [3]}, "stop", "string"),
    ({"seed": -1}, "seed", "-1"),
    ({"min_tokens": 9, "max_tokens": 8}, "min_tokens", "lower one"),
    ({"schema": {"type": "object"}, "regex": "a+"}, "regex", "leave one out"),
    ({"choices": ["a"], "regex": "a+"}, "choices", "leave one out"),
    ({"choices": ["a", "a"]}, "choices", "twice"),
    ({"schema": {"type": "object"}, "tools": [TOOL]}, "tools", "leave one out"),
    ({"schema": 5}, "schema", "5"),
    ({"schema": int}, "schema", "int"),
    ({"json_schema": {"type": "object"}}, "json_schema", "unknown option"),
    ({"schema": {"type": "nothing"}}, "schema", "'nothing' is not valid"),
    ({"schema": {"properties": {"a": {"$ref": "https://example.com/a.json"}}}}, "schema", "nothing is fetched"),
    ({"schema": {"properties": {"a": {"$ref": "file:///etc/passwd"}}}}, "schema", "nothing is fetched"),
    ({"schema": {"not": {"type": "string"}}}, "schema", "cannot be compiled"),
    ({"schema": {"type": "string", "pattern": "(?=a)b"}}, "schema", "look-around"),
    ({"regex": "("}, "regex", "unclosed group"),
    ({"regex": r"(a)\1"}, "regex", "backreferences"),
    ({"regex": ""}, "regex", "at least 1 character"),
    ({"tools": [{"name": "add"}]}, "tools[0]", '"type": "function"'),
    ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0]", "'a b'"),
    ({"tools": [{"type": "function", "function": {"name": "a", "parameters": 3}}]}, "tools[0]", "JSON Schema"),
    ({"tools": [TOOL, TOOL]}, "tools", "called 'add'"),
    ({"engine": "trt"}, "engine", "'trt'"),
    ({"keep": ["id", "id"]}, "keep", "2 times"),
    ({"keep": ["text"]}, "keep", "rename it in the data"),
    ({"prefix": "a\0"}, "prefix", "NUL"),
]


@pytest.mark.parametrize(("options", "field", "reason"), OPTIONS, ids=[str(options)[:60] for options, *_ in OPTIONS])
def test_wrong_options_are_refused(options: dict[str, object], field: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        spec_of(**options)
    assert refused.value.field == field
    assert reason in refused.value.reason


ROWS: list[tuple[GenerateData, dict[str, object], str, str]] = [
    ({"prompt": ["a"], "messages": [HI]}, {}, "data", "both 'prompt' and 'messages'"),
    ({"text": ["a"]}, {}, "data", "no column 'prompt'"),
    ({"prompts": ["a"]}, {}, "data", "rename 'prompts'"),
    ({"prompt": ["a"], "temprature": [0.5]}, {}, "data", "'temprature' is not read; rename it to 'temperature'"),
    ({"prompt": ["a"], "max_new_tokens": [5]}, {}, "data", "'max_tokens'"),
    ({"prompt": [1, 2]}, {}, "data", "not text"),
    ({"prompt": ["", ""]}, {}, "data", "row 0: prompt: empty"),
    ({"prompt": [None, "", None]}, {}, "data", "the first 3 rows are all unusable"),
    ({"prompt": ["a"], "temperature": ["warm"]}, {}, "data", "'temperature' has text"),
    ({"prompt": ["a"], "temperature": [True]}, {}, "data", "not numbers"),
    ({"prompt": ["a"], "temperature": [-1.0]}, {}, "data", "row 0: temperature: -1.0"),
    ({"prompt": ["a"], "max_tokens": [1.5]}, {}, "data", "row 0: max_tokens: 1.5"),
    ({"prompt": ["a"], "min_tokens": [9]}, {"max_tokens": 8}, "data", "row 0: min_tokens: 9"),
    ({"prompt": ["a"], "stop": [[1]]}, {}, "data", "lists of texts"),
    ({"prompt": ["a"], "system": [3]}, {}, "data", "'system' has one number"),
    ({"prompt": ["a"]}, {"tools": [TOOL]}, "tools", "chat template"),
    ({"prompt": ["a"]}, {"keep": ["id"]}, "keep", "no column 'id'"),
    ([NOBODY], {}, "data", "messages[0].role: 'bot'; give system, developer, user, assistant or tool"),
    ([HI, [NOBODY]][1:], {}, "data", "messages[0].role"),
    ({"messages": [[{"role": "user"}]]}, {}, "data", "messages[0].content: missing"),
    ({"messages": [[{"role": "user", "content": 3}]]}, {}, "data", "messages[0].content: 3"),
    ({"messages": [[{"content": "a"}]]}, {}, "data", "messages[0].role: missing"),
    ({"messages": [["a"]]}, {}, "data", "messages[0]: 'a'"),
    ({"messages": [[]]}, {}, "data", "an empty list"),
    ({"messages": ["{"]}, {}, "data", "not a list in JSON"),
    ({"messages": [5]}, {}, "data", "5"),
    (
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
        {},
        "data",
        "is no text",
    ),
    ([{"role": "user", "content": {1, 2}}], {}, "data", "cannot be written as JSON"),
]


@pytest.mark.parametrize(("data", "options", "field", "reason"), ROWS, ids=[str(data)[:70] for data, *_ in ROWS])
def test_wrong_rows_are_refused(data: GenerateData, options: dict[str, object], field: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        table_of(data, **options)
    assert refused.value.field == field
    assert reason in refused.value.reason


FORMS: list[tuple[GenerateData, list[PromptRow]]] = [
    ("Write a poem.", [PromptRow(prompt="Write a poem.")]),
    (["a", "b"], [PromptRow(prompt="a"), PromptRow(prompt="b")]),
    (HI, [PromptRow(messages=tuple(HI))]),  # type: ignore[arg-type]
    ([HI, HI], [PromptRow(messages=tuple(HI))] * 2),  # type: ignore[arg-type]
    (np.array(["a"]), [PromptRow(prompt="a")]),
    ([{"prompt": "a", "n": 2}], [PromptRow(prompt="a", options={"n": 2})]),
    ({"messages": [HI]}, [PromptRow(messages=tuple(HI))]),  # type: ignore[arg-type]
    (pa.table({"prompt": ["a"], "stop": [["x", "y"]]}), [PromptRow(prompt="a", options={"stop": ["x", "y"]})]),
    (pa.table({"messages": [HI]}), [PromptRow(messages=tuple(HI))]),  # type: ignore[arg-type]
    (pd.DataFrame({"messages": [HI], "seed": [7]}), [PromptRow(messages=tuple(HI), options={"seed": 7})]),  # type: ignore[arg-type]
    (
        pd.DataFrame({"prompt": ["a", "b"], "seed": [7, None]}),
        [PromptRow(prompt="a", options={"seed": 7.0}), PromptRow(prompt="b")],
    ),
]


@pytest.mark.parametrize(("data", "rows"), FORMS, ids=[str(data)[:60] for data, _ in FORMS])
def test_every_form_of_rows_is_read(data: GenerateData, rows: list[PromptRow]) -> None:
    assert address_of(data) is None
    assert read_prompts(table_of(data)) == rows


def test_messages_keep_their_own_keys() -> None:
    calls = [{"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}]
    talk: list[dict[str, object]] = [
        {"role": "user", "content": [{"type": "text", "text": "Add"}, {"type": "text", "text": "1"}]},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "content": "1", "name": "add"},
    ]
    expected = (
        {"role": "user", "content": "Add\n1"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "content": "1", "name": "add"},
    )
    [in_memory] = read_prompts(table_of([talk]))
    [in_arrow] = read_prompts(table_of(pa.table({"messages": [[talk[1], talk[2]]]})))
    assert isinstance(in_memory, PromptRow)
    assert isinstance(in_arrow, PromptRow)
    assert in_memory.messages == expected
    assert in_arrow.messages == expected[1:]


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet"])
def test_files_of_every_format_give_the_same_rows(name: str, tmp_path: Path) -> None:
    rows = {
        "prompt": ["007", "null", " a\n"],
        "temperature": [0.5, None, 1.0],
        "max_tokens": [3, 4, None],
        "stop": [["x", "y"], None, ["."]],
        "id": ["001", "2", "3e5"],
    }
    path = tmp_path / name
    if name.endswith("parquet"):
        pq.write_table(pa.table(rows), path)
    elif name.endswith("csv"):
        frame = pd.DataFrame({**rows, "stop": ['["x", "y"]', "", "."], "max_tokens": ["3", "4", ""]})
        frame.to_csv(path, index=False)
    else:
        lines = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    spec = spec_of(keep=["id"])
    _, source = open_prompts(path, None, spec)
    read = read_prompts(source.head())
    merged = [spec.override(row.options) for row in read if isinstance(row, PromptRow)]
    assert [row.prompt for row in read if isinstance(row, PromptRow)] == rows["prompt"]
    assert [(each.temperature, each.max_tokens, each.stop) for each in merged] == [
        (0.5, 3, ("x", "y")),
        (None, 4, ()),
        (1.0, None, (".",)),
    ]


def test_messages_in_files_keep_their_keys(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "Hi", "name": "007"}, {"role": "assistant", "content": "1"}]
    (tmp_path / "a.jsonl").write_text(json.dumps({"messages": talk}) + "\n" + json.dumps({"messages": HI}) + "\n")
    pd.DataFrame({"messages": [json.dumps(talk), json.dumps(HI)]}).to_csv(tmp_path / "a.csv", index=False)
    pq.write_table(pa.table({"messages": [talk, HI]}), tmp_path / "a.parquet")
    for path in sorted(tmp_path.iterdir()):
        _, source = open_prompts(path, None, spec_of())
        assert [row.messages for row in read_prompts(source.head()) if isinstance(row, PromptRow)] == [
            tuple(talk),
            tuple(HI),
        ]


def test_a_jsonl_prompt_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"prompt": HI}) + "\n")
    with pytest.raises(InvalidInput, match=r"row 0: prompt: .*; give a text"):
        open_prompts(path, None, spec_of())


def test_a_text_is_a_path_if_it_is_one_word_or_ends_like_a_file_or_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two words").mkdir()
    for path in ("rows.csv", "my rows.JSONL", "s3://bucket/rows", "two words", "Hello"):
        assert address_of(path) == path
    assert address_of("any text", "csv") == "any text"
    assert address_of(tmp_path) == tmp_path
    for prompt in ("Hello there", "Read /etc/passwd to me", "a\0 b", "x " * 5000):
        assert address_of(prompt) is None
    with pytest.raises(InvalidInput, match=r"cannot read .*Hello: .*if it is a prompt and no path, give a list"):
        open_prompts("Hello", None, spec_of())


def test_a_class_stands_for_its_schema() -> None:
    schema = schema_of(Person)
    assert schema == Person.model_json_schema()
    assert spec_of(schema=schema).json_schema == schema


def test_a_column_like_an_option_can_be_kept() -> None:
    table = table_of({"prompt": ["a"], "seeds": [3]}, keep=["seeds"])
    assert table.column_names == ["prompt", "seeds"]


def test_other_columns_are_left_out() -> None:
    assert table_of({"id": [1], "prompt": ["a"], "n": [2]}, temperature=1).column_names == ["prompt", "n"]


def test_single_bad_rows_pass() -> None:
    assert table_of({"prompt": ["", "a"], "n": [1, 1]}).num_rows == 2


def test_paths_are_files() -> None:
    assert isinstance(address_of(Path(os.devnull)), Path)
