"""Reads a sentence-transformers folder: how the vectors of a text's tokens are combined to its embedding.

https://sbert.net/docs/package_reference/sentence_transformer/models.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.files import Files, read_json, read_object, read_optional
from longshore.shared.specs.validation import shorten

MODULES, TRANSFORMER = "modules.json", "sentence_bert_config.json"
PROMPTS = "config_sentence_transformers.json"

Pooling = Literal["mean", "cls", "max"]
_MODES: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
}


@dataclass(frozen=True)
class SentenceConfig:
    """How an embedding is computed from token vectors."""

    pooling: Pooling
    #: Whether embeddings are scaled to Euclidean length 1.
    normalize: bool
    #: How many tokens of a text are used; ``None`` for the network's maximum.
    max_tokens: int | None
    #: Whether texts are converted to lower case before tokenization.
    lowercase: bool
    #: A prefix of every text.
    prompt: str
    #: The files that this was read from.
    files: tuple[str, ...]


def read_sentence(files: Files, width: int, field: str) -> SentenceConfig:
    """Read ``modules.json`` and the files that it refers to.

    :param width: the size of a token's vector.
    :raises InvalidInput: a module or a kind of pooling is not supported.
    """
    pooled, normalize = _modules(read_json(files, MODULES, field), field)
    name = f"{pooled}/config.json"
    pooling = _pooling(read_object(files, name, field), name, width, field)
    transformer = read_optional(files, TRANSFORMER, field)
    limit = transformer.get("max_seq_length")
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise InvalidInput(field, f"{TRANSFORMER}: max_seq_length {shorten(limit)} is not a number of tokens")
    prompt = _prompt(read_optional(files, PROMPTS, field), field)
    used = (MODULES, name, *(file for file in (TRANSFORMER, PROMPTS) if file in files))
    return SentenceConfig(pooling, normalize, limit, bool(transformer.get("do_lower_case")), prompt, used)


def _modules(modules: object, field: str) -> tuple[str, bool]:
    """The folder of the pooling module, and whether embeddings are normalised."""
    entries = [entry for entry in modules if isinstance(entry, dict)] if isinstance(modules, list) else []
    kinds = [str(entry.get("type")) for entry in entries]
    names = [kind.rpartition(".")[2] for kind in kinds if kind.startswith("sentence_transformers.")]
    if len(names) != len(kinds) or names not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise InvalidInput(
            field,
            f"{MODULES}: {shorten(kinds)} is not supported; use Transformer, Pooling and optionally Normalize of "
            "sentence_transformers, in this order",
        )
    if entries[0].get("path") not in ("", "."):
        raise InvalidInput(field, f"{MODULES}: the network must be in the folder itself; save the model again")
    path = entries[1].get("path")
    if not isinstance(path, str) or not path or "/" in path or "\\" in path or path.startswith("."):
        raise InvalidInput(field, f"{MODULES}: the path {shorten(path)} is not a folder in the model's folder")
    return path, len(names) == 3


def _pooling(config: Mapping[str, object], name: str, width: int, field: str) -> Pooling:
    dimension = config.get("word_embedding_dimension", config.get("embedding_dimension", width))
    if dimension != width:
        raise InvalidInput(
            field, f"{name}: the pooling is for vectors of {shorten(dimension)} numbers, but the network's have {width}"
        )
    mode = config.get("pooling_mode")
    chosen = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
    if isinstance(mode, str) and not chosen:
        if mode in _MODES.values():
            return cast(Pooling, mode)
        chosen = [mode]
    if len(chosen) != 1 or chosen[0] not in _MODES:
        raise InvalidInput(field, f"{name}: pooling {shorten(chosen)} is not supported; use one of mean, cls and max")
    if config.get("include_prompt") is False:
        raise InvalidInput(field, f"{name}: include_prompt false is not supported; save the model without a prompt")
    return _MODES[chosen[0]]


def _prompt(config: Mapping[str, object], field: str) -> str:
    name, prompts = config.get("default_prompt_name"), config.get("prompts")
    if name is None:
        return ""
    prompt = prompts.get(name) if isinstance(prompts, dict) else None
    if not isinstance(prompt, str):
        raise InvalidInput(field, f"{PROMPTS}: there is no prompt {shorten(name)}")
    return prompt
