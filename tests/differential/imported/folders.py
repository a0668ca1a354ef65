"""Model folders with small random weights, for each network and each kind of tokenizer, as the libraries save them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import pre_tokenizers
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
}
#: Each network with the tokenizer that it usually has, and some with another one.
PAIRS = (
    ("albert", "albert"),
    ("bert", "wordpiece"),
    ("bert", "plain"),
    ("bert", "unigram"),
    ("camembert", "camembert"),
    ("distilbert", "wordpiece"),
    ("electra", "wordpiece"),
    ("mpnet", "mpnet"),
    ("roberta", "byte-bpe"),
    ("xlm-roberta", "unigram"),
)
_OFFSET = ("camembert", "mpnet", "roberta", "xlm-roberta")


def save_folder(folder: Path, model_type: str, kind: str, *, head: bool) -> Path:
    """A folder with a network of two layers, 16 wide, and its tokenizer; without a head also its pooling."""
    torch.manual_seed(0)
    tokenizer = TOKENIZERS[kind]()
    tokenizer.model_max_length = POSITIONS
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    if model_type == "distilbert":
        sizes = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24}
    if model_type in ("albert", "electra"):
        sizes["embedding_size"] = 12
    pad = tokenizer.pad_token_id
    more = {"num_labels": 3} if head else {}
    # Some tokens of special tokens are added only when a test states other ones.
    config = AutoConfig.for_model(
        model_type,
        **sizes,
        **more,
        vocab_size=len(tokenizer) + 8,
        max_position_embeddings=POSITIONS + (pad + 1 if model_type in _OFFSET else 0),
        pad_token_id=pad,
    )
    made = AutoModelForSequenceClassification if head else AutoModel
    network: torch.nn.Module = made.from_config(config)  # type: ignore[no-untyped-call]
    for parameter in network.parameters():  # far from each other, so that texts differ in their outputs
        torch.nn.init.normal_(parameter, std=0.3)
    network.save_pretrained(folder)  # type: ignore[operator]
    tokenizer.save_pretrained(folder)
    if not head:
        _save_modules(folder)
    return folder


def _save_modules(folder: Path) -> None:
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, path) in enumerate(
            (("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize"))
        )
    ]
    for name, content in (
        ("modules.json", modules),
        ("1_Pooling/config.json", {"word_embedding_dimension": 16, "pooling_mode": "mean"}),
        ("2_Normalize/config.json", {}),
        ("sentence_bert_config.json", {"max_seq_length": 20, "do_lower_case": False}),
        ("config_sentence_transformers.json", {"prompts": {"query": "the cat "}, "default_prompt_name": None}),
    ):
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
