"""Model folders with small random weights, for each network and each kind of tokenizer, as the libraries save them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AlbertTokenizer,
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    BertTokenizer,
    CamembertTokenizer,
    MPNetTokenizer,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
    XLMRobertaTokenizer,
)

#: The most tokens of a text.
POSITIONS = 24
TEXTS = (
    "The Cat sat",
    " the dog ran under the blue moon .",
    "",
    "Café cats",
    "a [MASK] cat <mask> and </s> [SEP] extra",
    "一只 cat  unseen\twords",
    "the cat ran under the moon . " * 6,
)
#: Pairs of texts, of which none, one or both are cut.
TEXT_PAIRS = tuple(
    (TEXTS[first], TEXTS[second]) for first, second in ((0, 1), (2, 3), (6, 0), (1, 6), (6, 6), (5, 4), (2, 2))
)
WORDS = ("the", "The", "a", "cat", "Cat", "dog", "sat", "ran", "under", "moon", "blue", "café", "cafe", "and", "extra")
SPECIAL_BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SPECIAL_ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
LETTERS = "abcdefghijklmnopqrstuvwxyzTC.é一只"

Settings = dict[str, Any]


def _word_pieces(special: Sequence[str]) -> dict[str, int]:
    pieces = [*special, *WORDS, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    return {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}


def _unigrams(special: Sequence[str]) -> list[tuple[str, float]]:
    pieces = [*(f"▁{word}" for word in WORDS), *WORDS, "▁", *LETTERS]
    scores = [-2.0 - 0.1 * number for number in range(len(WORDS) * 2)] + [-9.0] * (1 + len(LETTERS))
    return [*((token, 0.0) for token in special), *zip(pieces, scores, strict=True)]


def _byte_pairs() -> tuple[dict[str, int], list[tuple[str, str]]]:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("c", "a"), ("ca", "t"), ("Ġ", "cat"), ("Ġ", "c"), ("T", "h")]
    pieces = [*SPECIAL_ROBERTA, *alphabet, *("".join(pair) for pair in merges)]
    return {piece: index for index, piece in enumerate(pieces)}, merges


def _plain(special: Sequence[str] = SPECIAL_BERT) -> Any:
    """A tokenizer without a class of its own."""
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=BertTokenizer(vocab=_word_pieces(special)).backend_tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def _without_class(model: models.Model, lowercase: bool, pre_tokenizer: pre_tokenizers.PreTokenizer) -> Any:
    """A tokenizer of the package tokenizers, as programs train one."""
    tokenizer = Tokenizer(model)
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


def _bpe() -> Any:
    pieces = [*SPECIAL_BERT, *LETTERS, "th", "the", "ca", "cat", "un", "Th"]
    merges = [("t", "h"), ("th", "e"), ("c", "a"), ("ca", "t"), ("u", "n"), ("T", "h")]
    model = models.BPE({piece: index for index, piece in enumerate(pieces)}, merges, unk_token="[UNK]")
    return _without_class(model, lowercase=False, pre_tokenizer=pre_tokenizers.Whitespace())


def _word_level() -> Any:
    pieces = list(dict.fromkeys([*SPECIAL_BERT, *WORDS]))
    model = models.WordLevel({piece: index for index, piece in enumerate(pieces)}, unk_token="[UNK]")
    return _without_class(model, lowercase=True, pre_tokenizer=pre_tokenizers.WhitespaceSplit())


def _roberta() -> Any:
    vocabulary, merges = _byte_pairs()
    return RobertaTokenizer(vocab=vocabulary, merges=merges)  # type: ignore[arg-type]


TOKENIZERS: dict[str, Callable[[], Any]] = {
    "wordpiece": lambda: BertTokenizer(vocab=_word_pieces(SPECIAL_BERT)),
    "mpnet": lambda: MPNetTokenizer(vocab=_word_pieces([*SPECIAL_ROBERTA, "[UNK]"])),
    "byte-bpe": _roberta,
    "albert": lambda: AlbertTokenizer(vocab=_unigrams(["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"])),
    "camembert": lambda: CamembertTokenizer(
        vocab=_unigrams(["<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED", "<s>", "</s>", "<mask>"])
    ),
    "unigram": lambda: XLMRobertaTokenizer(vocab=_unigrams(SPECIAL_ROBERTA)),
    "plain": _plain,
    "bpe": _bpe,
    "word-level": _word_level,
}
#: Each network with the tokenizer that it usually has, and some with another one.
PAIRS = (
    ("albert", "albert"),
    ("bert", "wordpiece"),
    ("bert", "plain"),
    ("bert", "unigram"),
    ("bert", "bpe"),
    ("camembert", "camembert"),
    ("distilbert", "wordpiece"),
    ("distilbert", "plain"),
    ("electra", "wordpiece"),
    ("electra", "word-level"),
    ("mpnet", "mpnet"),
    ("roberta", "byte-bpe"),
    ("xlm-roberta", "unigram"),
)
#: What a folder is for: the embedding of a text, the labels of a text, or the score of a pair of texts.
FolderKind = Literal["sentence", "labels", "pairs"]
FOLDER_KINDS: tuple[FolderKind, ...] = ("sentence", "labels", "pairs")
_OFFSET = ("camembert", "mpnet", "roberta", "xlm-roberta")


def save_folder(folder: Path, model_type: str, tokenizer_kind: str, kind: FolderKind, labels: int = 0) -> Path:
    """A folder with a network of two layers, 16 wide, and its tokenizer; and what sentence-transformers adds.

    :param labels: the outputs of a head. Default: 3 for labels, 1 for pairs.
    """
    torch.manual_seed(0)
    tokenizer = TOKENIZERS[tokenizer_kind]()
    tokenizer.model_max_length = POSITIONS
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    if model_type == "distilbert":
        sizes = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24}
    if model_type in ("albert", "electra"):
        sizes["embedding_size"] = 12
    pad = tokenizer.pad_token_id
    more = {} if kind == "sentence" else {"num_labels": labels or (3 if kind == "labels" else 1)}
    # Some tokens of special tokens are added only when a test states other ones.
    config = AutoConfig.for_model(
        model_type,
        **sizes,
        **more,
        vocab_size=len(tokenizer) + 8,
        max_position_embeddings=POSITIONS + (pad + 1 if model_type in _OFFSET else 0),
        pad_token_id=pad,
    )
    made = AutoModel if kind == "sentence" else AutoModelForSequenceClassification
    network: torch.nn.Module = made.from_config(config)  # type: ignore[no-untyped-call]
    for parameter in network.parameters():  # far from each other, so that texts differ in their outputs
        torch.nn.init.normal_(parameter, std=0.3)
    network.save_pretrained(folder)  # type: ignore[operator]
    tokenizer.save_pretrained(folder)
    if kind == "sentence":
        _save_sentence(folder)
    elif kind == "pairs":
        _save_pairs(folder)
    return folder


def _modules(*kinds: tuple[str, str]) -> list[dict[str, object]]:
    return [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, path) in enumerate(kinds)
    ]


def _save_pairs(folder: Path) -> None:
    transformer = {
        "transformer_task": "sequence-classification",
        "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
        "module_output_name": "scores",
    }
    _write(
        folder,
        ("modules.json", _modules(("Transformer", ""))),
        ("sentence_bert_config.json", transformer),
        ("config_sentence_transformers.json", {"model_type": "CrossEncoder", "prompts": {"query": "the cat "}}),
    )


def _save_sentence(folder: Path) -> None:
    _write(
        folder,
        ("modules.json", _modules(("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize"))),
        ("1_Pooling/config.json", {"word_embedding_dimension": 16, "pooling_mode": "mean"}),
        ("2_Normalize/config.json", {}),
        ("sentence_bert_config.json", {"max_seq_length": 20, "do_lower_case": False}),
        ("config_sentence_transformers.json", {"prompts": {"query": "the cat "}, "default_prompt_name": None}),
    )


def _write(folder: Path, *files: tuple[str, object]) -> None:
    for name, content in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))


def changed(base: Path, folder: Path, file: str, key: str, value: object) -> Path:
    """A copy of a folder with one key of one file set; in ``modules.json`` that of the last module."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, folder, copy_function=_link)
    path = folder / file
    values = json.loads(path.read_text()) if path.exists() else {}
    (values[-1] if isinstance(values, list) else values)[key] = value
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(json.dumps(values))
    return folder


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)
