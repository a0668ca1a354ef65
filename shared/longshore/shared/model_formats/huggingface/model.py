"""The description of a text model in a folder, which producers check and workers run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from longshore.shared.datasets.columns.arrays import TEXT
from longshore.shared.errors import InvalidInput
from longshore.shared.model_formats.huggingface.cross_encoder import (
    CrossEncoderConfig,
    is_cross_encoder,
    read_cross_encoder,
)
from longshore.shared.model_formats.huggingface.files import Files, read_object, read_optional
from longshore.shared.model_formats.huggingface.keys import (
    REFUSED_FILES,
    SPECIAL_TOKENS_KEYS,
    TOKENIZER_KEYS,
    FileKeys,
)
from longshore.shared.model_formats.huggingface.network import CONFIG, NetworkConfig, read_network
from longshore.shared.model_formats.huggingface.sentence import (
    MODULES,
    SentenceConfig,
    read_sentence,
)
from longshore.shared.model_formats.huggingface.sizes import check_sizes
from longshore.shared.model_formats.huggingface.tensors import find_weights
from longshore.shared.model_formats.tokenizer_limits import tokenizer_fault
from longshore.shared.specs.signature import Feature, Signature
from longshore.shared.specs.tokenizer import TOKENIZER_FILE
from longshore.shared.specs.validation import shorten

TOKENIZER, TOKENIZER_CONFIG, SPECIAL_TOKENS = TOKENIZER_FILE, "tokenizer_config.json", "special_tokens_map.json"
#: Ids of special tokens, in folders of old versions of transformers.
ADDED_TOKENS = "added_tokens.json"
#: The column of the second text of a pair, under the name that transformers has for it.
SECOND_TEXT = "text_pair"
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
    #: How a pair of texts is scored; ``None`` if the network reads single texts.
    pairs: CrossEncoderConfig | None
    #: How many tokens of a text, or of a pair, are used, including special tokens.
    max_tokens: int
    signature: Signature
    #: The safetensors files, by their path in the folder.
    weights: tuple[str, ...]
    #: Every file that is needed, sorted.
    files: tuple[str, ...]

    @property
    def prompt(self) -> str:
        """A prefix of every text, or of the first one of every pair."""
        settings = self.sentence or self.pairs
        return "" if settings is None else settings.prompt

    @property
    def lowercase(self) -> bool:
        """Whether texts are converted to lower case before tokenization."""
        settings = self.sentence or self.pairs
        return settings is not None and settings.lowercase


def read_model(files: Files, field: str) -> TextModel:
    """Inspect the files of a folder, without running anything in them.

    :param field: names the folder in an error.
    :raises InvalidInput: a file is missing, damaged, or needs something that is not supported; names the file.
    """
    for name, reason in REFUSED_FILES.items():
        if name in files:
            raise InvalidInput(field, f"there is a file {name}: {reason}")
    config = read_object(files, CONFIG, field)
    paired = is_cross_encoder(files, config, field)
    network = read_network(config, field, encoder=MODULES in files and not paired)
    sentence = read_sentence(files, network.width, field) if network.head == "encoder" else None
    if paired and network.head == "tokens":
        raise InvalidInput(field, f"{CONFIG}: a cross-encoder has no ...ForTokenClassification")
    pairs = read_cross_encoder(files, config, len(network.labels), field) if paired else None
    settings = sentence or pairs
    tokenizer_config = read_tokenizer_config(files, config, TOKENIZER_KEYS, TOKENIZER_CLASSES, field)
    weights, tensors = find_weights(files, field)
    check_sizes(network, tensors, field)
    signature = _signature(network, pairs)
    signature.check(field)
    used = {CONFIG, TOKENIZER, *weights, *(name for name in (settings.files if settings else ()) if name in files)}
    used |= {name for name in TOKENIZER_FILES if name in files}
    return TextModel(
        network,
        sentence,
        pairs,
        _max_tokens(network, None if settings is None else settings.max_tokens, tokenizer_config, field),
        signature,
        tuple(name for name in weights if name.endswith(".safetensors")),
        tuple(sorted(used)),
    )


def check_tokenizer(files: Files, field: str) -> None:
    """Check the limits of ``tokenizer.json``.

    :param field: names the folder in an error.
    :raises InvalidInput: it is missing or damaged, or could make a text much longer.
    """
    fault = tokenizer_fault(read_object(files, TOKENIZER, field))
    if fault is not None:
        raise InvalidInput(field, f"{TOKENIZER}: {fault}")


def read_tokenizer_config(
    files: Files, config: Mapping[str, object], keys: FileKeys, classes: Collection[str], field: str
) -> dict[str, object]:
    """Check the files of the tokenizer, and return its configuration.

    :param config: the content of ``config.json``.
    :param keys: what is done with each key of the tokenizer's configuration.
    :param classes: the classes that it may name, without the suffix "Fast".
    :raises InvalidInput: a file is missing or damaged, or a setting is not supported.
    """
    check_tokenizer(files, field)
    values = read_optional(files, TOKENIZER_CONFIG, field)
    if values.get("auto_map") is not None:
        raise InvalidInput(field, f"{TOKENIZER_CONFIG} has 'auto_map': code that is not Longshore's own is never run")
    keys.check(values, TOKENIZER_CONFIG, field)
    SPECIAL_TOKENS_KEYS.check(read_optional(files, SPECIAL_TOKENS, field), SPECIAL_TOKENS, field)
    read_optional(files, ADDED_TOKENS, field)
    name = values.get("tokenizer_class") or config.get("tokenizer_class")
    if name is not None and (not isinstance(name, str) or name.removesuffix("Fast") not in classes):
        raise InvalidInput(
            field,
            f"{TOKENIZER_CONFIG}: tokenizer_class {shorten(name)} is not supported; save the tokenizer as a "
            "PreTrainedTokenizerFast",
        )
    return values


def _max_tokens(network: NetworkConfig, limit: int | None, tokenizer: Mapping[str, object], field: str) -> int:
    """The limit of sentence-transformers, or else of the tokenizer, but at most the positions of the network."""
    limits = [network.positions]
    named = tokenizer["model_max_length"] if "model_max_length" in tokenizer else tokenizer.get("max_len")
    if limit is not None:
        limits.append(limit)
    # Tokenizers without a limit have 1e30 here.
    elif isinstance(named, int | float) and not isinstance(named, bool):
        limits.append(int(min(named, network.positions)))
    if min(limits) < 3:
        raise InvalidInput(field, f"texts of at most {shorten(min(limits))} tokens leave no room for words")
    return min(limits)


def _signature(network: NetworkConfig, pairs: CrossEncoderConfig | None) -> Signature:
    names = (TEXT,) if pairs is None else (TEXT, SECOND_TEXT)
    features = tuple(Feature(name=name, kind="text") for name in names)
    if network.head == "encoder":
        return Signature(features=features, task="embedding", target="embedding")
    if network.head == "tokens":
        return Signature(features=features, task="tokens", target="spans", labels=network.labels)
    outputs = len(network.labels)
    if network.head == "regression" or (pairs is not None and outputs == 1):
        # As in the pipeline of transformers, unless it is a cross-encoder.
        sigmoid = network.config.get("problem_type") != "regression" if pairs is None else pairs.sigmoid
        return Signature(
            features=features,
            task="regression",
            target="value",
            target_width=None if outputs == 1 else outputs,
            activation="sigmoid" if sigmoid else None,
        )
    multilabel = network.head == "multilabel" or (pairs is not None and pairs.sigmoid)
    return Signature(
        features=features,
        task="multilabel" if multilabel else "classification",
        target="labels" if multilabel else "label",
        labels=network.labels,
    )
