"""Checking trainings on texts: which tokenizer makes ids of them, and what the family is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from longshore.shared.datasets.columns.texts import to_texts
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.models.registry import Models
from longshore.shared.ledger.records import VersionRecord
from longshore.shared.references import ModelReference
from longshore.shared.specs.families import BUILT_IN
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.tokenizer import DEFAULT_LENGTH, TOKENIZER_FILE, Tokenizer
from longshore.shared.specs.train import TrainSpec


def are_texts(features: Sequence[Feature]) -> bool:
    """Whether the rows are texts."""
    return any(feature.kind == "text" for feature in features)


def settle_tokenizer(spec: TrainSpec, versions: Mapping[str, VersionRecord], models: Models) -> TrainSpec:
    """The spec with a tokenizer in it, where the family can read texts: the one asked for, else that of the version it
    begins with or learns from, else one to be trained.

    :param versions: ``base`` and ``teacher``.
    :raises UnknownModel: there is no such version. :raises InvalidInput: the family reads no texts, or a version has no
        tokenizer or another one.
    """
    family = BUILT_IN.get(spec.family)
    if family is not None and not family.reads_tokens:
        if spec.tokenizer is not None:
            reading = ", ".join(name for name, config in BUILT_IN.items() if config.reads_tokens)
            raise InvalidInput("tokenizer", f"family {spec.family!r} reads no texts; leave it out, or use {reading}")
        return spec
    bringing = {option: version for option, version in versions.items() if _digest(version) is not None}
    if not bringing:
        return _asked_for(spec, models)
    option, version = next(iter(bringing.items()))
    if spec.tokenizer is not None:
        raise InvalidInput(
            "tokenizer", f"{getattr(spec, option)} brings its own, so that ids keep their meaning; leave it out"
        )
    if len({_digest(each) for each in bringing.values()}) > 1:
        raise InvalidInput(
            "teacher",
            f"{spec.teacher} has another tokenizer than {spec.base}, so that ids mean other words to it; leave one out",
        )
    return _taken(spec, version, str(getattr(spec, option)), None)


def _asked_for(spec: TrainSpec, models: Models) -> TrainSpec:
    asked = spec.tokenizer or Tokenizer()
    if asked.version is None:
        length = asked.length or DEFAULT_LENGTH
        return spec.model_copy(update={"tokenizer": asked.model_copy(update={"length": length})})
    version = models.resolve(ModelReference.parse(asked.version, "tokenizer"), "tokenizer")
    if _digest(version) is None:
        raise InvalidInput("tokenizer", f"{asked.version} reads no texts, so has none; name a version that does")
    return _taken(spec, version, asked.version, asked.length)


def _taken(spec: TrainSpec, version: VersionRecord, name: str, length: int | None) -> TrainSpec:
    """With the tokenizer of a version, and its length where none is asked for."""
    [feature] = Signature.model_validate(version.manifest["signature"]).features
    tokenizer = Tokenizer(version=name, length=length or feature.width or DEFAULT_LENGTH)
    return spec.model_copy(update={"tokenizer": tokenizer, "tokenizer_digest": version.digest})


def _digest(version: VersionRecord) -> str | None:
    """Of the tokenizer of a version; ``None`` if it has none."""
    files = version.manifest.get("files")
    blob = files.get(TOKENIZER_FILE) if isinstance(files, dict) else version.manifest.get("tokenizer")
    return str(blob["digest"]) if isinstance(blob, dict) else None


def tokens_of(spec: TrainSpec) -> int | None:
    """Tokens of a text that the family reads; ``None`` where it reads no texts."""
    return None if spec.tokenizer is None else spec.tokenizer.length


def check_told(spec: TrainSpec, asked: TrainSpec, features: Sequence[Feature]) -> TrainSpec:
    """Whether what the family is told goes with texts, or without; the spec without a tokenizer where there are none.

    :param asked: as it was given, before a base filled it in.
    :raises InvalidInput: it does not.
    """
    if not are_texts(features):
        if asked.tokenizer is not None:
            raise InvalidInput("tokenizer", "the features are no texts; leave it out, or name a column of text")
        return spec.model_copy(update={"tokenizer": None, "tokenizer_digest": None})
    check_text_config(asked.config)
    return spec


def check_text_config(config: Mapping[str, object]) -> None:
    """:raises InvalidInput: something is told that a tokenizer decides, or that texts have not."""
    if config.get("vocabulary") is not None:
        raise InvalidInput(
            "config.vocabulary",
            f"{config['vocabulary']}: it follows from the tokenizer; leave it out, or say tokenizer={{'vocabulary': "
            f"{config['vocabulary']}}} for so many entries at most",
        )
    if config.get("input_shape") is not None:
        raise InvalidInput("config.input_shape", "texts have no numbers; leave it out, or name other features")
    if config.get("token_types"):
        raise InvalidInput(
            "config.token_types",
            f"{config['token_types']}: of rows that are tokenised already; a text has one type; leave it out",
        )


def refuse_missing(rows: pa.Table, signature: Signature, field: str) -> None:
    """:raises InvalidInput: a row has no text."""
    start = 0
    for batch in rows.select([signature.features[0].name]).to_batches():
        errors = to_texts(batch, signature).errors
        if errors:
            raise InvalidInput(field, f"row {start + min(errors)}: {errors[min(errors)]}; mend or remove it")
        start += batch.num_rows
