"""Checks for trainings on texts: the tokenizer, and the options of the family."""

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
    """Set the tokenizer if the family can read texts: the requested one, else that of ``base`` or ``teacher``, else a
    new one that is trained on the rows.

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
    if spec.preprocess is not None:
        if family is not None or spec.tokenizer is not None:
            raise InvalidInput(
                "preprocess",
                f"family {spec.family!r} reads a text as tokens, and no other columns; leave it out, or use linear or "
                "mlp",
            )
        return spec
    bringing = {option: version for option, version in versions.items() if _digest(version) is not None}
    if not bringing:
        return _with_requested_tokenizer(spec, models)
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
    return _with_tokenizer_of(spec, version, str(getattr(spec, option)), None)


def _with_requested_tokenizer(spec: TrainSpec, models: Models) -> TrainSpec:
    requested = spec.tokenizer or Tokenizer()
    if requested.version is None:
        length = requested.length or DEFAULT_LENGTH
        return spec.model_copy(update={"tokenizer": requested.model_copy(update={"length": length})})
    version = models.resolve(ModelReference.parse(requested.version, "tokenizer"), "tokenizer")
    if _digest(version) is None:
        raise InvalidInput("tokenizer", f"{requested.version} reads no texts, so has none; name a version that does")
    return _with_tokenizer_of(spec, version, requested.version, requested.length)


def _with_tokenizer_of(spec: TrainSpec, version: VersionRecord, name: str, length: int | None) -> TrainSpec:
    """Set the tokenizer of a version. ``length`` defaults to the length of that version."""
    [feature] = Signature.model_validate(version.manifest["signature"]).features
    tokenizer = Tokenizer(version=name, length=length or feature.width or DEFAULT_LENGTH)
    return spec.model_copy(update={"tokenizer": tokenizer, "tokenizer_digest": version.digest})


def _digest(version: VersionRecord) -> str | None:
    """The digest of the tokenizer of a version; ``None`` if it has none."""
    files = version.manifest.get("files")
    blob = files.get(TOKENIZER_FILE) if isinstance(files, dict) else version.manifest.get("tokenizer")
    return str(blob["digest"]) if isinstance(blob, dict) else None


def tokens_of(spec: TrainSpec) -> int | None:
    """How many tokens of a text the family reads; ``None`` if it reads no texts."""
    return None if spec.tokenizer is None else spec.tokenizer.length


def check_text_options(spec: TrainSpec, original: TrainSpec, features: Sequence[Feature]) -> TrainSpec:
    """Check the options that depend on whether the rows are texts; remove the tokenizer if they are not.

    :param original: the spec before the options of ``base`` were added.
    :raises InvalidInput: an option does not fit the rows.
    """
    if not are_texts(features):
        if original.tokenizer is not None:
            raise InvalidInput("tokenizer", "the features are no texts; leave it out, or name a column of text")
        return spec.model_copy(update={"tokenizer": None, "tokenizer_digest": None})
    check_text_config(original.config)
    return spec


def check_text_config(config: Mapping[str, object]) -> None:
    """:raises InvalidInput: the config sets an option that the tokenizer decides, or that does not apply to texts."""
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
            f"{config['token_types']}: only for rows that are already tokenised; a text has one type; leave it out",
        )


def refuse_missing(rows: pa.Table, signature: Signature, field: str) -> None:
    """:raises InvalidInput: a row has no text."""
    start = 0
    for batch in rows.select([signature.features[0].name]).to_batches():
        errors = to_texts(batch, signature.features[0]).errors
        if errors:
            raise InvalidInput(field, f"row {start + min(errors)}: {errors[min(errors)]}; correct or remove it")
        start += batch.num_rows
