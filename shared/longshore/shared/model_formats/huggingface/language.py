"""The description of a language model in a folder, which producers check and workers run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.adapter import is_adapter_file
from longshore.shared.model_formats.huggingface.architectures import ARCHITECTURES, Architecture
from longshore.shared.model_formats.huggingface.chat_templates import ChatTemplates, read_chat_templates
from longshore.shared.model_formats.huggingface.files import Files, read_object
from longshore.shared.model_formats.huggingface.generation import GENERATION, GenerationConfig, read_generation
from longshore.shared.model_formats.huggingface.keys import REFUSED_FILES
from longshore.shared.model_formats.huggingface.language_keys import (
    DECODER_KEYS,
    ENCODER_DECODER_KEYS,
    LANGUAGE_TOKENIZER_KEYS,
)
from longshore.shared.model_formats.huggingface.language_sizes import check_language_sizes, read_positions
from longshore.shared.model_formats.huggingface.model import TOKENIZER_FILES, read_tokenizer_config
from longshore.shared.model_formats.huggingface.network import CONFIG
from longshore.shared.model_formats.huggingface.tensors import find_weights
from longshore.shared.specs.generate import PROMPT
from longshore.shared.specs.generation_settings import GenerationSettings
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.validation import shorten
from longshore.shared.store.manifest import Manifest

#: The signature of every language model.
SIGNATURE: Final = Signature(features=(Feature(name=PROMPT, kind="text"),), task="generation", target="text")
#: Ends of the names of classes that generate text.
_CLASSES = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
#: Classes of the library transformers that read the tokenizer.json of decoders, without the suffix "Fast".
TOKENIZER_CLASSES = (
    "BartTokenizer",
    "CodeGenTokenizer",
    "CohereTokenizer",
    "GPT2Tokenizer",
    "GPTNeoXTokenizer",
    "GemmaTokenizer",
    "LlamaTokenizer",
    "MBart50Tokenizer",
    "MBartTokenizer",
    "PegasusTokenizer",
    "PreTrainedTokenizer",
    "Qwen2Tokenizer",
    "T5Tokenizer",
    "TokenizersBackend",
)


@dataclass(frozen=True)
class LanguageFolder:
    """A network that generates text, with its tokenizer."""

    architecture: Architecture
    #: The content of ``config.json``.
    config: Mapping[str, object]
    #: The content of ``tokenizer_config.json``.
    tokenizer_config: Mapping[str, object]
    #: Tokens of prompt and text together, at most.
    positions: int
    generation: GenerationConfig
    templates: ChatTemplates
    #: The safetensors files, by their path in the folder.
    weights: tuple[str, ...]
    #: Numbers in them.
    numbers: int
    #: Every file that is needed, sorted.
    files: tuple[str, ...]


def is_language_model(config: Mapping[str, object]) -> bool:
    """Whether ``config.json`` is that of a network that generates text."""
    architectures = config.get("architectures")
    names = architectures if isinstance(architectures, list) else []
    return any(isinstance(name, str) and name.endswith(_CLASSES) for name in names)


def read_language_model(files: Files, field: str) -> LanguageFolder:
    """Inspect the files of a folder, without running anything in them.

    :param field: names the folder in an error.
    :raises InvalidInput: a file is missing, damaged, or needs something that is not supported; names the file.
    """
    for name, reason in REFUSED_FILES.items():
        if name in files:
            raise InvalidInput(field, f"there is a file {name}: {reason}")
    config = read_object(files, CONFIG, field)
    model_type = config.get("model_type")
    architecture = ARCHITECTURES.get(model_type) if isinstance(model_type, str) else None
    if architecture is None:
        raise InvalidInput(
            field, f"{CONFIG}: model_type {shorten(model_type)} is not one of {', '.join(ARCHITECTURES)}"
        )
    (ENCODER_DECODER_KEYS if architecture.encoder_decoder else DECODER_KEYS).check(config, CONFIG, field)
    if config.get("architectures") != [architecture.name]:
        raise InvalidInput(
            field,
            f"{CONFIG}: architectures {shorten(config.get('architectures'))} is not the one of {model_type}, "
            f"{architecture.name}",
        )
    tokenizer_config = read_tokenizer_config(files, config, LANGUAGE_TOKENIZER_KEYS, TOKENIZER_CLASSES, field)
    weights, tensors = find_weights(files, field)
    check_language_sizes(architecture, config, tensors, field)
    templates = read_chat_templates(files, tokenizer_config, field)
    used = {CONFIG, *weights, *templates.files, *(name for name in (*TOKENIZER_FILES, GENERATION) if name in files)}
    return LanguageFolder(
        architecture,
        config,
        tokenizer_config,
        read_positions(config, field),
        read_generation(files, config, field, encoder_decoder=architecture.encoder_decoder),
        templates,
        tuple(name for name in weights if name.endswith(".safetensors")),
        sum(tensor.size for tensor in tensors.values()),
        tuple(sorted(used)),
    )


def check_settings(settings: GenerationSettings, folder: LanguageFolder, field: str) -> None:
    """Compare settings of the engine with the network.

    :param field: the prefix of the field name in an error.
    :raises InvalidInput: there are more tokens than positions.
    """
    if folder.architecture.relative:
        return
    if settings.max_model_len is not None and settings.max_model_len > folder.positions:
        raise InvalidInput(
            f"{field}.max_model_len", f"{settings.max_model_len}: the network has {folder.positions} positions"
        )


def base_key(manifest: Manifest) -> str:
    """The key of the language model under a version: a digest over its files without those of an adapter, and over the
    settings of the engine. Versions with the same key can share one loaded model.
    """
    files = {path: blob.digest for path, blob in manifest.blobs.items() if not is_adapter_file(path)}
    document = {"files": files, "generation": manifest.generation.model_dump()}
    return f"sha256:{hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()}"
