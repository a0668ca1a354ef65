"""Checking trainings of language models: their texts, their tokenizer and the versions that they begin with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from longshore.producers.planning.inline_rows import InputBlocks
from longshore.producers.planning.language.language_models import language_facts
from longshore.producers.planning.training.data import Taken, take_as_written
from longshore.shared.datasets.columns.types import is_list, is_text, type_name
from longshore.shared.datasets.prompts import read_messages
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.models.registry import Models
from longshore.shared.ledger.records import VersionRecord
from longshore.shared.references import ModelReference
from longshore.shared.specs.families import CausalLmConfig, LanguageConfig, LoraConfig
from longshore.shared.specs.generate import PROMPT
from longshore.shared.specs.jobs import FileInput
from longshore.shared.specs.tokenizer import Tokenizer
from longshore.shared.specs.train import TrainSpec
from longshore.shared.specs.train.language import language_defaults
from longshore.shared.specs.train.row_layout import COMPLETION, is_conversation_text, layout_of
from longshore.shared.specs.validation import shorten
from longshore.shared.store.store import Store

#: Entries of a tokenizer that is trained with a language model, at most, unless the caller says otherwise.
VOCABULARY = 8192
#: Special tokens, and all bytes.
_MIN_VOCABULARY = 260


def with_language_defaults(family: str, options: Mapping[str, object]) -> dict[str, object]:
    """The options of a caller, with the defaults of language models for those that are not given."""
    defaults = language_defaults(family, continued=options.get("base") is not None, task=options.get("task"))
    return {**defaults, **options}


def settle_language_model(spec: TrainSpec, models: Models, store: Callable[[], Store]) -> TrainSpec:
    """Resolve the versions that ``spec`` names, and settle its tokenizer and the column of its prompts.

    :param store: where the small files of versions are; a producer that cannot reach it leaves a check to the worker.
    :raises UnknownModel: there is no such version.
    :raises InvalidInput: a version is no language model, or an option does not fit; names it.
    """
    spec.check_family_options()
    preference = spec.task == "preference"
    spec = spec.model_copy(update={"task": "preference" if preference else "language_model", "standardize": False})
    features = spec.features
    if features is None:
        features = (PROMPT,) if preference or spec.target == COMPLETION else ()
    if preference and not features:
        raise InvalidInput("features", "empty: name the one column of the prompts, or leave it out for 'prompt'")
    if preference and spec.rejected in (spec.target, *features):
        raise InvalidInput("rejected", f"{spec.rejected!r}: it is the prompt or the target; name another column")
    if len(features) > 1 or spec.target in features:
        raise InvalidInput(
            "features", f"{', '.join(features)}: name the one column that the target answers, or leave it out for texts"
        )
    spec = spec.model_copy(update={"features": features})
    if spec.base is None:
        return _with_tokenizer(spec, models)
    version = _language_version(spec.base, "base", models)
    files = version.manifest.get("files")
    if isinstance(files, dict) and any(str(path).startswith("adapter/") for path in files):
        raise InvalidInput(
            "base",
            f"{spec.base} is an adapter; train on the version that it adapts, or export it merged and import that",
        )
    facts, context = language_facts(version, store), spec.config.get("context")
    if facts.encoder_decoder:
        raise InvalidInput("base", f"{spec.base} is an encoder with a decoder; only decoders are trained, so name one")
    if isinstance(context, int) and facts.max_model_len is not None and context > facts.max_model_len:
        raise InvalidInput(
            "config.context", f"{context}: {spec.base} reads at most {facts.max_model_len} tokens; give less"
        )
    # The version, not an alias that may move.
    return spec.model_copy(update={"base": f"{version.model}:{version.version}", "base_digest": version.digest})


def check_language_config(spec: TrainSpec, config: LanguageConfig) -> None:
    """Check the configuration against the options.

    :raises InvalidInput: an option of the configuration does not fit; names it.
    """
    if spec.task == "preference" and spec.config.get("packing"):
        raise InvalidInput("config.packing", "true: of preferences, each answer has a block of its own; leave it out")
    if isinstance(config, LoraConfig):
        return
    assert isinstance(config, CausalLmConfig)
    if spec.base is None:
        config.check_shape()
        return
    for name in sorted(set(spec.config) - set(LanguageConfig.model_fields)):
        raise InvalidInput(f"config.{name}", f"{shorten(spec.config[name])}: it is that of {spec.base}; leave it out")


def take_texts(value: object, field: str, form: str | None, blocks: InputBlocks, spec: TrainSpec) -> Taken:
    """Look into a file of texts, or take the rows that came with the call, and check the first of them.

    :raises InvalidInput: a column is missing or holds no texts, or a row is bad.
    """
    names = spec.text_columns
    taken = take_as_written(value, field, form, blocks, [*names, *([spec.split] if spec.split else [])])
    known = taken.schema.names
    for option, name in (
        *(("features", name) for name in spec.features or ()),
        ("target", spec.target),
        *([("rejected", spec.rejected)] if spec.task == "preference" else []),
        *([("split", spec.split)] if spec.split and field == "data" else []),
    ):
        if name not in known:
            where = "the data" if field == "data" else field
            raise InvalidInput(option, f"{where} has no column {name!r}; it has {', '.join(known[:20])}")
    for name in names:
        option = "rejected" if spec.task == "preference" and name == spec.rejected else "target"
        _check_type(taken.schema.field(name).type, name, option)
    _check_rows(taken, spec)
    return taken


def settle_text_stream(spec: TrainSpec, data: Taken) -> TrainSpec:
    """Texts are always read from their file as a stream, and their tokens lie in files.

    :raises InvalidInput: a stream is asked for, and the rows came with the call.
    """
    if spec.stream and not isinstance(data.data, FileInput):
        raise InvalidInput("stream", "rows that come with the call are in memory; leave it out, or give a file")
    return spec


def _check_type(kind: pa.DataType, name: str, option: str) -> None:
    if is_text(kind) or (is_list(kind) and pa.types.is_struct(kind.value_type)):
        return
    raise InvalidInput(
        option, f"column {name!r} holds {type_name(kind)}; a language model learns texts or lists of messages"
    )


def _check_rows(taken: Taken, spec: TrainSpec) -> None:
    columns = {name: taken.rows[name].to_pylist() for name in spec.text_columns}
    for name, values in columns.items():
        if None in values:
            row = values.index(None)
            raise InvalidInput(taken.field, f"row {row}: column {name!r} has no value; correct or remove it")
    if spec.task == "preference":
        for row, (prompt, *answers) in enumerate(zip(*columns.values(), strict=True)):
            _check_answers(taken, row, prompt, answers)
        return
    targets = columns[spec.target]
    layout = layout_of(spec.features or (), targets[0] if targets else None)
    for row, target in enumerate(targets):
        if layout == "messages":
            _check_messages(taken, row, target)
        elif not isinstance(target, str):
            raise InvalidInput(taken.field, f"row {row}: {shorten(target)} is no text; correct or remove it")


def _check_answers(taken: Taken, row: int, prompt: object, answers: Sequence[object]) -> None:
    """The texts or messages of a row of preferences."""
    for value in (prompt, *answers):
        if not isinstance(value, str):
            _check_messages(taken, row, value)
    if isinstance(prompt, str) and not is_conversation_text(prompt) and any(not isinstance(a, str) for a in answers):
        raise InvalidInput(
            taken.field,
            f"row {row}: its answers are messages, and its prompt is a text; give the prompt as messages, too",
        )


def _check_messages(taken: Taken, row: int, value: object) -> None:
    try:
        read_messages(value)
    except ValueError as error:
        raise InvalidInput(taken.field, f"row {row}: {error}; correct or remove it") from None


def _with_tokenizer(spec: TrainSpec, models: Models) -> TrainSpec:
    """The tokenizer of a version, or a byte-level one that is trained on the texts and changes none of them."""
    asked = spec.tokenizer
    if asked is not None and asked.version is not None:
        version = _language_version(asked.version, "tokenizer", models)
        if asked.length is not None:
            raise InvalidInput("tokenizer", f"length {asked.length}: give it as config.context; leave it out")
        name = f"{version.model}:{version.version}"
        tokenizer = Tokenizer(version=name)
        return spec.model_copy(update={"tokenizer": tokenizer, "tokenizer_digest": version.digest})
    given = {} if asked is None else {name: getattr(asked, name) for name in asked.model_fields_set}
    for name, wanted, instead in (
        ("kind", "bpe", "any text can be written with bpe alone"),
        ("lowercase", False, "a language model writes texts as they are"),
        ("length", None, "give it as config.context"),
    ):
        if given.get(name, wanted) != wanted:
            raise InvalidInput("tokenizer", f"{name} {given[name]!r}: {instead}; leave it out")
    vocabulary = VOCABULARY if asked is None or "vocabulary" not in given else asked.vocabulary
    if vocabulary < _MIN_VOCABULARY:
        raise InvalidInput(
            "tokenizer", f"vocabulary {vocabulary}: all bytes and the special tokens are {_MIN_VOCABULARY}; give more"
        )
    settings = {**given, "vocabulary": vocabulary, "kind": "bpe", "lowercase": False}
    return spec.model_copy(update={"tokenizer": Tokenizer.model_validate(settings)})


def _language_version(reference: str, option: str, models: Models) -> VersionRecord:
    version = models.resolve(ModelReference.parse(reference, option), option)
    signature = version.manifest.get("signature")
    task = signature.get("task") if isinstance(signature, dict) else None
    if task != "generation":
        raise InvalidInput(
            option,
            f"{reference} has the task {task}; name a language model, which was imported or trained as causal_lm",
        )
    return version
