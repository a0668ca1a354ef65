"""The description of a text model in a folder, which producers check and workers run."""

from __future__ import annotations

from dataclasses import dataclass

from longshore.shared.datasets.columns.arrays import TEXT
from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.files import Files, read_object, read_optional
from longshore.shared.model_formats.huggingface.network import CONFIG, NetworkConfig, read_network
from longshore.shared.model_formats.huggingface.sentence import MODULES, SentenceConfig, read_sentence
from longshore.shared.model_formats.huggingface.tensors import find_weights
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.tokenizer import TOKENIZER_FILE
from longshore.shared.specs.validation import shorten

TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS = TOKENIZER_FILE, "tokenizer_config.json", "special_tokens_map.json"


@dataclass(frozen=True)
class TextModel:
    """A network over the tokens of a text."""

    network: NetworkConfig
    #: How an embedding is computed; ``None`` if the network has a head.
    sentence: SentenceConfig | None
    #: How many tokens of a text are used, including special tokens.
    max_tokens: int
    #: Whether a longer text is cut at its start rather than at its end.
    keep_end: bool
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
    config = read_object(files, CONFIG, field)
    network = read_network(config, field, encoder=MODULES in files)
    sentence = read_sentence(files, network.width, field) if MODULES in files else None
    read_object(files, TOKENIZER, field)
    tokenizer_config = read_optional(files, TOKENIZER_CONFIG, field)
    if tokenizer_config.get("auto_map") is not None:
        raise InvalidInput(field, f"{TOKENIZER_CONFIG} has 'auto_map': code that is not Longshore's own is never run")
    weights = find_weights(files, field)
    signature = _signature(network)
    signature.check(field)
    used = {CONFIG, TOKENIZER, *weights, *(sentence.files if sentence else ())}
    used |= {name for name in (TOKENIZER_CONFIG, SPECIAL_TOKENS) if name in files}
    return TextModel(
        network,
        sentence,
        _max_tokens(network, sentence, tokenizer_config.get("model_max_length"), field),
        tokenizer_config.get("truncation_side") == "left",
        signature,
        tuple(name for name in weights if name.endswith(".safetensors")),
        tuple(sorted(used)),
    )


def _max_tokens(network: NetworkConfig, sentence: SentenceConfig | None, tokenizer: object, field: str) -> int:
    """The smallest of the limits of network, tokenizer and sentence-transformers."""
    limits = [network.positions]
    if sentence is not None and sentence.max_tokens is not None:
        limits.append(sentence.max_tokens)
    # Tokenizers without a limit have 1e30 here.
    if isinstance(tokenizer, int | float) and not isinstance(tokenizer, bool):
        limits.append(int(min(tokenizer, network.positions)))
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
