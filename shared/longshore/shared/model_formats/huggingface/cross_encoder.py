"""Reads a folder of a cross-encoder of sentence-transformers, which scores pairs of texts.

https://sbert.net/docs/package_reference/cross_encoder/cross_encoder.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.files import Files, read_json, read_optional
from longshore.shared.model_formats.huggingface.keys import MODULE_KEYS, PAIR_KEYS, PAIR_PROMPT_KEYS
from longshore.shared.model_formats.huggingface.network import CONFIG
from longshore.shared.model_formats.huggingface.sentence import (
    MODULES,
    PROMPTS,
    default_prompt,
    module_kinds,
    read_transformer,
)
from longshore.shared.specs.validation import shorten

#: Keys of ``config.json`` in which earlier versions of the library state the activation, in the order of precedence.
_NESTED_ACTIVATION, _ACTIVATION = "sentence_transformers", "sbert_ce_default_activation_function"
#: Whether the activation is a sigmoid, by the names that the class has in PyTorch.
_ACTIVATIONS = {
    **dict.fromkeys(("torch.nn.Sigmoid", "torch.nn.modules.Sigmoid", "torch.nn.modules.activation.Sigmoid"), True),
    **dict.fromkeys(("torch.nn.Identity", "torch.nn.modules.Identity", "torch.nn.modules.linear.Identity"), False),
}


@dataclass(frozen=True)
class CrossEncoderConfig:
    """How a pair of texts is scored."""

    #: Whether scores are the sigmoid of the network's outputs.
    sigmoid: bool
    #: How many tokens of a pair are used; ``None`` for the network's maximum.
    max_tokens: int | None
    #: Whether texts are converted to lower case before tokenization.
    lowercase: bool
    #: A prefix of the first text of every pair.
    prompt: str
    #: The files that this was read from.
    files: tuple[str, ...]


def is_cross_encoder(files: Files, config: Mapping[str, object], field: str) -> bool:
    """Whether a folder is that of a cross-encoder.

    :param config: the content of ``config.json``.
    :raises InvalidInput: its modules are not those of its kind.
    """
    if MODULES in files:
        kind = read_optional(files, PROMPTS, field).get("model_type")
        if kind not in (None, "SentenceTransformer", "CrossEncoder"):
            raise InvalidInput(
                field,
                f"{PROMPTS}: model_type {shorten(kind)} is not supported; use a SentenceTransformer or CrossEncoder",
            )
        alone = module_kinds(read_json(files, MODULES, field), field) == ["Transformer"]
        if alone != (kind == "CrossEncoder"):
            raise InvalidInput(
                field,
                f"{MODULES} has {'only' if alone else 'other modules than'} Transformer, but model_type in {PROMPTS} "
                f"is {shorten(kind)}; only a CrossEncoder has no other modules",
            )
        return alone
    return config.get(_NESTED_ACTIVATION) is not None or config.get(_ACTIVATION) is not None


def read_cross_encoder(files: Files, config: Mapping[str, object], outputs: int, field: str) -> CrossEncoderConfig:
    """Read the settings of all versions of the library.

    :param config: the content of ``config.json``.
    :param outputs: how many numbers the network returns for a pair.
    :raises InvalidInput: a module or an activation is not supported.
    """
    if MODULES not in files:
        return CrossEncoderConfig(_sigmoid(config, {}, outputs, field), None, False, "", ())
    modules = read_json(files, MODULES, field)
    for module in modules if isinstance(modules, list) else []:
        MODULE_KEYS.check(module, MODULES, field)
    transformer = read_transformer(files, PAIR_KEYS, field)
    if transformer.values.get("transformer_task") != "sequence-classification":
        raise InvalidInput(field, f"{transformer.name}: transformer_task is missing; write sequence-classification")
    prompts = read_optional(files, PROMPTS, field)
    PAIR_PROMPT_KEYS.check(prompts, PROMPTS, field)
    return CrossEncoderConfig(
        _sigmoid(config, prompts, outputs, field),
        transformer.max_tokens,
        transformer.lowercase,
        default_prompt(prompts, field),
        (MODULES, PROMPTS, transformer.name),
    )


def _sigmoid(config: Mapping[str, object], prompts: Mapping[str, object], outputs: int, field: str) -> bool:
    """Whether the activation is a sigmoid, which it also is by default if there is one output."""
    nested = config.get(_NESTED_ACTIVATION)
    if prompts.get("activation_fn") is not None:
        where, path = f"{PROMPTS}: activation_fn", prompts["activation_fn"]
    elif isinstance(nested, dict) and "activation_fn" in nested:
        where, path = f"{CONFIG}: {_NESTED_ACTIVATION}: activation_fn", nested["activation_fn"]
    else:
        where, path = f"{CONFIG}: {_ACTIVATION}", config.get(_ACTIVATION)
    if path is None:
        return outputs == 1
    if not isinstance(path, str) or path not in _ACTIVATIONS:
        raise InvalidInput(
            field, f"{where} {shorten(path)} is not supported; use torch.nn.Sigmoid or torch.nn.Identity"
        )
    return _ACTIVATIONS[path]
