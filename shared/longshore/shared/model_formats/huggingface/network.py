"""Reads ``config.json``: which built-in network it is, and what its outputs mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.keys import CONFIG_KEYS
from longshore.shared.specs.validation import shorten

CONFIG = "config.json"
#: Bidirectional networks of the library transformers that take ``input_ids`` and ``attention_mask``.
MODEL_TYPES = ("albert", "bert", "camembert", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta")
#: Networks whose positions start after the id of the padding token, so that fewer are left for the text.
OFFSET_POSITIONS = ("camembert", "mpnet", "roberta", "xlm-roberta")
#: Keys that would run code of the folder, of another package or of a server.
_CODE_KEYS = (
    "auto_map",
    "custom_pipelines",
    "quantization_config",
    "adapter_config",
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_internal",
    "kernel_config",
)
#: No network has more layers; those that share their weights are all computed.
_MAX_LAYERS = 1024
#: No text classifier has more outputs.
_MAX_LABELS = 2**20
#: A larger size would exhaust a worker's memory before the weights are checked.
_MAX_DIMENSION = 2**24
_LAYERS = ("num_hidden_layers", "n_layers", "num_hidden_groups", "inner_group_num")
_SIZES = (
    "hidden_size",
    "embedding_size",
    "dim",
    "intermediate_size",
    "hidden_dim",
    "vocab_size",
)


#: What the outputs of a network are; that of a head is the same as the task.
HeadName = Literal["encoder", "classification", "multilabel", "regression", "tokens"]


@dataclass(frozen=True)
class NetworkConfig:
    """The configuration of a built-in network."""

    model_type: str
    #: ``encoder`` returns a vector for each token, ``tokens`` a number for each of its labels; the others return one
    #: row of numbers for each text.
    head: HeadName
    #: Names of the outputs, for an encoder none.
    labels: tuple[str | int | bool, ...]
    #: The most tokens of a text, without truncation.
    positions: int
    #: The size of a token's vector.
    width: int
    #: The content of ``config.json``.
    config: Mapping[str, object]


def read_network(config: Mapping[str, object], field: str, *, encoder: bool) -> NetworkConfig:
    """Validate a configuration.

    :param encoder: whether the folder defines how token vectors are combined to an embedding.
    :raises InvalidInput: it would run code, or is of a kind that is not supported.
    """
    for key in _CODE_KEYS:
        if config.get(key) is not None:
            raise InvalidInput(field, f"{CONFIG} has {key!r}: code that is not Longshore's own is never run; use a "
                               f"model that is built into the library transformers, without this key")  # fmt: skip
    model_type = config.get("model_type")
    if not isinstance(model_type, str) or model_type not in MODEL_TYPES:
        raise InvalidInput(field, f"{CONFIG}: model_type {shorten(model_type)} is not one of {', '.join(MODEL_TYPES)}")
    for key in ("is_decoder", "is_encoder_decoder"):
        if config.get(key):
            raise InvalidInput(field, f"{CONFIG}: it generates text ({key}); only encoders are supported")
    CONFIG_KEYS.check(config, CONFIG, field)
    for keys, largest in ((_SIZES, _MAX_DIMENSION), (_LAYERS, _MAX_LAYERS)):
        for key in keys:
            if key in config:
                _size(config, key, field, largest=largest)
    positions = _size(config, "max_position_embeddings", field, 512)
    if model_type in OFFSET_POSITIONS:
        pad = config.get("pad_token_id")
        if "pad_token_id" in config and pad is None and model_type != "mpnet":
            raise InvalidInput(
                field,
                f"{CONFIG}: pad_token_id None: positions of {model_type} are counted from it; write the token's id",
            )
        positions -= 2 if model_type == "mpnet" or not isinstance(pad, int) else max(pad, 0) + 1
    width = _size(config, "dim" if model_type == "distilbert" else "hidden_size", field, 768)
    if encoder:
        return NetworkConfig(model_type, "encoder", (), positions, width, config)
    return NetworkConfig(model_type, *_head(config, field), positions, width, config)


def _head(config: Mapping[str, object], field: str) -> tuple[HeadName, tuple[str | int | bool, ...]]:
    """The kind of the outputs and their names; one output without a ``problem_type`` is a regression, too."""
    architectures = config.get("architectures")
    names = architectures if isinstance(architectures, list) else []
    if any(isinstance(name, str) and name.endswith("ForTokenClassification") for name in names):
        return "tokens", _token_labels(config, field)
    if not any(isinstance(name, str) and name.endswith("ForSequenceClassification") for name in names):
        raise InvalidInput(
            field,
            f"{CONFIG}: architectures {shorten(names)} is not a text classifier, and there is no modules.json that "
            "defines an embedding; use a ...ForSequenceClassification or ...ForTokenClassification, or save the model "
            "with sentence-transformers",
        )
    labels = _labels(config, field)
    problem = config.get("problem_type")
    if problem == "multi_label_classification":
        return "multilabel", labels
    if problem == "single_label_classification" and len(labels) == 1:
        raise InvalidInput(
            field, f"{CONFIG}: problem_type {problem!r} needs two labels or more; write regression for one output"
        )
    return ("regression" if len(labels) == 1 or problem == "regression" else "classification"), labels


def _token_labels(config: Mapping[str, object], field: str) -> tuple[str | int | bool, ...]:
    labels = _labels(config, field)
    for number, label in enumerate(labels):
        if not isinstance(label, str):
            raise InvalidInput(
                field, f"{CONFIG}: id2label names output {number} {shorten(label)}; labels of tokens are texts"
            )
    return labels


def _labels(config: Mapping[str, object], field: str) -> tuple[str | int | bool, ...]:
    named = config.get("id2label")
    if named is None:
        return tuple(f"LABEL_{number}" for number in range(_size(config, "num_labels", field, 2, _MAX_LABELS)))
    if isinstance(named, dict):
        if not named or named.keys() != {str(number) for number in range(len(named))}:
            raise InvalidInput(field, f"{CONFIG}: id2label {shorten(named)} does not name the outputs from 0")
        labels = [named[str(number)] for number in range(len(named))]
        for number, label in enumerate(labels):
            if not isinstance(label, str | int):
                raise InvalidInput(
                    field,
                    f"{CONFIG}: id2label names output {number} {shorten(label)}; write a text or a whole number",
                )
        # Compared as they are written in results: 1, true and "1" are three different labels.
        if len(set(map(repr, labels))) < len(labels):
            raise InvalidInput(field, f"{CONFIG}: id2label {shorten(named)} gives two outputs the same name")
        return tuple(labels)
    raise InvalidInput(field, f"{CONFIG}: id2label {shorten(named)} is not an object that names the outputs from 0")


def _size(config: Mapping[str, object], key: str, field: str, default: int = 0, largest: int = _MAX_DIMENSION) -> int:
    value = config.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= largest:
        raise InvalidInput(field, f"{CONFIG}: {key} {shorten(value)} is not a number from 1 to {largest}")
    return value
