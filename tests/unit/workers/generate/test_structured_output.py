"""Texts that must match something: masks of tokens, an engine that follows them, and the check of its texts."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Final

import jsonschema
import numpy as np
import pytest
import torch
from pydantic import JsonValue

from longshore.shared.errors import InvalidInput
from longshore.workers.generate.answers import AnswerChecker, parse_document
from longshore.workers.generate.constraints import ConstraintCompiler
from longshore.workers.generate.engines.base import Completion, Constraint, Engine, EngineFinish, EngineRequest
from longshore.workers.generate.engines.open import open_engine
from longshore.workers.generate.engines.options import EngineOptions
from longshore.workers.generate.json_schema import make_validator, schema_fault
from longshore.workers.generate.outputs import Output, OutputWriter
from longshore.workers.generate.rows import PreparedRow, RowReader
from longshore.workers.generate.tokenizer import TextTokenizer, load_tokenizer
from longshore.workers.generate.version import LanguageVersion
from tests.language_models import save_language_model
from tests.unit.workers.generate.versions import error_of, language_version, read_one, spec_of

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning"),
]
END: Final = 2
WORD: Final[dict[str, JsonValue]] = {"type": "string", "maxLength": 6}
#: Every keyword that the documentation says is followed, with ends: a random model would never stop by itself.
SCHEMAS: Final[dict[str, dict[str, JsonValue]]] = {
    "enum": {"enum": ["red", "blue", 3, None, {"a": [1]}]},
    "const": {"const": {"kind": "x", "n": 1.5}},
    "object": {
        "type": "object",
        "properties": {
            "name": WORD,
            "age": {"type": "integer", "minimum": 0, "maximum": 120},
            "ok": {"type": "boolean"},
        },
        "required": ["name", "age"],
        "additionalProperties": False,
    },
    "array": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "maxItems": 4},
    "tuple": {"type": "array", "prefixItems": [{"type": "boolean"}, WORD], "items": False, "minItems": 2},
    "nested": {
        "type": "object",
        "properties": {"rows": {"type": "array", "maxItems": 3, "items": {"$ref": "#/$defs/row"}}},
        "required": ["rows"],
        "additionalProperties": False,
        "$defs": {
            "row": {
                "type": "object",
                "properties": {"id": {"type": "integer", "minimum": 1, "maximum": 9}, "tag": {"enum": ["x", "y"]}},
                "required": ["id", "tag"],
                "additionalProperties": False,
            }
        },
    },
    "any of": {
        "anyOf": [{"type": "null"}, {"type": "boolean"}, {"type": "array", "maxItems": 2, "items": {"const": 1}}]
    },
    "one of": {"oneOf": [{"type": "boolean"}, {"enum": ["a", "b"]}]},
    "all of": {"allOf": [{"type": "integer", "minimum": 3}, {"maximum": 40}]},
    "formats": {
        "type": "object",
        "properties": {
            "day": {"type": "string", "format": "date"},
            "id": {"type": "string", "format": "uuid"},
            "net": {"type": "string", "format": "ipv4"},
        },
        "required": ["day", "id", "net"],
        "additionalProperties": False,
    },
    "pattern": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
    "lengths": {"type": "string", "minLength": 3, "maxLength": 5},
    "numbers": {
        "type": "array",
        "minItems": 3,
        "maxItems": 3,
        "items": {"type": "integer", "minimum": -7, "maximum": 7},
    },
    "multiples": {"type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 100},
    "recursive": {
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "v": {"enum": [0, 1]},
                    "kids": {"type": "array", "maxItems": 1, "items": {"$ref": "#/$defs/node"}},
                },
                "required": ["v", "kids"],
                "additionalProperties": False,
            }
        },
        "$ref": "#/$defs/node",
    },
}


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> LanguageVersion:
    folder = tmp_path_factory.mktemp("models") / "model"
    save_language_model(folder)
    return language_version(folder)


@pytest.fixture(scope="module")
def tokenizer(version: LanguageVersion) -> TextTokenizer:
    return load_tokenizer(version.model.folder)


@pytest.fixture(scope="module")
def compiler(tokenizer: TextTokenizer) -> ConstraintCompiler:
    return ConstraintCompiler(tokenizer.native, tokenizer.native.get_vocab_size(), [END])


@pytest.fixture(scope="module")
def engine(version: LanguageVersion) -> Iterator[Engine]:
    opened = open_engine("transformers", version.model, torch.device("cpu"), EngineOptions(page_size=16))
    yield opened
    opened.close()


def draw(compiler: ConstraintCompiler, constraint: Constraint, seed: int, most: int = 5000) -> list[int]:
    """Tokens that are drawn evenly from those that may come; the end is taken if it may, one time in three."""
    chance = random.Random(seed)
    matcher = compiler.matcher(constraint)
    mask = np.zeros(compiler.mask_length, np.int32)
    tokens: list[int] = []
    while len(tokens) < most:
        matcher.fill_mask(mask)
        allowed = np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")).tolist()
        if END in allowed and (len(allowed) == 1 or chance.random() < 1 / 3):
            return tokens
        tokens.append(chance.choice([token for token in allowed if token != END]))
        matcher.accept(tokens[-1])
    return tokens


@pytest.mark.parametrize("name", SCHEMAS)
def test_whatever_the_masks_allow_matches_the_schema(
    compiler: ConstraintCompiler, tokenizer: TextTokenizer, name: str
) -> None:
    schema = SCHEMAS[name]
    for seed in range(20):
        text = tokenizer.decode(draw(compiler, Constraint(json_schema=json.dumps(schema)), seed))
        value = json.loads(text)
        jsonschema.Draft202012Validator(schema).validate(value)
        assert AnswerChecker(spec_of(schema=schema)).check(text, completion(text)) == value


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ('{"a":1,"b":[1,2]}', True),
        ('{"a": 1, "b": [1, 2]}', True),
        ('{"a":  1, "b": [1, 2]}', False),
        ('{"a": 1,\n"b": [1, 2]}', False),
        ('{ "a": 1, "b": [1, 2]}', False),
        ('{"a": 1, "b": [1, 2] }', False),
    ],
)
def test_a_document_is_one_line_with_single_spaces(
    compiler: ConstraintCompiler, tokenizer: TextTokenizer, text: str, matches: bool
) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a", "b"]}
    matcher = compiler.matcher(Constraint(json_schema=json.dumps(schema)))
    with nullcontext() if matches else pytest.raises(ValueError, match="does not match"):
        for token in tokenizer.native.encode(text).ids:
            matcher.accept(token)
        assert matcher.is_complete


@pytest.mark.parametrize(
    "pattern", ["[A-Z]{2}-[0-9]{3}", r"(yes|no)( sir)?", r"[^\n]{1,9}", r"", r"a|bc|é{1,4}x", r"(?i)go[!.]{2}"]
)
def test_whatever_the_masks_allow_matches_the_regular_expression(
    compiler: ConstraintCompiler, tokenizer: TextTokenizer, pattern: str
) -> None:
    for seed in range(20):
        text = tokenizer.decode(draw(compiler, Constraint(regex=pattern), seed))
        assert re.fullmatch(pattern, text)
        if pattern:
            AnswerChecker(spec_of(regex=pattern)).check(text, completion(text))


def test_a_choice_is_one_of_the_texts(compiler: ConstraintCompiler, tokenizer: TextTokenizer) -> None:
    choices = ("yes", "yes, sir", 'no "way"\n', "東京")
    texts = {tokenizer.decode(draw(compiler, Constraint(choices=choices), seed)) for seed in range(60)}
    assert texts == set(choices)


def test_a_matcher_is_for_one_text_and_knows_its_end(compiler: ConstraintCompiler, tokenizer: TextTokenizer) -> None:
    constraint = Constraint(choices=("red", "redder"))
    first, second = compiler.matcher(constraint), compiler.matcher(constraint)
    for token in tokenizer.native.encode("red").ids:
        first.accept(token)
    assert first.is_complete
    assert not first.is_ended
    assert not second.is_complete
    with pytest.raises(ValueError, match="does not match"):
        second.accept(tokenizer.native.encode("blue").ids[0])


@pytest.mark.parametrize(
    ("options", "field", "reason"),
    [
        ({"schema": {"type": "nope"}}, "schema", "Invalid type: nope"),
        ({"schema": {"type": "string", "format": "weird"}}, "schema", "Unknown format: weird"),
        ({"schema": {"not": {"type": "string"}}}, "schema", "Unimplemented keys"),
        ({"schema": {"$ref": "https://example.com/schema.json"}}, "schema", "does not fetch|not present"),
        ({"schema": {"type": "integer", "minimum": 5, "maximum": 1}}, "schema", "Unsatisfiable"),
        ({"schema": {"type": "string", "pattern": "(a"}}, "schema", "unclosed group"),
        ({"regex": "(a"}, "regex", "unclosed group"),
        ({"regex": r"(a)\1"}, "regex", "backreferences"),
        ({"regex": "a(?=b)"}, "regex", "look-around"),
    ],
)
def test_what_cannot_be_compiled_is_refused(
    version: LanguageVersion, engine: Engine, options: dict[str, JsonValue], field: str, reason: str
) -> None:
    row = read_one(version, {"prompt": "a"}, **options)
    request = EngineRequest(id=0, tokens=row.tokens, sampling=row.samplings[0])
    with pytest.raises(InvalidInput, match=reason) as raised:
        engine.add(request)
    assert raised.value.field == field
    assert engine.unfinished == 0


def test_a_prefix_is_no_part_of_what_must_match(version: LanguageVersion) -> None:
    error = error_of(version, {"prompt": "a", "prefix": "{"}, schema={"type": "object"})
    assert "prefix: not together with schema" in error


def test_five_hundred_rows_of_a_random_model_match_their_schemas(version: LanguageVersion, engine: Engine) -> None:
    names = ["object", "nested", "formats", "array", "any of"]
    rows: dict[int, tuple[str, PreparedRow]] = {}
    for number in range(500):
        name = names[number % len(names)]
        options = {"temperature": 1.0, "seed": number, "max_tokens": 300}
        row = read_one(version, {"prompt": f"row {number}", **options}, schema=SCHEMAS[name])
        rows[number] = name, row
        engine.add(EngineRequest(id=number, tokens=row.tokens, sampling=row.samplings[0]))
    writers = {name: OutputWriter(version, spec_of(schema=SCHEMAS[name])) for name in names}
    outputs: dict[int, Output | str] = {}
    while engine.unfinished:
        step = engine.step()
        assert not step.failures
        for each in step.completions:
            name, row = rows[each.id]
            outputs[each.id] = writers[name].write(row, [each])
    errors = {number: output for number, output in outputs.items() if isinstance(output, str)}
    assert not errors
    assert len(outputs) == 500
    for number, output in outputs.items():
        assert isinstance(output, dict)
        jsonschema.Draft202012Validator(SCHEMAS[rows[number][0]]).validate(output["data"])
        assert json.loads(str(output["text"])) == output["data"]


def completion(text: str, finish: EngineFinish = "stop", tokens: int = 7) -> Completion:
    return Completion(id=0, tokens=[5] * tokens, text=text, finish=finish)


@pytest.mark.parametrize(
    ("options", "text", "finish", "reason"),
    [
        ({"schema": {}}, '{"a": [1, 2', "length", "ended after 7 tokens inside the JSON document; raise max_tokens"),
        ({"schema": {}}, '{"a": ', "stop", "is not a JSON document"),
        ({"schema": {}}, "NaN", "stop", "NaN is not a number in JSON"),
        ({"schema": {}}, "-1e999", "stop", "the number -1e999 is out of range"),
        ({"schema": {}}, r'"a\u0000b"', "stop", "has a NUL character or half of a surrogate pair"),
        ({"schema": {}}, r'{"\ud800": 1}', "stop", "half of a surrogate pair"),
        ({"schema": {}}, "[" * 100_000, "stop", "nested more than 200 deep"),
        ({"schema": {}}, "9" * 5000, "stop", "is not a JSON document"),
        ({"schema": {"type": "integer"}}, '"a"', "stop", "does not match the schema: 'a' is not of type 'integer'"),
        ({"schema": {"type": "string", "pattern": "^a+$"}}, '"b"', "stop", "does not match the schema"),
        ({"regex": "a{3}"}, "aa", "length", "ended after 7 tokens before it matched the regular expression"),
        ({"regex": "a{3}"}, "aaaa", "stop", "does not match the regular expression"),
        ({"choices": ["yes", "no"]}, "ye", "length", "ended after 7 tokens inside the choice"),
        ({"choices": ["yes", "no"]}, "maybe", "stop", "'maybe' is none of the choices"),
    ],
)
def test_a_text_that_does_not_match_is_an_error(
    options: dict[str, JsonValue], text: str, finish: EngineFinish, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        AnswerChecker(spec_of(**options)).check(text, completion(text, finish))


def test_brackets_in_strings_are_not_deep() -> None:
    assert parse_document('["' + "[" * 500 + '"]') == ["[" * 500]
    with pytest.raises(ValueError, match=r"Unterminated string|Invalid"):
        parse_document('"' + r"\"[" * 100_000 + "\\")


def test_a_document_that_is_complete_counts_although_the_tokens_are_used_up() -> None:
    assert AnswerChecker(spec_of(schema={})).check('{"a": 1}', completion('{"a": 1}', "length")) == {"a": 1}
    assert AnswerChecker(spec_of(schema={})).check(r'"\\u0000"', completion("")) == r"\u0000"


def test_a_pattern_that_takes_for_ever_does_not() -> None:
    schema: dict[str, JsonValue] = {"type": "string", "pattern": "^(a|a)*$"}
    text = json.dumps("a" * 60 + "b")
    assert AnswerChecker(spec_of(schema=schema)).check(text, completion(text)) == "a" * 60 + "b"


@pytest.mark.parametrize("reference", ["http://127.0.0.1:9/schema.json", "#/$defs/nothing"])
def test_nothing_that_a_schema_refers_to_is_fetched(reference: str) -> None:
    schema: dict[str, JsonValue] = {"$ref": reference}
    with pytest.raises(InvalidInput, match="schema"):
        AnswerChecker(spec_of(schema=schema))
    assert (schema_fault(make_validator(schema), 1) or "").startswith("cannot be checked: schema")


def test_a_schema_that_refers_to_itself_ends() -> None:
    assert "refers to itself without end" in (schema_fault(make_validator({"$ref": "#"}), 1) or "")


def test_names_of_properties_are_checked_by_bounded_patterns() -> None:
    schema: dict[str, JsonValue] = {
        "properties": {"id": {"type": "integer"}},
        "patternProperties": {"^x_(a|a)*$": {"type": "string"}},
        "additionalProperties": False,
    }
    validator = make_validator(schema)
    assert schema_fault(validator, {"id": 1, "x_aa": "b"}) is None
    assert "is not of type 'string'" in (schema_fault(validator, {"x_a": 1}) or "")
    assert "the property 'y' is not in the schema" in (schema_fault(validator, {"y": 1}) or "")
    assert schema_fault(validator, {"x_" + "a" * 60 + "!": "b"}) is None


def test_text_that_postgres_does_not_store_is_replaced(version: LanguageVersion) -> None:
    row = read_one(version, {"messages": [{"role": "user", "content": "a\0b"}]})
    output = OutputWriter(version, spec_of()).write(row, [completion("a\0b\ud800c")])
    assert isinstance(output, dict)
    assert output["text"] == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c"
    assert output["message"] == {"role": "assistant", "content": output["text"]}


def test_several_texts_are_choices_and_one_that_does_not_match_is_named(version: LanguageVersion) -> None:
    spec = spec_of(schema={"type": "integer"}, n=2, temperature=1.0)
    row = read_one(version, {"prompt": "a"}, schema={"type": "integer"}, n=2, temperature=1.0)
    writer = OutputWriter(version, spec)
    output = writer.write(row, [completion("1"), completion("2", tokens=3)])
    assert isinstance(output, dict)
    assert output["text"] == "1"
    assert output["usage"] == {"prompt_tokens": len(row.tokens), "completion_tokens": 10, "cached_tokens": 0}
    assert output["choices"] == [
        {"index": 0, "text": "1", "finish_reason": "stop", "data": 1},
        {"index": 1, "text": "2", "finish_reason": "stop", "data": 2},
    ]
    error = writer.write(row, [completion("1"), completion("x")])
    assert isinstance(error, str)
    assert error.startswith("choice 1: 'x' is not a JSON document")


def test_formats_do_not_go_together(version: LanguageVersion) -> None:
    with pytest.raises(InvalidInput, match="not together"):
        RowReader(version, spec_of(schema={}, regex="a"))


def test_the_masks_cover_the_model_if_it_has_more_logits_than_tokens(tokenizer: TextTokenizer) -> None:
    size = tokenizer.native.get_vocab_size()
    compiler = ConstraintCompiler(tokenizer.native, size + 100, [END])
    mask = np.full(compiler.mask_length, -1, np.int32)
    compiler.matcher(Constraint(regex=".*")).fill_mask(mask)
    bits = np.unpackbits(mask.view(np.uint8), bitorder="little")
    assert len(bits) >= size + 100
    assert not bits[size:].any()


def test_the_folder_of_a_tokenizer_is_read_once(version: LanguageVersion) -> None:
    assert load_tokenizer(Path(version.model.folder)) is load_tokenizer(Path(version.model.folder))
