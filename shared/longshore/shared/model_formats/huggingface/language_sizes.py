"""Compares the sizes that the ``config.json`` of a language model states with its tensors, and finds how many tokens
the network takes.

The names of the tensors differ from network to network, so only what all have in common is compared: the layers, and
the embedding of tokens. A worker compares the number of weights before it builds the network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.architectures import ARCHITECTURES, Architecture
from longshore.shared.model_formats.huggingface.network import CONFIG
from longshore.shared.model_formats.huggingface.tensors import TensorHeader
from longshore.shared.specs.validation import shorten

#: What leads to the number of a layer in the name of a tensor.
_LAYER = re.compile(r"(?:^|\.)(?:(encoder|decoder)\.)?(?:layers|h|block)\.(\d+)\.")
#: The ends of the names of the embedding of tokens, that of an encoder and a decoder, and of the output layer.
_SHARED = "shared.weight"
_EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "embed_in.weight", "word_embeddings.weight")
_HEADS = ("lm_head.weight", "embed_out.weight")
#: The keys of each size, in all networks.
_LAYERS = ("num_hidden_layers", "n_layer", "num_layers")
_ENCODER_LAYERS = ("encoder_layers", "num_layers", "num_hidden_layers")
_DECODER_LAYERS = ("decoder_layers", "num_decoder_layers")
_WIDTHS = ("word_embed_proj_dim", "hidden_size", "n_embd", "d_model")
_POSITIONS = ("max_position_embeddings", "n_positions")
#: Keys whose values are sizes, or numbers of things that are built one by one.
_COUNTED = (
    *("num_experts", "num_local_experts", "n_head", "num_heads", "num_attention_heads", "num_key_value_heads"),
    *("encoder_attention_heads", "decoder_attention_heads", "relative_attention_num_buckets"),
)
_SIZES = (
    "vocab_size",
    "intermediate_size",
    "n_inner",
    "ffn_dim",
    "ffn_hidden_size",
    "head_dim",
    "moe_intermediate_size",
)
#: Larger numbers would take a worker's memory, or its time, before the weights are checked.
_MAX_LAYERS: Final = 1024
_MAX_COUNT: Final = 4096
_MAX_DIMENSION: Final = 2**24
#: Positions of networks that take any number of tokens, if their configuration does not say what they were trained on.
_RELATIVE_POSITIONS: Final = 512
#: Numbers of 16 bits and 32 bits; smaller ones would need code that undoes the quantisation.
_DTYPES = ("F32", "F16", "BF16", "F64")
#: Scalings of rotary positions after which ``max_position_embeddings`` already is the number of scaled positions. Up to
#: it, ``dynamic`` changes nothing; behind it, all requests of a batch would get the frequencies of the longest one.
_SCALED = ("default", "dynamic", "llama3", "longrope", "su", "proportional", "mrope")
_UNSCALED = ("linear", "yarn")


def check_language_sizes(
    architecture: Architecture, config: Mapping[str, object], tensors: Mapping[str, TensorHeader], field: str
) -> None:
    """Refuse a configuration of another size than the tensors.

    :param tensors: by name.
    :raises InvalidInput: names the key, its value, and the size of the tensors.
    """
    layers = {*_LAYERS, *_ENCODER_LAYERS, *_DECODER_LAYERS}
    for keys, largest in ((layers, _MAX_LAYERS), (_COUNTED, _MAX_COUNT), (_WIDTHS + _SIZES, _MAX_DIMENSION)):
        for key in keys:
            _size(config, key, largest, field)
    for key, stated, found in _sizes(architecture, config, tensors, field):
        if stated != found:
            raise InvalidInput(
                field,
                f"{CONFIG}: {key} is {stated}, but the weights have {found}; use the configuration and the weights of "
                "one model",
            )
    tied = config.get("tie_word_embeddings", architecture.tied)
    if not tied and not any(name.endswith(_HEADS) for name in tensors):
        raise InvalidInput(
            field,
            f"the weights have no output layer ({' or '.join(_HEADS)}), and tie_word_embeddings in {CONFIG} is false; "
            "set it to true if the output layer is the embedding of tokens",
        )
    # Old folders have masks beside the weights, as numbers of 8 bits.
    quantised = sorted(name for name, each in tensors.items() if name.endswith("weight") and each.dtype not in _DTYPES)
    if quantised:
        raise InvalidInput(
            field,
            f"{quantised[0][:80]!r} has the type {tensors[quantised[0]].dtype}: quantised weights are not supported; "
            "save them in float32, bfloat16 or float16",
        )


def read_positions(config: Mapping[str, object], field: str) -> int:
    """How many tokens prompt and text may have together, after the scaling of rotary positions.

    :param config: the content of the ``config.json`` of a known architecture.

    :raises InvalidInput: it is not stated, or the scaling is not known.
    """
    positions = next((value for key in _POSITIONS if (value := _size(config, key, _MAX_DIMENSION, field))), None)
    architecture = ARCHITECTURES[str(config.get("model_type"))]
    if architecture.relative and positions is None:
        positions = _RELATIVE_POSITIONS
    if architecture.encoder_decoder and positions is not None:
        return 2 * positions  # of the encoder, and of the decoder
    if positions is None:
        raise InvalidInput(field, f"{CONFIG}: {_POSITIONS[0]} is missing; write how many tokens the network takes")
    scaling = config.get("rope_parameters") or config.get("rope_scaling")
    if not isinstance(scaling, dict):
        return positions
    # The parameters by the type of the layer are those of networks whose positions are scaled already.
    if by_layer := [value for value in scaling.values() if isinstance(value, dict)]:
        if any(value.get("rope_type") == "longrope" for value in by_layer):
            raise InvalidInput(field, f"{CONFIG}: longrope positions by the type of the layer are not supported")
        return positions
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind in _SCALED or config.get("model_type") == "gemma3_text":
        return positions
    factor = scaling.get("factor")
    if kind not in _UNSCALED or not isinstance(factor, int | float) or isinstance(factor, bool) or not factor >= 1:
        raise InvalidInput(field, f"{CONFIG}: the scaling of rotary positions {shorten(scaling)} is not supported")
    original = scaling.get("original_max_position_embeddings") if kind == "yarn" else None
    if original is not None and (not isinstance(original, int) or not 0 < original <= _MAX_DIMENSION):
        raise InvalidInput(field, f"{CONFIG}: original_max_position_embeddings {shorten(original)} is not a number")
    scaled = (positions if original is None else original) * factor
    if scaled > _MAX_DIMENSION:
        raise InvalidInput(field, f"{CONFIG}: {shorten(scaling)} makes more than {_MAX_DIMENSION} positions")
    return int(scaled)


def _sizes(
    architecture: Architecture, config: Mapping[str, object], tensors: Mapping[str, TensorHeader], field: str
) -> Iterator[tuple[str, object, int]]:
    """The keys of the sizes, with what the configuration says and what the tensors have."""
    found = [match for name in tensors if (match := _LAYER.search(name))]
    stacks: tuple[tuple[str | None, tuple[str, ...]], ...] = ((None, _LAYERS),)
    if architecture.encoder_decoder:
        stacks = (("encoder", _ENCODER_LAYERS), ("decoder", _DECODER_LAYERS))
    for stack, keys in stacks:
        layers = {int(match[2]) for match in found if stack in (None, match[1])}
        if layers != set(range(len(layers))):
            raise InvalidInput(field, f"the weights have the layers {shorten(sorted(layers))}: some are missing")
        for key in keys:
            if config.get(key) is not None:
                yield key, config[key], len(layers)
    embeddings = [name for name in tensors if name.endswith(_SHARED if architecture.encoder_decoder else _EMBEDDINGS)]
    if len(embeddings) != 1 or len(tensors[embeddings[0]].shape) != 2:
        raise InvalidInput(field, f"the weights have {len(embeddings)} embeddings of tokens, not one of two dimensions")
    words, width = tensors[embeddings[0]].shape
    if "vocab_size" in config:
        yield "vocab_size", config["vocab_size"], words
    for key in _WIDTHS:
        if key in config:
            yield key, config[key], width
            return  # that of the embedding, where the layers have another one


def _size(config: Mapping[str, object], key: str, largest: int, field: str) -> int | None:
    """A number of the configuration; ``None`` if it is not stated."""
    value = config.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= largest:
        raise InvalidInput(field, f"{CONFIG}: {key} {shorten(value)} is not a number from 1 to {largest}")
    return value
