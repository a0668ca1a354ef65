"""Calls that a model must make: an engine that is held to them, the check of its texts, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import jsonschema
import pytest
import torch
from pydantic import JsonValue

from longshore.shared.errors import InvalidInput
from longshore.workers.generate.engines.base import Completion, Engine, EngineFinish, EngineRequest
from longshore.workers.generate.engines.open import open_engine
from longshore.workers.generate.engines.options import EngineOptions
from longshore.workers.generate.outputs import Output, OutputWriter
from longshore.workers.generate.tokenizer import load_tokenizer
from longshore.workers.generate.version import LanguageVersion
from tests.language_models import save_language_model
from tests.unit.workers.generate.versions import error_of, language_version, read, read_one, spec_of

pytestmark = pytest.mark.usefixtures("one_thread")

#: Both refer to parts of themselves by the same name; one refers to itself as a whole.
LAMP: dict[str, JsonValue] = {
    "type": "object",
    "properties": {"color": {"$ref": "#/$defs/it"}, "dim": {"type": "boolean"}},
    "required": ["color", "dim"],
    "additionalProperties": False,
    "$defs": {"it": {"enum": ["red", "blue"]}},
}
TREE: dict[str, JsonValue] = {
    "properties": {"it": {"$ref": "#/$defs/it"}, "next": {"anyOf": [{"type": "null"}, {"$ref": "#"}]}},
    "required": ["it", "next"],
    "additionalProperties": False,
    "$defs": {"it": {"type": "integer", "minimum": 0, "maximum": 9}},
}
SCHEMAS = {"lamp": LAMP, "tree": TREE}
TOOLS: list[JsonValue] = [
    {"type": "function", "function": {"name": "lamp", "parameters": LAMP, "strict": True}},
    {"type": "function", "function": {"name": "tree", "parameters": TREE}},
    {"type": "function", "function": {"name": "stop"}},
]
#: Short, so that there is room for calls.
TEMPLATE = (
    "{% for tool in tools or [] %}{{ tool.function.name }}{% if 'strict' in tool.function %}!{% endif %} {% endfor %}"
    "{% for message in messages %}{{ message.content }}{% endfor %}"
)
MESSAGES = [{"role": "user", "content": "a"}]


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> LanguageVersion:
    folder = tmp_path_factory.mktemp("models") / "model"
    save_language_model(folder, template=TEMPLATE)
    return language_version(folder, TEMPLATE)


@pytest.fixture(scope="module")
def engine(version: LanguageVersion) -> Iterator[Engine]:
    opened = open_engine("transformers", version.model, torch.device("cpu"), EngineOptions(page_size=16))
    yield opened
    opened.close()


def generated(engine: Engine, version: LanguageVersion, row: dict[str, object], **options: object) -> list[Output]:
    """The texts of a row that have ended by themselves: a random model may go on until it has no tokens left."""
    prepared = read_one(version, {"messages": MESSAGES, **row}, tools=TOOLS, **options)
    for id_, sampling in enumerate(prepared.samplings):
        engine.add(EngineRequest(id=id_, tokens=prepared.tokens, sampling=sampling))
    completions: list[Completion] = []
    while engine.unfinished:
        completions += engine.step().completions
    writer = OutputWriter(version, spec_of(tools=TOOLS, **options))
    written = [writer.write(replace(prepared, samplings=prepared.samplings[:1]), [each]) for each in completions]
    assert all("raise max_tokens" in each for each in written if isinstance(each, str)), written
    return [each for each in written if not isinstance(each, str)]


def calls_of(output: Output) -> list[tuple[str, JsonValue]]:
    """The names and arguments of the calls, which match the schemas of the functions."""
    calls = output["tool_calls"]
    assert isinstance(calls, list)
    read = []
    for call in calls:
        assert isinstance(call, dict)
        function = call["function"]
        assert isinstance(function, dict)
        arguments = json.loads(str(function["arguments"]))
        jsonschema.validate(arguments, SCHEMAS.get(str(function["name"]), {"maxProperties": 0}))
        read.append((str(function["name"]), arguments))
    message = output.get("message")
    assert message == {"role": "assistant", "content": None, "tool_calls": calls}
    return read


def test_a_model_makes_the_calls_that_it_must(engine: Engine, version: LanguageVersion) -> None:
    drawn: dict[str, object] = {"temperature": 1.5, "max_tokens": 400, "seed": 0, "n": 6}
    names: set[str] = set()
    lengths: set[int] = set()
    # What a network that was never trained prefers is chance: draw until everything was seen.
    for seed, parallel in product(range(20), (True, False)):
        for output in generated(
            engine, version, {**drawn, "seed": seed}, tool_choice="required", parallel_tool_calls=parallel
        ):
            assert output["finish_reason"] == "tool_calls"
            calls = calls_of(output)
            names |= {name for name, _ in calls}
            assert parallel or len(calls) == 1
            lengths.add(len(calls))
        if len(names) == 3 and len(lengths) > 1 and not parallel:
            break
    assert names == {"lamp", "tree", "stop"}
    assert len(lengths) > 1

    # The row comes before the job.
    for name in ("lamp", "tree", "stop"):
        [output, *_] = generated(engine, version, {**drawn, "tool_choice": name}, tool_choice="required")
        [(called, _)] = calls_of(output)
        assert (called, output["finish_reason"]) == (name, "stop")


def written(
    version: LanguageVersion, text: str, choice: str, finish: EngineFinish = "stop", *, parallel: bool = True
) -> str:
    """Why a text has no output."""
    options = {} if parallel else {"tool_choice": "required", "parallel_tool_calls": False}
    row = read_one(version, {"messages": MESSAGES, "tool_choice": choice}, tools=TOOLS, **options)
    tokens: Sequence[int] = load_tokenizer(version.model.folder).native.encode(text).ids
    completion = Completion(id=0, tokens=tokens, text=text, finish=finish)
    output = OutputWriter(version, spec_of(tools=TOOLS, **options)).write(row, [completion])
    return output if isinstance(output, str) else f"output: {output.get('tool_calls')}"


def test_texts_are_checked_independently_of_the_engine(version: LanguageVersion) -> None:
    lamp = '{"name": "lamp", "arguments": {"color": "green", "dim": true}}'
    assert "does not match the schema: 'green'" in written(version, f"[{lamp}]", "required")
    assert "does not call what it must" in written(version, '[{"name": "door", "arguments": {}}]', "required")
    assert "does not call what it must" in written(version, "[]", "required")
    assert "does not call what it must" in written(version, "[1]", "lamp")
    assert "is no call" in written(version, "Hello!", "required")
    assert "raise max_tokens" in written(version, '{"color', "lamp", "length")
    several = '[{"name": "stop", "arguments": {}}, {"name": "stop", "arguments": {}}]'
    assert "parallel_tool_calls" in written(version, several, "required", parallel=False)
    # Where the model decides, the arguments of a strict function are checked, and of no other.
    assert "'green'" in written(version, lamp, "auto")
    assert written(version, '{"name": "tree", "arguments": {"it": -1}}', "auto").startswith("output: [")
    assert written(version, lamp, "none") == "output: None"


def test_a_row_is_shown_the_tools_that_it_may_call(version: LanguageVersion) -> None:
    tokenizer = load_tokenizer(version.model.folder)
    shown, hidden = (
        tokenizer.decode(read_one(version, {"messages": MESSAGES, "tool_choice": choice}, tools=TOOLS).tokens)
        for choice in ("required", "none")
    )
    assert (shown, hidden) == ("lamp tree stop a", "a")


def test_a_choice_that_makes_no_sense_is_refused(version: LanguageVersion) -> None:
    reason = error_of(version, {"messages": MESSAGES, "tool_choice": "door"}, tools=TOOLS)
    assert reason.startswith("column 'tool_choice': 'door': no function has this name")
    assert "only with tools" in error_of(version, {"messages": MESSAGES, "tool_choice": "required"})
    row = {"messages": MESSAGES, "tool_choice": "lamp", "prefix": "So"}
    assert error_of(version, row, tools=TOOLS).startswith("prefix: not together with tool_choice")
    with pytest.raises(InvalidInput, match="parallel_tool_calls"):
        read(version, [{"messages": MESSAGES}], tools=TOOLS, parallel_tool_calls=False)
    with pytest.raises(InvalidInput, match="no function has this name"):
        spec_of(tools=TOOLS, tool_choice="x").check()
