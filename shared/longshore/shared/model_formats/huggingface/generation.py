"""Reads ``generation_config.json``: how the texts of a language model are drawn by default, and what ends them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.files import Files, read_object
from longshore.shared.model_formats.huggingface.keys import is_empty
from longshore.shared.model_formats.huggingface.language_keys import (
    ENCODER_DECODER_GENERATION,
    GENERATION_HONOURED,
    GENERATION_IRRELEVANT,
    GENERATION_NEUTRAL,
)
from longshore.shared.model_formats.huggingface.network import CONFIG
from longshore.shared.specs.validation import shorten

GENERATION = "generation_config.json"
#: The library's default of ``top_k`` where tokens are drawn.
_TOP_K = 50
#: Numbers from, numbers to, and whether the first is included.
_RANGES: Mapping[str, tuple[float, float, bool]] = {
    "temperature": (0, 100, True),
    "top_p": (0, 1, False),
    "min_p": (0, 1, True),
    "repetition_penalty": (0, 100, False),
}
_MAX_TOKENS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class GenerationDefaults:
    """What the options of a job are that are not given, from ``generation_config.json``."""

    max_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0


@dataclass(frozen=True)
class GenerationConfig:
    """The content of ``generation_config.json``, or of ``config.json`` if there is none."""

    defaults: GenerationDefaults
    #: Tokens that end a text, sorted.
    end_tokens: tuple[int, ...]
    #: Settings that are not supported, and are left out: one sentence each.
    notes: tuple[str, ...]


def read_generation(
    files: Files, config: Mapping[str, object], field: str, *, encoder_decoder: bool = False
) -> GenerationConfig:
    """Read the settings of generation.

    :param config: the content of ``config.json``.
    :param encoder_decoder: whether an encoder reads the prompt.
    :param field: names the folder in an error.
    :raises InvalidInput: a value is out of range.
    """
    name, values = (GENERATION, read_object(files, GENERATION, field)) if GENERATION in files else (CONFIG, config)
    if values.get("eos_token_id") is None:  # save_pretrained writes both, and old folders only config.json
        ends = _tokens(config.get("eos_token_id"), CONFIG, field)
    else:
        ends = _tokens(values["eos_token_id"], name, field)
    if encoder_decoder:
        _check_start(values, config, field)
    notes = _notes(values, encoder_decoder) if name == GENERATION else ()
    return GenerationConfig(_defaults(values, name, field), ends, notes)


def _defaults(values: Mapping[str, object], name: str, field: str) -> GenerationDefaults:
    sampled = values.get("do_sample")
    if sampled is not None and not isinstance(sampled, bool):
        raise InvalidInput(field, f"{name}: do_sample {shorten(sampled)} is not true or false")
    numbers = {key: _number(values, key, name, field) for key in _RANGES}
    top_k = _whole(values, "top_k", 0, name, field)
    max_tokens = _whole(values, "max_new_tokens", 1, name, field)
    drawn = sampled is True
    temperature = numbers["temperature"]
    return GenerationDefaults(
        max_tokens=GenerationDefaults.max_tokens if max_tokens is None else max_tokens,
        temperature=(1.0 if temperature is None else temperature) if drawn else 0.0,
        top_p=numbers["top_p"] or 1.0 if drawn else 1.0,
        top_k=(_TOP_K if top_k is None else top_k) if drawn else 0,
        min_p=numbers["min_p"] or 0.0 if drawn else 0.0,
        repetition_penalty=numbers["repetition_penalty"] or 1.0,
    )


def _check_start(values: Mapping[str, object], config: Mapping[str, object], field: str) -> None:
    """:raises InvalidInput: it is not known what a text begins with."""
    key = "decoder_start_token_id"
    start = next((value for each in (values, config) if (value := each.get(key)) is not None), None)
    if not isinstance(start, int) or isinstance(start, bool) or start < 0:
        raise InvalidInput(field, f"{CONFIG}: {key} {shorten(start)} is not the number of a token")


def _notes(values: Mapping[str, object], encoder_decoder: bool) -> tuple[str, ...]:
    """What the library would do beyond what jobs can ask for."""
    notes = []
    for key, value in sorted(values.items()):
        known = key in GENERATION_HONOURED or key in GENERATION_IRRELEVANT
        known = known or (encoder_decoder and key in ENCODER_DECODER_GENERATION)
        if not (known or is_empty(value) or (key in GENERATION_NEUTRAL and value == GENERATION_NEUTRAL[key])):
            notes.append(f"{GENERATION}: {shorten(key)[1:-1]} {shorten(value)} is not supported and was left out")
    return tuple(notes)


def _number(values: Mapping[str, object], key: str, name: str, field: str) -> float | None:
    value = values.get(key)
    if value is None:
        return None
    low, high, included = _RANGES[key]
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not low <= value <= high
        or (value == low and not included)
    ):
        above = "from" if included else "above"
        raise InvalidInput(field, f"{name}: {key} {shorten(value)} is not a number {above} {low:g} to {high:g}")
    return float(value)


def _whole(values: Mapping[str, object], key: str, low: int, name: str, field: str) -> int | None:
    value = values.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= _MAX_TOKENS:
        raise InvalidInput(field, f"{name}: {key} {shorten(value)} is not a whole number from {low} to {_MAX_TOKENS}")
    return value


def _tokens(value: object, name: str, field: str) -> tuple[int, ...]:
    tokens: set[int] = set()
    for token in value if isinstance(value, list) else [] if value is None else [value]:
        if not isinstance(token, int) or isinstance(token, bool) or token < -1:
            raise InvalidInput(field, f"{name}: eos_token_id {shorten(token)} is not the number of a token")
        if token >= 0:  # old folders have -1 for none
            tokens.add(token)
    return tuple(sorted(tokens))
