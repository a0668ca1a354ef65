"""What a sentence-transformers folder says: how the vectors of a text's tokens become its embedding.

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
class Sentence:
    """From token vectors to one embedding."""

    pooling: Pooling
    #: Make its Euclidean length 1.
    normalize: bool
    #: Tokens of a text that are used; ``None``: as many as the network can take.
    max_tokens: int | None
    #: Texts are made lower-case, before the tokenizer does what it does.
    lowercase: bool
    #: Stands before every text.
    prompt: str
    #: The files that say so.
    files: tuple[str, ...]


def read_sentence(files: Files, width: int, field: str) -> Sentence:
    """Look at ``modules.json`` and what it names.

    :param width: numbers in the vector of a token.
    :raises InvalidInput: there is a module, or a kind of pooling, that cannot be run.
    """
    pooled, normalize = _modules(read_json(files, MODULES, field), field)
    name = f"{pooled}/config.json"
    pooling = _pooling(read_object(files, name, field), name, width, field)
    told = read_optional(files, TRANSFORMER, field)
    limit = told.get("max_seq_length")
    if limit is not None and (not isinstance(limit, int) or limit < 1):
        raise InvalidInput(field, f"{TRANSFORMER}: max_seq_length {shorten(limit)} is no number of tokens")
    prompt = _prompt(read_optional(files, PROMPTS, field), field)
    used = (MODULES, name, *(file for file in (TRANSFORMER, PROMPTS) if file in files))
    return Sentence(pooling, normalize, limit, bool(told.get("do_lower_case")), prompt, used)


def _modules(modules: object, field: str) -> tuple[str, bool]:
    """The folder of the pooling, and whether embeddings are normalised."""
    entries = [entry for entry in modules if isinstance(entry, dict)] if isinstance(modules, list) else []
    kinds = [str(entry.get("type")) for entry in entries]
    plain = [kind.rpartition(".")[2] for kind in kinds if kind.startswith("sentence_transformers.")]
    if len(plain) != len(kinds) or plain not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        raise InvalidInput(
            field,
            f"{MODULES}: {shorten(kinds)}: can be run are Transformer, Pooling and Normalize of sentence_transformers, "
            "in this order; other modules are not",
        )
    if entries[0].get("path") not in ("", "."):
        raise InvalidInput(field, f"{MODULES}: the network must lie in the folder itself; save it anew")
    path = entries[1].get("path")
    if not isinstance(path, str) or not path or "/" in path or "\\" in path or path.startswith("."):
        raise InvalidInput(field, f"{MODULES}: the path {shorten(path)} is no folder in the model's")
    return path, len(plain) == 3


def _pooling(config: Mapping[str, object], name: str, width: int, field: str) -> Pooling:
    dimension = config.get("word_embedding_dimension", config.get("embedding_dimension", width))
    if dimension != width:
        raise InvalidInput(
            field, f"{name}: it is for vectors of {shorten(dimension)} numbers, the network's have {width}"
        )
    mode = config.get("pooling_mode")
    chosen = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
    if isinstance(mode, str) and not chosen:
        if mode in _MODES.values():
            return cast(Pooling, mode)
        chosen = [mode]
    if len(chosen) != 1 or chosen[0] not in _MODES:
        raise InvalidInput(field, f"{name}: pooling {shorten(chosen)} cannot be run; one of mean, cls and max can")
    if config.get("include_prompt") is False:
        raise InvalidInput(field, f"{name}: include_prompt false cannot be run; save the model without a prompt")
    return _MODES[chosen[0]]


def _prompt(config: Mapping[str, object], field: str) -> str:
    name, prompts = config.get("default_prompt_name"), config.get("prompts")
    if name is None:
        return ""
    prompt = prompts.get(name) if isinstance(prompts, dict) else None
    if not isinstance(prompt, str):
        raise InvalidInput(field, f"{PROMPTS}: there is no prompt {shorten(name)}")
    return prompt
