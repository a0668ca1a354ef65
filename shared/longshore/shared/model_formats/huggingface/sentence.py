"""Reads a sentence-transformers folder: how the vectors of a text's tokens are combined to its embedding.

https://sbert.net/docs/package_reference/sentence_transformer/models.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.files import Files, read_json, read_optional
from longshore.shared.model_formats.huggingface.keys import MODULE_KEYS, PROMPT_KEYS, SENTENCE_KEYS, FileKeys
from longshore.shared.model_formats.huggingface.sentence_modules import (
    DenseConfig,
    PoolingConfig,
    SentenceLayer,
    read_layer,
    read_pooling,
)
from longshore.shared.specs.validation import shorten

MODULES = "modules.json"
#: The settings of the module Transformer, under the names of all versions of the library. The first one counts.
TRANSFORMERS = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
PROMPTS = "config_sentence_transformers.json"

#: No embedding model has more modules.
_MAX_MODULES = 32
#: Where the modules are in the versions of the library.
_PACKAGES = (
    "sentence_transformers.models",
    *(
        f"sentence_transformers.{package}"
        for name in ("Transformer", "Pooling", "Dense", "Normalize")
        for package in (
            f"models.{name}",
            f"base.modules.{name.lower()}",
            f"sentence_transformer.modules.{name.lower()}",
        )
    ),
    "sentence_transformers.base.modules",
    "sentence_transformers.sentence_transformer.modules",
)


@dataclass(frozen=True)
class SentenceConfig:
    """How an embedding is computed from token vectors."""

    pooling: PoolingConfig
    #: What follows the pooling, in order.
    layers: tuple[SentenceLayer, ...]
    #: How many tokens of a text are used; ``None`` for the network's maximum.
    max_tokens: int | None
    #: Whether texts are converted to lower case before tokenization.
    lowercase: bool
    #: How many numbers of an embedding are returned; ``None`` for all. Applied after the layers.
    dimensions: int | None
    #: A prefix of every text.
    prompt: str
    #: The files that this was read from.
    files: tuple[str, ...]


@dataclass(frozen=True)
class TransformerSettings:
    """The settings of the module Transformer."""

    #: Their file. It may be missing.
    name: str
    values: Mapping[str, object]
    #: How many tokens of a text are used; ``None`` for the network's maximum.
    max_tokens: int | None
    #: Whether texts are converted to lower case before tokenization.
    lowercase: bool


def read_transformer(files: Files, keys: FileKeys, field: str) -> TransformerSettings:
    """Read the settings of the module Transformer.

    :param keys: what is done with each key.
    :raises InvalidInput: a setting is not supported.
    """
    # The library goes on to the next name if a file is missing or has no keys.
    name = next((file for file in TRANSFORMERS if read_optional(files, file, field)), TRANSFORMERS[0])
    settings = read_optional(files, name, field)
    keys.check(settings, name, field)
    limit = settings.get("max_seq_length")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise InvalidInput(field, f"{name}: max_seq_length {shorten(limit)} is not a number of tokens")
    return TransformerSettings(name, settings, limit, bool(settings.get("do_lower_case")))


def read_sentence(files: Files, width: int, field: str) -> SentenceConfig:
    """Read ``modules.json`` and the files that it refers to.

    :param width: the size of a token's vector.
    :raises InvalidInput: a module or a kind of pooling is not supported.
    """
    (_, path), *others = _modules(read_json(files, MODULES, field), field)
    pooling = read_pooling(files, path, width, field)
    width *= len(pooling.modes)
    layers: list[SentenceLayer] = []
    used = [MODULES, f"{path}/config.json"]
    for kind, path in others:
        layer = read_layer(files, kind, path, width, field)
        layers.append(layer)
        used.append(f"{path}/config.json")
        if isinstance(layer, DenseConfig):
            width = layer.outputs
            used.append(layer.weights)
    transformer = read_transformer(files, SENTENCE_KEYS, field)
    prompts = read_optional(files, PROMPTS, field)
    PROMPT_KEYS.check(prompts, PROMPTS, field)
    dimensions = prompts.get("truncate_dim")
    if dimensions is not None and (
        not isinstance(dimensions, int) or isinstance(dimensions, bool) or not 0 < dimensions <= width
    ):
        raise InvalidInput(field, f"{PROMPTS}: truncate_dim {shorten(dimensions)} is not a number from 1 to {width}")
    return SentenceConfig(
        pooling,
        tuple(layers),
        transformer.max_tokens,
        transformer.lowercase,
        dimensions,
        default_prompt(prompts, field),
        tuple(file for file in (*used, transformer.name, PROMPTS) if file in files),
    )


def module_kinds(modules: object, field: str) -> list[str]:
    """The classes of the modules of sentence-transformers in ``modules.json``; the first one is in the folder itself.

    :raises InvalidInput: a module is of another package.
    """
    entries = _entries(modules)
    kinds = [str(entry.get("type")) for entry in entries]
    names = [kind.rpartition(".")[2] for kind in kinds if kind.rpartition(".")[0] in _PACKAGES]
    if not names or len(names) != len(kinds):
        raise _unsupported(kinds, field)
    if len({str(entry.get("name")) for entry in entries}) < len(entries):
        raise InvalidInput(field, f"{MODULES}: two modules have the same name, so one would replace the other")
    if entries[0].get("path") not in ("", "."):
        raise InvalidInput(field, f"{MODULES}: the network must be in the folder itself; save the model again")
    return names


def _entries(modules: object) -> list[dict[str, object]]:
    return [entry for entry in modules if isinstance(entry, dict)] if isinstance(modules, list) else []


def _unsupported(kinds: list[str], field: str) -> InvalidInput:
    return InvalidInput(
        field,
        f"{MODULES}: {shorten(kinds)} is not supported; use Transformer, Pooling and then any of Dense and "
        "Normalize of sentence_transformers",
    )


def _modules(modules: object, field: str) -> list[tuple[str, str]]:
    """The class and the folder of every module after the network; the first one is the pooling."""
    entries = _entries(modules)
    kinds = module_kinds(modules, field)
    if kinds[:2] != ["Transformer", "Pooling"] or not {"Dense", "Normalize"}.issuperset(kinds[2:]):
        raise _unsupported([str(entry.get("type")) for entry in entries], field)
    if len(kinds) > _MAX_MODULES:
        raise InvalidInput(field, f"{MODULES} has {len(kinds)} modules, more than {_MAX_MODULES}; join dense layers")
    for entry in entries:
        MODULE_KEYS.check(entry, MODULES, field)
    paths: list[str] = []
    for entry in entries[1:]:
        path = entry.get("path")
        if not isinstance(path, str) or not path or "/" in path or "\\" in path or path.startswith("."):
            raise InvalidInput(field, f"{MODULES}: the path {shorten(path)} is not a folder in the model's folder")
        paths.append(path)
    return list(zip(kinds[1:], paths, strict=True))


def default_prompt(config: Mapping[str, object], field: str) -> str:
    """The prefix of every text that ``config_sentence_transformers.json`` states."""
    name, prompts = config.get("default_prompt_name"), config.get("prompts")
    if name is None:
        return ""
    prompt = prompts.get(name) if isinstance(prompts, dict) and isinstance(name, str) else None
    if not isinstance(prompt, str):
        raise InvalidInput(field, f"{PROMPTS}: there is no prompt {shorten(name)}")
    return prompt
