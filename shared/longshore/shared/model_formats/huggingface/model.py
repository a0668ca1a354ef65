"""The description of a text model in a folder, which producers check and workers run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from longshore.shared.datasets.columns.arrays import TEXT
from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.files import Files, read_object, read_optional
from longshore.shared.model_formats.huggingface.keys import REFUSED_FILES, SPECIAL_TOKENS_KEYS, TOKENIZER_KEYS
from longshore.shared.model_formats.huggingface.network import CONFIG, NetworkConfig, read_network
from longshore.shared.model_formats.huggingface.sentence import (
    MODULES,
    PROMPTS,
    SentenceConfig,
    check_model_type,
    read_sentence,
)
from longshore.shared.model_formats.huggingface.tensors import find_weights
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.tokenizer import TOKENIZER_FILE
from longshore.shared.specs.validation import shorten

TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS = TOKENIZER_FILE, "tokenizer_config.json", "special_tokens_map.json"
#: Ids of special tokens, in folders of old versions of transformers.
ADDED_TOKENS = "added_tokens.json"
#: The files that define the tokenizer.
TOKENIZER_FILES = (TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS, ADDED_TOKENS)
#: Classes of the library transformers that read tokenizer.json, without the suffix "Fast" that some versions write.
TOKENIZER_CLASSES = (
    "AlbertTokenizer",
    "BartTokenizer",
    "BertTokenizer",
    "CamembertTokenizer",
    "DistilBertTokenizer",
    "ElectraTokenizer",
    "MPNetTokenizer",
    "PreTrainedTokenizer",
    "RobertaTokenizer",
    "TokenizersBackend",
    "XLMRobertaTokenizer",
)


@dataclass(frozen=True)
class TextModel:
    """A network over the tokens of a text."""

    network: NetworkConfig
    #: How an embedding is computed; ``None`` if the network has a head.
    sentence: SentenceConfig | None
    #: How many tokens of a text are used, including special tokens.
    max_tokens: int
    signature: Signature
    #: The safetensors files, by their path in the folder.
    weights: tuple[str, ...]
    #: Every file that is needed, sorted.
    files: tuple[str, ...]


def read_model(files: Files, field: str) -> TextModel:
    """Inspect the files of a folder, without running anything in them.

    :param field: names the folder in an error.
    :raises InvalidInput: a file is missing, damaged, or needs something that is not supported; names the file.
    """
    for name, reason in REFUSED_FILES.items():
        if name in files:
            raise InvalidInput(field, f"there is a file {name}: {reason}")
    config = read_object(files, CONFIG, field)
    check_model_type(read_optional(files, PROMPTS, field), field)
    network = read_network(config, field, encoder=MODULES in files)
    sentence = read_sentence(files, network.width, field) if MODULES in files else None
    tokenizer_config = _tokenizer(files, config, field)
    weights = find_weights(files, field)
    signature = _signature(network)
    signature.check(field)
    used = {CONFIG, TOKENIZER, *weights, *(sentence.files if sentence else ())}
    used |= {name for name in TOKENIZER_FILES if name in files}
    return TextModel(
        network,
        sentence,
        _max_tokens(network, sentence, tokenizer_config, field),
        signature,
        tuple(name for name in weights if name.endswith(".safetensors")),
        tuple(sorted(used)),
    )


def _tokenizer(files: Files, config: Mapping[str, object], field: str) -> dict[str, object]:
    """Check the files of the tokenizer, and return its configuration."""
    read_object(files, TOKENIZER, field)
    values = read_optional(files, TOKENIZER_CONFIG, field)
    if values.get("auto_map") is not None:
        raise InvalidInput(field, f"{TOKENIZER_CONFIG} has 'auto_map': code that is not Longshore's own is never run")
    TOKENIZER_KEYS.check(values, TOKENIZER_CONFIG, field)
    SPECIAL_TOKENS_KEYS.check(read_optional(files, SPECIAL_TOKENS, field), SPECIAL_TOKENS, field)
    read_optional(files, ADDED_TOKENS, field)
    name = values.get("tokenizer_class") or config.get("tokenizer_class")
    if name is not None and (not isinstance(name, str) or name.removesuffix("Fast") not in TOKENIZER_CLASSES):
        raise InvalidInput(
            field,
            f"{TOKENIZER_CONFIG}: tokenizer_class {shorten(name)} is not supported; save the tokenizer as a "
            "PreTrainedTokenizerFast",
        )
    return values


def _max_tokens(
    network: NetworkConfig, sentence: SentenceConfig | None, tokenizer: Mapping[str, object], field: str
) -> int:
    """The limit of sentence-transformers, or else of the tokenizer, but at most the positions of the network."""
    limits = [network.positions]
    named = tokenizer["model_max_length"] if "model_max_length" in tokenizer else tokenizer.get("max_len")
    if sentence is not None and sentence.max_tokens is not None:
        limits.append(sentence.max_tokens)
    # Tokenizers without a limit have 1e30 here.
    elif isinstance(named, int | float) and not isinstance(named, bool):
        limits.append(int(min(named, network.positions)))
    if min(limits) < 3:
        raise InvalidInput(field, f"texts of at most {shorten(min(limits))} tokens leave no room for words")
    return min(limits)


def _signature(network: NetworkConfig) -> Signature:
    text = (Feature(name=TEXT, kind="text"),)
    if network.head == "encoder":
        return Signature(features=text, task="embedding", target="embedding")
    if network.head == "regression":
        return Signature(features=text, task="regression", target="value")
    return Signature(features=text, task="classification", target="label", labels=network.labels)
